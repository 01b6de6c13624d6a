"""Retrieval of classes and of the very clip, by hand and against slow oracles."""

import pytest
import torch
from helpers.probes import Given, blob_tables, make_table, probe_cfg
from reference import retrieval
from torch.nn import functional as F

from slowfast.config import UserError
from slowfast.engine.protocols.build import Result
from slowfast.engine.protocols.class_retrieval import class_retrieval
from slowfast.engine.protocols.cross_modal_retrieval import cross_modal_retrieval


def test_class_retrieval_by_hand():
    gallery = make_table({"video": [[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]}, [0, 1, 1])
    queries = make_table({"video": [[2.0, 0.1], [3.0, 0.0]]}, [0, 1])
    results = class_retrieval(Given(queries, gallery), probe_cfg(RANKS=[1, 2, 3, 4]))
    assert results["class_retrieval_r1"].value == 0.5
    assert results["class_retrieval_r1"].chance == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert results["class_retrieval_r2"].value == 1.0
    assert results["class_retrieval_r2"].count == 2
    assert "class_retrieval_r4" not in results  # the gallery has three videos


def test_class_retrieval_equals_the_oracle():
    test, gallery = blob_tables(classes=4, per_class=6, spread=2.0)
    results = class_retrieval(Given(test, gallery), probe_cfg())
    assert list(results) == [f"class_retrieval_r{k}" for k in (1, 5, 10, 20)]
    unit = [F.normalize(t.features["video"].double(), dim=1).tolist() for t in (test, gallery)]
    label = gallery.label.tolist()
    for k in (1, 5, 10, 20):
        nearest = retrieval.nearest(*unit, k)
        hits = [
            own in {label[i] for i in rows}
            for own, rows in zip(test.label.tolist(), nearest, strict=True)
        ]
        assert results[f"class_retrieval_r{k}"].value == sum(hits) / len(hits)


def test_chance_is_what_random_neighbors_give():
    """A class of one sample, a large one, and one that the gallery lacks."""
    label = torch.tensor([0] + [1] * 9 + [2] * 10)
    target = torch.tensor([0, 1, 2, 3])
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    for _ in range(400):
        sampled = label[torch.randint(20, (4, 5), generator=generator)]
        total += float((sampled == target[:, None]).any(dim=1).double().mean()) / 400
    given = Given(
        make_table({"video": torch.randn(4, 3)}, target),
        make_table({"video": torch.randn(20, 3)}, label),
    )
    chance = class_retrieval(given, probe_cfg(RANKS=[5]))["class_retrieval_r5"].chance
    assert chance == pytest.approx(total, abs=0.02)


def test_no_rank_fits_the_gallery():
    assert class_retrieval(Given(*blob_tables(per_class=2)), probe_cfg(RANKS=[7])) == {}


def clips(video, audio, valid=None):
    features = {"video_embedding": torch.tensor(video), "audio_embedding": torch.tensor(audio)}
    return Given(make_table(features, [-1] * len(video), valid))


def test_cross_modal_retrieval_by_hand():
    given = clips(
        [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]],
        [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]],
        valid=[True, True, False],
    )
    results = cross_modal_retrieval(given, probe_cfg(RANKS=[1, 2, 3]))
    assert results["video_to_audio_r1"] == Result(1.0, 0.5, count=2)
    assert results["audio_to_video_r1"] == Result(0.5, 0.5, count=2)
    assert results["audio_to_video_r2"].value == 1.0
    assert "video_to_audio_r3" not in results


def test_cross_modal_retrieval_equals_the_oracle():
    generator = torch.Generator().manual_seed(0)
    video, audio = (torch.randint(-1, 2, (30, 3), generator=generator).float() for _ in range(2))
    results = cross_modal_retrieval(clips(video.tolist(), audio.tolist()), probe_cfg())
    own = range(30)
    for k in (1, 5, 10, 20):
        there = retrieval.recall(video.tolist(), audio.tolist(), own, k)
        back = retrieval.recall(audio.tolist(), video.tolist(), own, k)
        assert results[f"video_to_audio_r{k}"].value == pytest.approx(there)
        assert results[f"audio_to_video_r{k}"].value == pytest.approx(back)


def test_a_collapsed_model_is_at_chance():
    results = cross_modal_retrieval(clips([[1.0, 0.0]] * 10, [[0.6, 0.8]] * 10), probe_cfg())
    assert results["video_to_audio_r1"].value == pytest.approx(0.1)


def test_what_cross_modal_retrieval_needs():
    with pytest.raises(UserError, match="needs a model with a joint"):
        cross_modal_retrieval(Given(*blob_tables()), probe_cfg())
    with pytest.raises(UserError, match="two test videos with audio"):
        cross_modal_retrieval(clips([[1.0]] * 2, [[1.0]] * 2, valid=[True, False]), probe_cfg())
