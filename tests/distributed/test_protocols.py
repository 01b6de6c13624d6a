"""Protocols on two gloo ranks, of sets that do not divide evenly, give the numbers of one rank."""

import pytest
import torch
from helpers.probes import GALLERY, TEST, ProbeModel, probes_cfg

from slowfast.config import UserError
from slowfast.engine.evaluator import Evaluation, evaluate
from slowfast.engine.precision import Precision

pytestmark = pytest.mark.distributed

PARTS = ("label", "index", "audio_valid", "num_views")


def _measure(folder, *words):
    cfg = probes_cfg(folder, *words)
    evaluation = Evaluation(cfg, ProbeModel(), Precision(torch.device("cpu")))
    results = evaluate(evaluation, cfg)
    tables = [evaluation.features(split) for split in ("test", "gallery")]
    tables.append(evaluation.features("test", audio_offset_sec=cfg.PROBE.SYNC_OFFSET_SEC))
    return results, tables


@pytest.mark.parametrize("chunk", [1, 9])  # a clip, or a video
def test_every_protocol(two_ranks, tmp_path, chunk):
    assert TEST % 2 == GALLERY % 2 == 1
    words = ("TEST.VIEWS_PER_CHUNK", chunk)
    results, tables = _measure(tmp_path, *words)
    for other_results, other_tables in two_ranks.run(_measure, tmp_path, *words):
        assert other_results == results
        for other, table in zip(other_tables, tables, strict=True):
            assert list(other.features) == list(table.features)
            for name, values in table.features.items():
                assert torch.equal(other.features[name], values), name
            for name in PARTS:
                assert torch.equal(getattr(other, name), getattr(table, name)), name
    assert tables[0].index.tolist() == list(range(TEST))
    assert tables[1].num_views.tolist() == [9] * GALLERY


def test_audio_alone(two_ranks, tmp_path):
    words = ("TEST.DATASET", "audio_probes", "PROBE.FEATURE", "audio", "TEST.NUM_SPATIAL_CROPS", 1)
    words += ("TEST.PROTOCOLS", "['classification', 'linear_svm', 'baselines']")
    results, _ = _measure(tmp_path, *words)
    assert two_ranks.run(_results_alone, tmp_path, *words) == [results, results]


def _results_alone(folder, *words):
    return _measure(folder, *words)[0]


def _mistake(folder):
    """Every rank must find it, or the others wait for ever."""
    cfg = probes_cfg(folder, "TEST.DATASET", "audio_probes", "TEST.PROTOCOLS", "['knn']")
    with pytest.raises(UserError, match=r"set PROBE[.]FEATURE audio"):
        evaluate(Evaluation(cfg, ProbeModel(), Precision(torch.device("cpu"))), cfg)


def test_a_users_mistake_is_told_on_every_rank(two_ranks, tmp_path):
    two_ranks.run(_mistake, tmp_path)
