"""What is collected during a test, against the features of all views at once."""

import numpy as np
import pytest
import torch
from helpers.probes import CLIPS, CROPS, TEST, ProbeModel, probes_cfg
from torch.nn import functional as F

from slowfast.engine.evaluator import Evaluation
from slowfast.engine.insight.images import decode_jpeg
from slowfast.engine.insight.watch import TestWatch
from slowfast.engine.precision import Precision

CPU = Precision(torch.device("cpu"))
WHOLE = ("TEST.VIEWS_PER_CHUNK", CLIPS * CROPS)


def watched(folder, *words, limit=100):
    watch = TestWatch(limit)
    evaluation = Evaluation(probes_cfg(folder, *words), ProbeModel(), CPU, watch=watch)
    table = evaluation.features("test")
    return watch.gather(), table, evaluation


@pytest.mark.parametrize("words", [WHOLE, ("TEST.BATCH_SIZE", 2)])
def test_vectors_of_single_views(tmp_path, words):
    found, table, evaluation = watched(tmp_path, *words)
    assert sorted(found.rows.tolist()) == list(range(TEST))
    assert set(found.vectors) == {"video", "audio", "video_embedding", "audio_embedding"}
    views = {name: {} for name in found.vectors}
    evaluation = Evaluation(probes_cfg(tmp_path, *WHOLE), ProbeModel(), CPU)
    for batch in evaluation.batches("test"):
        for name, values in ProbeModel().embed(batch).items():
            for row, own in zip(batch["index"].tolist(), values, strict=True):
                views.setdefault(name, {})[row] = own.double()
    for name, vectors in found.vectors.items():
        for place, row in enumerate(found.rows.tolist()):
            if name.startswith("audio") and row == 4:  # the file without audio
                assert vectors.num_views[place] == 0
                assert not vectors.unit_sum[place].any()
                continue
            own = views[name][row]
            total = F.normalize(own, dim=1).sum(dim=0)
            torch.testing.assert_close(vectors.unit_sum[place], total, rtol=0, atol=1e-5)
            assert vectors.num_views[place] == len(own)
            first = own[CROPS // 2 if name.startswith("video") else 0]
            torch.testing.assert_close(vectors.first[place].double(), first, rtol=1e-5, atol=1e-5)
    assert len(table) == TEST


def test_a_sample_is_the_same_in_any_order(tmp_path):
    all_rows = watched(tmp_path)[0].rows
    for words in (WHOLE, ("TEST.BATCH_SIZE", 1)):
        assert watched(tmp_path, *words, limit=5)[0].rows.tolist() == all_rows[:5].tolist()


def test_thumbnails(tmp_path):
    found = watched(tmp_path)[0]
    assert all(decode_jpeg(image).shape == (96, 96, 3) for image in found.thumbnails)
    rows = found.rows.tolist()
    bright = [decode_jpeg(found.thumbnails[rows.index(row)]).mean() for row in (0, 3, 6)]
    assert bright == sorted(bright)  # brightness tells the class
    assert bright[2] - bright[0] > 100


def test_audio_has_spectrograms_as_thumbnails(tmp_path):
    words = ("TEST.DATASET", "audio_probes", "TEST.NUM_SPATIAL_CROPS", 1)
    found = watched(tmp_path, *words)[0]
    assert set(found.vectors) == {"audio", "audio_embedding"}
    assert decode_jpeg(found.thumbnails[0]).shape == (96, 96, 3)
    assert np.ptp(decode_jpeg(found.thumbnails[0])) > 100


def test_features_are_the_same_with_and_without(tmp_path):
    table = watched(tmp_path)[1]
    plain = Evaluation(probes_cfg(tmp_path), ProbeModel(), CPU).features("test")
    for name, values in plain.features.items():
        assert torch.equal(values, table.features[name])
