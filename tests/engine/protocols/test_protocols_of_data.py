"""Protocols after training on videos without labels."""

import pytest

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import get_cfg
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.engine.protocols.build import with_protocols_of_data

UNLABELED = Manifest.from_rows([VideoRecord("a.mp4", -1), VideoRecord("b.mp4", -1)], [])
MIXED = Manifest.from_rows([VideoRecord("a.mp4", -1), VideoRecord("b.mp4", 0)], ["x"])


def make_cfg(*protocols, audio=True):
    cfg = get_cfg()
    cfg.TEST.PROTOCOLS, cfg.AUDIO.ENABLE = list(protocols), audio
    cfg.TEST.ENABLE = cfg.TRAIN.EVAL_BEFORE = True
    return cfg


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        (["class_retrieval", "knn"], ["cross_modal_retrieval", "av_sync"]),
        (["knn", "av_sync"], ["av_sync"]),
    ],
)
def test_those_that_need_labels_are_left_out(listed, left):
    cfg = make_cfg(*listed)
    found, note = with_protocols_of_data(cfg, UNLABELED)
    assert list(found.TEST.PROTOCOLS) == left
    assert found.TEST.ENABLE
    assert "have no labels" in note
    assert list(cfg.TEST.PROTOCOLS) == listed  # a copy


def test_without_audio_nothing_is_tested():
    found, note = with_protocols_of_data(make_cfg("knn", audio=False), UNLABELED)
    assert (found.TEST.ENABLE, found.TRAIN.EVAL_BEFORE) == (False, False)
    assert "AUDIO.ENABLE" in note


@pytest.mark.parametrize(
    ("protocols", "manifest"),
    [(["knn"], None), (["knn"], MIXED), (["classification"], UNLABELED), (["av_sync"], UNLABELED)],
)
def test_others_stay(protocols, manifest):
    cfg = make_cfg(*protocols)
    found, note = with_protocols_of_data(cfg, manifest)
    assert found is cfg
    assert not note
