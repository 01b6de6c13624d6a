"""Trivial baselines: descriptions by hand, and the protocol with video, audio and both."""

import pytest
import torch
from helpers.probes import probe_cfg

from slowfast.config import UserError
from slowfast.engine.protocols.baselines import (
    baselines,
    gray_frames,
    mean_color,
    mean_frame_difference,
    mel_moments,
    mel_statistics,
)
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, Result

VIDEO = ("baseline_mean_color", "baseline_frame_difference", "baseline_gray_frames")


def test_descriptions_by_hand():
    video = torch.zeros(1, 1, 2, 2, 2, 3, dtype=torch.uint8)
    video[0, 0, 1, 0, 0, 0] = 200  # one red pixel in the second frame
    assert mean_color(video).tolist() == [[[0, 0, 0, 50, 0, 0]]]
    assert mean_frame_difference(video)[0, 0].tolist() == pytest.approx([200 / 12])
    mel = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(1, 1, 1, 2, 2)
    assert mel_moments(mel).tolist() == [[[2.0, 2.0, 5.0, 4.0]]]
    assert mel_statistics(mel_moments(mel)[0]).tolist() == [[2.0, 2.0, 1.0, 0.0]]


def test_gray_frames_by_hand():
    video = torch.zeros(1, 2, 15, 24, 36, 3, dtype=torch.uint8)
    video[0, 1, 14, 2:4, 3:6] = 90  # the second row and column of pixels, in the last frame
    video[0, 1, 13] = 255  # not one of frames 0, 2, ..., 14
    first, second = gray_frames(video).view(2, 8, 12, 12)
    assert not first.any()
    assert not second[:7].any()
    assert second[7].nonzero().tolist() == [[1, 1]]
    assert second[7, 1, 1] == 90
    assert gray_frames(video[:, :, :3]).shape == (1, 2, 3 * 144)


def test_clips_of_a_file_are_described_as_one():
    """The deviation over a file, not the mean of its clips' deviations."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 5, 1, 4, 6, generator=generator) + torch.arange(5.0).view(1, 5, 1, 1, 1)
    whole = clips.permute(0, 2, 3, 1, 4).flatten(3)  # (2, 1, 4, 30): one after the other
    got = mel_statistics(mel_moments(clips).mean(dim=1))
    expected = torch.cat([whole.mean(dim=3), whole.std(dim=3, correction=0)], dim=2)[:, 0]
    torch.testing.assert_close(got, expected)


class FeatureProvider:
    """Videos whose brightness tells the class; audio that tells nothing."""

    def __init__(self, label=lambda index: index % 2, keep=("raw_video", "audio"), frames=3):
        self.label, self.keep, self.frames = label, keep, frames

    def batches(self, split):
        generator = torch.Generator().manual_seed(len(split))
        for index in range(20):
            shape = (1, 2, self.frames, 4, 4, 3)
            noise = torch.randint(40, shape, generator=generator, dtype=torch.uint8)
            batch = {
                "raw_video": noise + 100 * (index % 2),
                "audio": torch.randn(1, 1, 1, 4, 6, generator=generator),
                "audio_valid": torch.ones(1, 1, dtype=torch.bool),
                "label": torch.tensor([self.label(index)]),
                "index": torch.tensor([index]),
                "view": torch.tensor([[0, 1]]),
            }
            media = {"raw_video", "audio"} - set(self.keep)
            yield {name: value for name, value in batch.items() if name not in media}


def test_the_protocol():
    results = baselines(FeatureProvider(), probe_cfg())
    assert results["baseline_mean_color"] == Result(1.0, 0.5, count=20)
    assert results["baseline_mel_statistics"].value < 0.9
    assert list(results) == [*VIDEO, "baseline_mel_statistics"]
    assert baselines(FeatureProvider(), probe_cfg()) == results
    assert not PROTOCOL_REGISTRY.capability("baselines", "needs_model")


def test_only_what_there_is_is_described():
    both = baselines(FeatureProvider(), probe_cfg())
    audio = baselines(FeatureProvider(keep=["audio"]), probe_cfg())
    video = baselines(FeatureProvider(keep=["raw_video"]), probe_cfg())
    assert list(audio) == ["baseline_mel_statistics"]
    assert tuple(video) == VIDEO
    assert both == video | audio


def test_a_single_frame_has_no_difference():
    results = baselines(FeatureProvider(keep=["raw_video"], frames=1), probe_cfg())
    assert list(results) == ["baseline_mean_color", "baseline_gray_frames"]


def test_labels_are_needed():
    with pytest.raises(UserError, match="'baselines' needs a label"):
        baselines(FeatureProvider(lambda index: -1), probe_cfg())
