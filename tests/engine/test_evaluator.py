"""Evaluation: every protocol on video and audio and on audio alone, twice the same."""

import pytest
import torch
from helpers.probes import GALLERY, PROTOCOLS, TEST, ProbeModel, probes_cfg
from helpers.synthetic import synthetic_cfg

from slowfast.datasets.build import build_dataset
from slowfast.engine.evaluator import Evaluation, evaluate
from slowfast.engine.precision import Precision
from slowfast.models.build import build_model

CPU = Precision(torch.device("cpu"))


def measure(cfg, **options):
    return evaluate(Evaluation(cfg, ProbeModel(), CPU, **options), cfg)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return measure(probes_cfg(tmp_path_factory.mktemp("results")))


def test_every_protocol(results):
    assert {m.protocol for m in results.values()} == set(PROTOCOLS)
    assert set(results) == {
        *("top1_acc", "top5_acc", "mean_class_acc", "knn_top1", "knn_top5", "linear_svm_top1"),
        *("class_retrieval_r1", "class_retrieval_r5", "linear_probe_top1", "linear_probe_top5"),
        *("few_shot_1", "few_shot_3", "video_to_audio_r1", "video_to_audio_r5", "av_sync"),
        *("audio_to_video_r1", "audio_to_video_r5", "baseline_mean_color"),
        *("baseline_frame_difference", "baseline_gray_frames", "baseline_mel_statistics"),
    }
    for name in ("linear_probe_top1", "few_shot_3", "linear_svm_top1", "baseline_mean_color"):
        assert results[name].value > 2 * results[name].result.chance, name
    for name, measured in results.items():
        assert 0 <= measured.value <= 1, name
        if name != "mean_class_acc":
            low, high = measured.interval
            assert low <= measured.value <= high, name


@pytest.mark.parametrize("words", [(), ("TEST.VIEWS_PER_CHUNK", 9, "TEST.BATCH_SIZE", 1)])
def test_the_same_evaluation_again_gives_the_same_numbers(tmp_path, results, words):
    assert measure(probes_cfg(tmp_path, *words)) == results


def test_audio_alone(tmp_path):
    """A dataset of audio files; the features are averaged over the clips of each."""
    words = ("TEST.DATASET", "audio_probes", "PROBE.FEATURE", "audio", "TEST.NUM_SPATIAL_CROPS", 1)
    without = [name for name in PROTOCOLS if name not in ("cross_modal_retrieval", "av_sync")]
    cfg = probes_cfg(tmp_path, *words, "TEST.PROTOCOLS", str(without))
    results = measure(cfg)
    assert {m.protocol for m in results.values()} == set(without)
    assert [name for name in results if "baseline" in name] == ["baseline_mel_statistics"]
    assert results["linear_svm_top1"].value > 0.5
    assert {m.views for m in results.values()} == {3}
    (batch, *_) = Evaluation(cfg, ProbeModel(), CPU).batches("test")
    assert "raw_video" not in batch
    assert "video" not in batch


def test_protocols_that_have_the_same_to_say_say_it_once(tmp_path, caplog):
    measure(probes_cfg(tmp_path, "TEST.PROTOCOLS", "['class_retrieval', 'knn', 'baselines']"))
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "1 test videos have classes that are not in the train split (labels 6)" in (
        warning.getMessage()
    )


def test_what_was_looked_at(tmp_path, results):
    cfg = probes_cfg(tmp_path)
    test, gallery = (build_dataset("probes", cfg, s).manifest.digest() for s in ("test", "gallery"))
    assert results["top1_acc"].manifest == results["av_sync"].manifest == test
    assert results["knn_top1"].manifest == f"{test}+{gallery}"
    assert results["baseline_mean_color"].manifest == f"{test}+{gallery}"
    assert {m.views for m in results.values()} == {9}
    assert {m.split for m in results.values()} == {"test"}
    assert results["knn_top1"].uses_model
    assert not results["baseline_mean_color"].uses_model


def test_in_training_the_validation_split_stands_for_the_test_split(tmp_path):
    cfg = probes_cfg(tmp_path, "TEST.PROTOCOLS", "['classification']")
    evaluation = Evaluation(cfg, ProbeModel(), CPU, splits={"test": "val"})
    assert evaluate(evaluation, cfg)["top1_acc"].split == "val"
    assert evaluation.files("test").path(0) == "val/0.mp4"


def test_features_are_extracted_once_per_shift(tmp_path, monkeypatch):
    asked = []
    embed = ProbeModel.embed

    def counted(self, batch):
        asked.append(len(batch["index"]))
        return embed(self, batch)

    monkeypatch.setattr(ProbeModel, "embed", counted)
    cfg = probes_cfg(tmp_path, "TEST.PROTOCOLS", "['av_sync', 'class_retrieval', 'knn']")
    evaluation = Evaluation(cfg, ProbeModel(), CPU)
    evaluate(evaluation, cfg)
    assert sum(asked) == 3 * (GALLERY + 2 * TEST)
    true, later = (evaluation.features("test", audio_offset_sec=s) for s in (0.0, 1.0))
    assert torch.equal(true.features["video"], later.features["video"])
    assert not torch.equal(true.features["audio"], later.features["audio"])
    assert cfg.AUDIO.EVAL_OFFSET_SEC == 0
    assert sum(asked) == 3 * (GALLERY + 2 * TEST)


def test_a_data_set_without_a_manifest(tmp_path):
    cfg = synthetic_cfg(tmp_path, "TEST.PROTOCOLS", "['class_retrieval']", "TEST.BATCH_SIZE", 3)
    torch.manual_seed(0)
    evaluation = Evaluation(cfg, build_model(cfg), CPU)
    results = evaluate(evaluation, cfg)
    assert list(results) == [f"class_retrieval_r{k}" for k in (1, 5, 10)]
    assert {m.manifest for m in results.values()} == {None}
    assert evaluation.features("test").num_views.tolist() == [2] * 7


def test_only_some_protocols(tmp_path):
    cfg = probes_cfg(tmp_path)
    evaluation = Evaluation(cfg, ProbeModel(), CPU)
    others = evaluate(evaluation, cfg, needs_model=False)
    assert {m.protocol for m in others.values()} == {"baselines"}
