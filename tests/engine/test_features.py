"""Features: views averaged over chunks, in one order, every video once; audio that is not there."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from slowfast.config import UserError
from slowfast.engine.features import extract_features, gather_rows, sum_views
from slowfast.engine.precision import Precision

CPU = Precision(torch.device("cpu"))


class Table(nn.Module):
    """Returns the numbers it is given as features."""

    def embed(self, batch):
        assert not self.training
        names = {
            "feature": "video",
            "embedding": "video_embedding",
            "audio": "audio_embedding",
            "hearing": "audio",
            "logits": "logits",
        }
        return {new: batch[old] for old, new in names.items() if old in batch}


def chunk(index, features=None, valid=True, first=0, **extra):
    """One batch of one video with a view per row of ``features``."""
    if features is not None:
        extra["feature"] = torch.tensor([features])
    views = next(iter(extra.values())).shape[1]
    return {
        "view": torch.arange(first, first + views)[None],
        "index": torch.tensor([index]),
        "label": torch.tensor([index % 2]),
        "audio_valid": torch.full((1, views), valid),
        **extra,
    }


def extract(*batches):
    return extract_features(Table(), batches, CPU, title="x")


def test_views_are_averaged_over_chunks_of_any_size():
    table = extract(
        chunk(1, [[1.0, 2.0], [3.0, 4.0]]),
        chunk(0, [[5.0, 5.0]]),
        chunk(1, [[5.0, 9.0]], first=2),
    )
    assert table.index.tolist() == [0, 1]
    assert table.label.tolist() == [0, 1]
    assert table.num_views.tolist() == [1, 3]
    assert table.features["video"].tolist() == [[5.0, 5.0], [3.0, 5.0]]
    assert table.features["video"].dtype == torch.float32


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 10, 30])
def test_a_mean_does_not_depend_on_chunks_or_their_order_by_a_bit(chunk_size):
    generator = torch.Generator().manual_seed(0)
    # Over many orders of magnitude, where the order of additions shows.
    views = torch.randn(4, 30, 50, generator=generator) * 10 ** torch.randint(
        -4, 4, (4, 30, 50), generator=generator
    )
    batches = [
        {
            "view": torch.arange(start, start + chunk_size)[None],
            "index": torch.tensor([video]),
            "label": torch.tensor([0]),
            "feature": views[video : video + 1, start : start + chunk_size],
        }
        for video in range(4)
        for start in range(0, 30, chunk_size)
    ]
    order = torch.randperm(len(batches), generator=generator).tolist()
    got = extract(*(batches[i] for i in order)).features["video"]
    assert torch.equal(got, views.double().mean(dim=1).float())


def test_embeddings_are_normalized_again_and_silent_clips_do_not_count():
    loud = chunk(0, [[0.0, 0.0]] * 2, audio=torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    loud["audio_valid"] = torch.tensor([[True, False]])
    silent = chunk(1, [[0.0, 0.0]], valid=False, audio=torch.tensor([[[1.0, 0.0]]]))
    table = extract(loud, silent)
    assert table.audio_valid.tolist() == [True, False]
    assert table.features["audio_embedding"].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_scores_are_softmaxed_per_view_before_averaging():
    logits = torch.tensor([[[0.0, 10.0], [3.0, 0.0]]])
    table = extract(chunk(0, [[0.0]] * 2, logits=logits))
    torch.testing.assert_close(table.features["scores"], F.softmax(logits, dim=-1).mean(dim=1))


def test_scores_of_audio_count_where_there_is_audio():
    """A model that gives no features of video: its logits are the clips', not the views'."""
    logits = torch.tensor([[[0.0, 10.0], [3.0, 0.0]]])
    valid = torch.tensor([[False, True]])
    audio = {"hearing": torch.ones(1, 2, 4), "logits": logits}
    heard = extract({**chunk(0, **audio), "audio_valid": valid})
    torch.testing.assert_close(heard.features["scores"], F.softmax(logits[:, 1], dim=-1))
    assert heard.num_views.tolist() == [2]
    seen = extract({**chunk(0, [[0.0]] * 2, **audio), "audio_valid": valid})
    torch.testing.assert_close(seen.features["scores"], F.softmax(logits, dim=-1).mean(dim=1))


def test_similarity_compares_a_view_with_the_audio_of_its_own_clip():
    """Two clips of two crops; the second clip has no audio."""
    views = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 1.0]]])
    audio = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    batch = chunk(0, [[0.0]] * 4, embedding=views, audio=audio)
    both = extract({**batch, "audio_valid": torch.tensor([[True, True]])})
    assert both.features["similarity"].tolist() == [[pytest.approx((1 + 0.6 + 1 + 1) / 4)]]
    first = extract({**batch, "audio_valid": torch.tensor([[True, False]])})
    assert first.features["similarity"].tolist() == [[pytest.approx((1 + 0.6) / 2)]]


def test_views_that_do_not_divide_into_clips():
    batch = chunk(0, [[0.0]] * 3, embedding=torch.ones(1, 3, 2), audio=torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match="3 views and 2 audio clips"):
        extract({**batch, "audio_valid": torch.ones(1, 2, dtype=torch.bool)})


def test_a_batch_without_audio_or_video():
    """Neither audio_valid nor video is needed."""
    batch = chunk(0, hearing=torch.ones(1, 2, 3))
    table = extract({name: value for name, value in batch.items() if "video" not in name})
    assert table.features["audio"].tolist() == [[1.0, 1.0, 1.0]]
    batch = chunk(0, [[2.0]])
    del batch["audio_valid"]
    assert extract(batch).audio_valid.tolist() == [False]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(bad):
    """NaN scores would tie with themselves alone and count as right."""
    with pytest.raises(
        UserError, match=r"x: the model's 'video' of 1 of 2 videos .*first: row 7 of"
    ):
        extract(chunk(3, [[1.0]]), chunk(7, [[1.0], [bad]]))


def test_the_mode_of_the_model_is_restored():
    model = Table().train()
    extract_features(model, [chunk(0, [[0.0]])], CPU, title="x")
    assert model.training


def test_no_usable_sample():
    with pytest.raises(UserError, match=r"bad_media.csv"):
        extract()


def test_what_is_kept_of_a_batch_does_not_grow_with_its_views():
    rows = sum_views(
        {"video": torch.ones(2, 30, 5)},
        {
            "index": torch.arange(2),
            "label": torch.arange(2),
            "view": torch.arange(30).expand(2, 30),
        },
    )
    assert rows["sum.video"].tolist() == [[30.0] * 5] * 2
    assert set(gather_rows([rows])) == set(rows)


def logits_of(index, logits, first=0, **extra):
    return chunk(index, first=first, logits=torch.tensor([logits]), **extra)


@pytest.mark.parametrize(("ensemble", "expected"), [("sum", [1.0, 4.0]), ("max", [3.0, 7.0])])
def test_scores_are_the_mean_or_the_maximum_over_all_chunks(ensemble, expected):
    batches = [
        logits_of(1, [[3.0, 2.0], [-1.0, 3.0]]),
        logits_of(0, [[5.0, 5.0]]),
        logits_of(1, [[1.0, 7.0]], first=2),
    ]
    table = extract_features(Table(), batches, CPU, title="x", head_act="none", ensemble=ensemble)
    assert table.features["scores"].tolist() == [[5.0, 5.0], expected]


def test_the_maximum_over_audio_clips_ignores_those_without_audio():
    audio = {"hearing": torch.zeros(1, 1, 2)}
    batches = [
        logits_of(0, [[1.0, -2.0]], **audio),
        logits_of(0, [[9.0, 9.0]], first=1, valid=False, **audio),
        logits_of(1, [[9.0, 9.0]], valid=False, **audio),
    ]
    table = extract_features(Table(), batches, CPU, title="x", head_act="none", ensemble="max")
    assert table.features["scores"].tolist() == [[1.0, -2.0], [0.0, 0.0]]


def test_multi_hot_labels():
    label = torch.tensor([[1.0, 0.0, 1.0]])
    unknown = torch.full((1, 3), -1.0)
    batches = [chunk(0, [[1.0]], first=0), chunk(0, [[3.0]], first=1), chunk(1, [[1.0]])]
    for batch in batches:
        batch["label"] = label if batch["index"] == 0 else unknown
    table = extract(*batches)
    assert table.label.tolist() == [label[0].tolist(), unknown[0].tolist()]
    assert table.is_multi_label
    assert table.is_labeled.tolist() == [True, False]
