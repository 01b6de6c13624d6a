"""Features: views averaged over chunks, every video once, results and their table."""

import dataclasses

import pytest
import torch
from helpers.synthetic import synthetic_cfg
from torch import nn
from torch.nn import functional as F

from slowfast.config import UserError
from slowfast.engine.evaluator import Evaluation, evaluate, format_table, store_results
from slowfast.engine.features import extract_features
from slowfast.engine.precision import Precision
from slowfast.engine.protocols import Result
from slowfast.engine.protocols.classification import classification
from slowfast.engine.protocols.retrieval import class_retrieval, cross_modal_retrieval
from slowfast.models.build import build_model

CPU = Precision(torch.device("cpu"))


class Table(nn.Module):
    """Returns the numbers it is given as features."""

    def embed(self, batch):
        assert not self.training
        names = ("feature", "embedding", "logits", "sound")
        renamed = {"feature": "video", "embedding": "video_embedding", "sound": "audio_embedding"}
        return {renamed.get(name, name): batch[name] for name in names if name in batch}


def chunk(index, features, valid=True, **extra):
    """One batch of one video with a view per row of ``features``."""
    features = torch.tensor([features])
    views = features.shape[1]
    return {
        "view": torch.arange(views)[None],
        "index": torch.tensor([index]),
        "label": torch.tensor([index % 2]),
        "audio_valid": torch.full((1, views), valid),
        "feature": features,
        **extra,
    }


def test_views_are_averaged_over_chunks_of_any_size():
    batches = [
        chunk(1, [[1.0, 2.0], [3.0, 4.0]]),
        chunk(0, [[5.0, 5.0]]),
        chunk(1, [[5.0, 9.0]]),
    ]
    table = extract_features(Table(), batches, CPU, title="x")
    assert table.index.tolist() == [0, 1]
    assert table.label.tolist() == [0, 1]
    assert table.num_views.tolist() == [1, 3]
    torch.testing.assert_close(table.features["video"], torch.tensor([[5.0, 5.0], [3.0, 5.0]]))


def test_embeddings_are_normalised_again_and_silent_clips_do_not_count():
    loud = chunk(0, [[0.0, 0.0]] * 2, sound=torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    loud["audio_valid"] = torch.tensor([[True, False]])
    silent = chunk(1, [[0.0, 0.0]], valid=False, sound=torch.tensor([[[1.0, 0.0]]]))
    table = extract_features(Table(), [loud, silent], CPU, title="x")
    assert table.audio_valid.tolist() == [True, False]
    assert table.features["audio_embedding"][0].tolist() == [1.0, 0.0]


def test_scores_are_softmaxed_per_view_before_averaging():
    logits = torch.tensor([[[0.0, 10.0], [3.0, 0.0]]])
    table = extract_features(Table(), [chunk(0, [[0.0]] * 2, logits=logits)], CPU, title="x")
    torch.testing.assert_close(table.features["scores"], F.softmax(logits, dim=-1).mean(dim=1))


def test_the_mode_of_the_model_is_restored():
    model = Table().train()
    extract_features(model, [chunk(0, [[0.0]])], CPU, title="x")
    assert model.training


def test_no_usable_sample():
    with pytest.raises(UserError, match=r"bad_media.csv"):
        extract_features(Table(), [], CPU, title="x")


class Given:
    def __init__(self, **tables):
        self.tables = tables

    def features(self, split):
        return self.tables[split]


def table_of(batches):
    return extract_features(Table(), batches, CPU, title="x")


def test_class_retrieval_by_hand():
    gallery = table_of([chunk(0, [[1.0, 0.0]]), chunk(1, [[0.0, 1.0]]), chunk(3, [[0.1, 1.0]])])
    queries = table_of([chunk(0, [[2.0, 0.1]]), chunk(1, [[3.0, 0.0]])])
    results = class_retrieval(Given(test=queries, gallery=gallery), None)
    assert results["class_retrieval_r1"].value == 0.5
    assert results["class_retrieval_r1"].chance == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert "class_retrieval_r5" not in results  # the gallery has three videos


def test_cross_modal_retrieval_by_hand():
    def both(index, video, audio, valid=True):
        extra = {"embedding": torch.tensor([[video]]), "sound": torch.tensor([[audio]])}
        return chunk(index, [[0.0]], valid=valid, **extra)

    table = table_of(
        [
            both(0, [1.0, 0.0], [1.0, 0.0]),
            both(1, [0.0, 1.0], [1.0, 0.1]),
            both(2, [0.0, 1.0], [0.0, 1.0], valid=False),
        ]
    )
    results = cross_modal_retrieval(Given(test=table), None)
    assert results["video_to_audio_r1"] == Result(1.0, 0.5)
    assert results["audio_to_video_r1"] == Result(0.5, 0.5)


def test_protocols_say_what_they_need():
    unlabelled = dataclasses.replace(table_of([chunk(0, [[1.0]])]), label=torch.tensor([-1]))
    given = Given(test=unlabelled, gallery=unlabelled)
    with pytest.raises(UserError, match="class_retrieval' needs a label"):
        class_retrieval(given, None)
    with pytest.raises(UserError, match="needs a classifier"):
        classification(given, None)
    with pytest.raises(UserError, match="embeddings in one space"):
        cross_modal_retrieval(given, None)


def test_the_same_evaluation_twice_gives_the_same_numbers(tmp_path):
    cfg = synthetic_cfg(
        tmp_path, "TEST.PROTOCOLS", "['classification', 'class_retrieval']", "TEST.BATCH_SIZE", 3
    )
    torch.manual_seed(0)
    model = build_model(cfg)
    first = evaluate(Evaluation(cfg, model, CPU), cfg)
    second = evaluate(Evaluation(cfg, model, CPU), cfg)
    assert first == second
    assert set(first) == {
        *("top1_acc", "class_retrieval_r1", "class_retrieval_r5", "class_retrieval_r10")
    }
    assert Evaluation(cfg, model, CPU).features("test").num_views.tolist() == [2] * 7


def test_results_are_merged_and_printed(tmp_path):
    store_results(tmp_path, {"a_r1": Result(0.25, 0.1)}, "before")
    content = store_results(tmp_path, {"a_r1": Result(0.5, 0.1), "b": Result(1.0)}, "after")
    assert content["a_r1"] == {"before": 0.25, "chance": 0.1, "after": 0.5}
    assert content["b"] == {"after": 1.0, "chance": None}
    content = store_results(tmp_path, {"c": Result(0.2, 0.1)}, "value")
    assert format_table(content).splitlines()[4].split()[:4] == ["c", "-", "20.0", "%"]
    table = format_table(content).splitlines()
    assert table[2].split() == ["a_r1", "25.0", "%", "50.0", "%", "10.0", "%"]
    assert table[3].split() == ["b", "-", "100.0", "%", "-"]
