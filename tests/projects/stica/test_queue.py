"""STICA.QUEUE_LEN: past embeddings as further negatives of the cross-modal loss."""

import torch
from helpers.stica_cfg import small_stica
from stica.build import build_stica_model
from stica.loss import cross_modal_loss, multi_crop_info_nce
from torch.nn import functional as F

from slowfast.models.method import Progress, detached

PROGRESS = Progress(0, 0, 0.0, 1, 1, stepped=True)


def rows(*shape):
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_a_queue_is_a_longer_batch_of_keys():
    """The loss of the first rows of a batch, whose other rows are in the queue."""
    query, key, temperature = rows(2, 7, 5), rows(1, 7, 5), 0.2
    expected = []
    for q in query:
        log_prob = (q[:4] @ key[0].T / temperature).log_softmax(dim=1)
        expected.append(-log_prob.diagonal().mean())
    loss = multi_crop_info_nce(query[:, :4], key[:, :4], temperature, queue=key[0, 4:])
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_both_directions_have_their_own_queue():
    video, audio, past_video, past_audio = rows(1, 4, 5), rows(4, 5), rows(3, 5), rows(6, 5)
    loss = cross_modal_loss(video, audio, 0.1, queues=(past_video, past_audio))
    to_audio = multi_crop_info_nce(video, audio[None], 0.1, queue=past_audio)
    to_video = multi_crop_info_nce(audio[None], video, 0.1, queue=past_video)
    torch.testing.assert_close(loss, (to_audio + to_video) / 2)


def test_the_model_queues_what_has_audio():
    cfg = small_stica()
    cfg.defrost()
    cfg.STICA.QUEUE_LEN = 5
    cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE = 16, 64
    cfg.AUDIO.NUM_MEL = 16
    model = build_stica_model(cfg)
    views, size, frames = 2, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.NUM_FRAMES
    batch = {
        "video": torch.randn(3, views, 3, frames, size, size),
        "audio": torch.randn(3, 1, 1, cfg.AUDIO.NUM_MEL, 40),
        "audio_valid": torch.tensor([[True], [False], [True]]),
        "aug_seed": torch.arange(3),
    }
    outputs = model(batch)
    before = model.queue_audio.rows.clone()
    assert torch.equal(outputs.queue_audio, before)
    model.after_batch(detached(outputs), batch, PROGRESS)
    assert model.queue_audio.filled == 2
    torch.testing.assert_close(model.queue_audio.rows[:2], outputs.audio[[0, 2]].detach())
    torch.testing.assert_close(model.queue_video.rows[:2], outputs.video[0, [0, 2]].detach())
    assert torch.equal(model.queue_audio.rows[2:], before[2:])
