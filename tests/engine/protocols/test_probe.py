"""What the probes share: features by name, labels, chance, and messages when they are missing."""

import pytest
import torch
from helpers.probes import Given, blob_tables, make_table, probe_cfg

from slowfast.config import UserError
from slowfast.engine.protocols import PROTOCOL_REGISTRY
from slowfast.engine.protocols.probe import count_hits, read_probe, remap_labels

LABELLED = ("class_retrieval", "knn", "linear_probe", "few_shot", "linear_svm")


NOBODY = Given(None)


def test_labels_with_gaps_are_numbered():
    split = remap_labels(NOBODY, torch.tensor([7, 3, 7]), torch.tensor([3, 7, 7]))
    assert split.label.tolist() == [1, 0, 1]
    assert split.target.tolist() == [0, 1, 1]
    assert split.classes.tolist() == [3, 7]
    assert split.chance(1) == 0.5
    assert split.chance(5) == 1.0
    assert not NOBODY.warnings


def test_a_class_that_the_gallery_lacks_counts_as_wrong():
    given = Given(None)
    split = remap_labels(given, torch.tensor([2, 5]), torch.tensor([2, 9, 0, 3]))
    assert split.target.tolist() == [0, -1, -1, -1]
    assert split.chance(1) == 1 / 8
    (warning,) = given.warnings
    assert "3 test videos have classes that are not in the train split (labels 0, 3, 9)" in warning
    results = count_hits(torch.tensor([[9.0, 0.0]]).expand(4, 2), split, "knn")
    assert results["knn_top1"].value == 0.25


@pytest.mark.parametrize("classes", [2, 5, 6])
def test_top5_needs_more_than_five_classes(classes):
    label = torch.arange(classes)
    results = count_hits(torch.eye(classes), remap_labels(NOBODY, label, label), "x")
    assert results["x_top1"].value == 1.0
    assert results["x_top1"].count == classes
    assert ("x_top5" in results) == (classes > 5)
    if classes > 5:
        assert results["x_top5"].chance == 5 / 6


@pytest.mark.parametrize("protocol", LABELLED)
def test_labels_are_needed(protocol):
    test, gallery = make_table({"video": [[1.0]]}, [-1]), make_table({"video": [[1.0]]}, [0])
    for given in (Given(test, gallery), Given(gallery, test)):
        with pytest.raises(UserError, match=f"'{protocol}' needs a label .* 1 have none"):
            PROTOCOL_REGISTRY.get(protocol)(given, probe_cfg())


@pytest.mark.parametrize("protocol", LABELLED)
def test_the_feature_is_needed(protocol):
    test, gallery = blob_tables()
    with pytest.raises(UserError, match=r"PROBE.FEATURE: .*'audio'.*it has: video.*FEATURE video"):
        PROTOCOL_REGISTRY.get(protocol)(Given(test, gallery), probe_cfg(FEATURE="audio"))
    audio = Given(*blob_tables(name="audio"))
    with pytest.raises(UserError, match=r"'video'.*it has: audio\); set PROBE.FEATURE audio"):
        PROTOCOL_REGISTRY.get(protocol)(audio, probe_cfg())
    nothing = Given(*blob_tables(name="scores"))
    with pytest.raises(UserError, match=r"it has: none.*this model has no features"):
        PROTOCOL_REGISTRY.get(protocol)(nothing, probe_cfg())


@pytest.mark.parametrize("protocol", LABELLED)
def test_audio_is_probed_as_well(protocol):
    cfg = probe_cfg(FEATURE="audio", RANKS=[1], FEW_SHOT_K=[5])
    (result,) = PROTOCOL_REGISTRY.get(protocol)(Given(*blob_tables(name="audio")), cfg).values()
    assert result.value > 0.6
    video = PROTOCOL_REGISTRY.get(protocol)(
        Given(*blob_tables()), probe_cfg(RANKS=[1], FEW_SHOT_K=[5])
    )
    assert list(video.values()) == [result]


def test_silent_videos_are_not_learned_from_but_are_measured():
    features = {"audio": torch.eye(4)}
    gallery = make_table(features, [0, 0, 1, 1], audio_valid=[True, False, True, True])
    test = make_table(features, [0, 0, 1, 1], audio_valid=[True, True, False, False])
    given = Given(test, gallery)
    probe = read_probe(given, probe_cfg(FEATURE="audio"), "knn")
    assert torch.equal(probe.inputs, torch.eye(4)[[0, 2, 3]])
    assert probe.split.label.tolist() == [0, 1, 1]
    assert len(probe.queries) == len(probe.split.target) == 4
    (warning,) = given.warnings
    assert "1 train videos without audio are skipped; 2 test videos" in warning


def test_no_audio_at_all():
    gallery = make_table({"audio": torch.eye(2)}, [0, 1], audio_valid=[False, False])
    with pytest.raises(UserError, match="'knn': no video of the train split has audio"):
        read_probe(Given(gallery, gallery), probe_cfg(FEATURE="audio"), "knn")
