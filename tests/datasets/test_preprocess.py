import math

import pytest
import torch

from slowfast.config import get_cfg
from slowfast.datasets.preprocess.audio_augment import SpecAugment
from slowfast.datasets.preprocess.batch import (
    AudioPreprocess,
    BatchPreprocess,
    VideoPreprocess,
    build_preprocess,
    check_preparation,
)
from slowfast.datasets.preprocess.spectrogram import LogFilterbank, LogMelSpectrogram

MEAN, STD = [0.4, 0.45, 0.5], [0.2, 0.225, 0.25]


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.merge_from_list(
        [
            *("DATA.MEAN", MEAN, "DATA.STD", STD, "AUDIO.ENABLE", True),
            *("AUDIO.MEAN", -11.0, "AUDIO.STD", 6.0, "AUDIO.VOLUME_JITTER", [0.5, 1.5]),
            *("AUDIO.SPECAUG.ENABLE", True, "AUDIO.SPECAUG.FREQ_WIDTH", 20),
            *("AUDIO.SPECAUG.TIME_WIDTH", 20),
        ]
    )
    return cfg


def make_video(batch=2, views=2):
    generator = torch.Generator().manual_seed(0)
    shape = (batch, views, 3, 5, 4, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def make_batch(batch=2, clips=1):
    generator = torch.Generator().manual_seed(1)
    return {
        "video": make_video(batch),
        "audio": 0.1 * torch.randn(batch, clips, 4800, generator=generator),
        "audio_valid": torch.ones(batch, clips, dtype=torch.bool),
        "aug_seed": torch.arange(batch) + 40,
        "label": torch.arange(batch),
        "names": ["a.mp4"] * batch,
    }


# -- video -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("reverse", [False, True])
def test_video_is_normalized_channel_by_channel(dtype, tolerance, reverse):
    video = make_video()
    out = VideoPreprocess(mean=MEAN, std=STD, reverse_channels=reverse, dtype=dtype)(video)
    assert out.shape == (2, 2, 3, 3, 5, 4)
    assert out.dtype == dtype
    assert out.is_contiguous()
    for channel in range(3):
        expected = (video[..., channel].double() / 255 - MEAN[channel]) / STD[channel]
        place = 2 - channel if reverse else channel
        torch.testing.assert_close(out[:, :, place].double(), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_vectorized_order_gives_the_numbers_of_the_plain_one(channels_last, reverse):
    video = torch.randint(256, (2, 2, 5, 33, 47, 3), dtype=torch.uint8)  # uneven: vectors end early
    prepare = VideoPreprocess(
        mean=MEAN, std=STD, reverse_channels=reverse, channels_last=channels_last
    )
    pixels = (video.flip(-1) if reverse else video).permute(0, 1, 5, 2, 3, 4).float().contiguous()
    expected = torch.addcmul(prepare.shift, pixels, prepare.scale)
    # Equal bits where both kernels fuse multiplication and addition, or both do not.
    torch.testing.assert_close(prepare(video), expected, rtol=2e-7, atol=2e-7)
    cut = prepare(video[:, :, :, 1:, 1:])  # not contiguous
    torch.testing.assert_close(cut, expected[..., 1:, 1:], rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(1, 1, 2, 4, 4, 3),
        torch.zeros(1, 2, 4, 4, 3, dtype=torch.uint8),
        torch.zeros(1, 1, 3, 2, 4, 4, dtype=torch.uint8),
    ],
)
def test_what_is_not_a_batch_of_views_is_refused(bad):
    with pytest.raises(ValueError, match=r"video: got .*; expected uint8 \(B, V, T, H, W, 3\)"):
        VideoPreprocess(mean=MEAN, std=STD)(bad)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.45], STD, r"mean: got \[0.45\]; expected three numbers"),
        (MEAN, [0.2, 0.0, 0.2], r"std: got \[0.2, 0.0, 0.2\]; expected three positive"),
        (MEAN, [0.2], r"std: got \[0.2\]"),
    ],
)
def test_malformed_statistics_are_refused(mean, std, message):
    with pytest.raises(ValueError, match=message):
        VideoPreprocess(mean=mean, std=std)


# -- audio -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("front_end", [LogMelSpectrogram(), LogFilterbank()])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-5)])
def test_audio_is_the_normalized_spectrogram(front_end, dtype, tolerance):
    audio = (make_batch(clips=2)["audio"] * 32768).round() / 32768
    out = AudioPreprocess(front_end, mean=-11.0, std=6.0, dtype=dtype)(audio)
    assert (out.shape, out.dtype) == ((2, 2, 1, front_end.num_mel, 19), dtype)
    for row in range(2):
        expected = (front_end(audio[row].to(dtype)) + 11) / 6
        torch.testing.assert_close(out[row], expected, atol=tolerance, rtol=0)


def test_volume_shifts_the_logarithm_of_each_clip_by_its_own_amount():
    audio = make_batch(clips=2)["audio"].double()
    plain = AudioPreprocess(LogMelSpectrogram(), dtype=torch.float64)
    jitter = AudioPreprocess(LogMelSpectrogram(), volume=(0.5, 1.5), dtype=torch.float64)
    shift = jitter(audio, torch.tensor([1, 2])) - plain(audio)
    per_clip = shift.mean(dim=(2, 3, 4), keepdim=True)
    torch.testing.assert_close(shift, per_clip.expand_as(shift), atol=1e-3, rtol=0)
    assert len(per_clip.flatten().unique()) == 4
    assert per_clip.min() > 2 * math.log(0.5)
    assert per_clip.max() < 2 * math.log(1.5)


def test_masks_come_after_the_normalization_and_differ_between_clips():
    audio = make_batch(clips=2)["audio"]
    masks = SpecAugment(num_freq=1, num_time=1, freq_width=30, time_width=10)
    plain = AudioPreprocess(LogMelSpectrogram(), mean=-11.0, std=6.0)(audio)
    out = AudioPreprocess(LogMelSpectrogram(), mean=-11.0, std=6.0, spec_augment=masks)(
        audio, torch.tensor([1, 2])
    )
    changed = out != plain  # (B, A, 1, F, S)
    assert changed.any()
    filled = plain.mean(dim=(2, 3, 4), keepdim=True).expand_as(plain)
    torch.testing.assert_close(out[changed], filled[changed], atol=1e-5, rtol=0)
    assert (changed[:, 0] != changed[:, 1]).any()


@pytest.mark.parametrize("bad", [torch.zeros(2, 100), torch.zeros(2, 1, 100, dtype=torch.int16)])
def test_what_is_not_a_batch_of_audio_is_refused(bad):
    with pytest.raises(ValueError, match=r"audio: got .*; expected float \(B, A, N\)"):
        AudioPreprocess(LogMelSpectrogram())(bad)


def test_augmenting_without_a_seed_is_refused():
    with pytest.raises(ValueError, match=r"aug_seed: got None; .*volume or spec_augment"):
        AudioPreprocess(LogMelSpectrogram(), volume=(0.9, 1.1))(torch.zeros(1, 1, 480))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"std": 0.0}, r"std: got 0.0; expected a positive number"),
        ({"volume": (1.1, 0.9)}, r"volume: got \[1.1, 0.9\]; expected \[low, high\]"),
        ({"volume": (-1, 1)}, r"volume: got \[-1, 1\]"),
        ({"volume": (1,)}, r"volume: got \[1\]"),
    ],
)
def test_malformed_audio_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        AudioPreprocess(LogMelSpectrogram(), **change)


# -- the batch -------------------------------------------------------------------------------------


def test_a_training_batch(cfg):
    batch = make_batch()
    kept = {name: value.clone() for name, value in batch.items() if name != "names"}
    generator = torch.get_rng_state()
    out = build_preprocess(cfg, train=True)(batch)
    assert out["video"].shape == (2, 2, 3, 3, 5, 4)
    assert out["audio"].shape == (2, 1, 1, 80, 19)
    assert torch.equal(out["label"], batch["label"])
    assert out["names"] == batch["names"]
    for name, value in kept.items():
        assert torch.equal(batch[name], value), f"{name} was changed in place"
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_sample_is_prepared_the_same_in_any_batch(cfg):
    prepare = build_preprocess(cfg, train=True, dtype=torch.float64)
    batch = make_batch(4)
    whole = prepare(batch)
    part = prepare({name: value[2:3] for name, value in batch.items()})
    for name in ("video", "audio"):
        torch.testing.assert_close(part[name], whole[name][2:3], atol=1e-12, rtol=0)


def test_training_augments_and_evaluation_does_not(cfg):
    batch = make_batch()
    train, test = (build_preprocess(cfg, train=flag) for flag in (True, False))
    other = {**batch, "aug_seed": batch["aug_seed"] + 1}
    assert not torch.equal(train(batch)["audio"], train(other)["audio"])
    assert torch.equal(train(batch)["audio"], train(batch)["audio"])
    assert torch.equal(test(batch)["audio"], test(other)["audio"])
    assert torch.equal(train(batch)["video"], test(batch)["video"])
    without = {name: value for name, value in batch.items() if name != "aug_seed"}
    assert torch.equal(test(without)["audio"], test(batch)["audio"])


def test_absent_entries_stay_absent(cfg):
    prepare = build_preprocess(cfg, train=False)
    batch = make_batch()
    assert set(prepare({"video": batch["video"]})) == {"video"}
    assert set(prepare({"audio": batch["audio"]})) == {"audio"}


def test_audio_is_left_alone_when_it_is_off(cfg):
    cfg.AUDIO.ENABLE = False
    batch = make_batch()
    assert torch.equal(build_preprocess(cfg, train=True)(batch)["audio"], batch["audio"])


def test_a_volume_range_of_one_is_off(cfg):
    cfg.merge_from_list(["AUDIO.VOLUME_JITTER", [1.0, 1.0], "AUDIO.SPECAUG.ENABLE", False])
    batch = make_batch()
    del batch["aug_seed"]
    build_preprocess(cfg, train=True)(batch)


def test_channels_are_reversed_by_the_configuration(cfg):
    video = {"video": make_video()}
    straight = build_preprocess(cfg, train=False)(video)["video"]
    cfg.DATA.REVERSE_INPUT_CHANNEL = True
    reversed_ = build_preprocess(cfg, train=False)(video)["video"]
    assert torch.equal(reversed_, straight.flip(2))


def test_nothing_is_saved_and_no_gradient_is_kept(cfg):
    prepare = build_preprocess(cfg, train=True)
    assert isinstance(prepare, BatchPreprocess)
    assert not prepare.state_dict()
    assert not list(prepare.parameters())
    batch = make_batch()
    batch["audio"].requires_grad_()
    assert not prepare(batch)["audio"].requires_grad


def test_the_batch_goes_where_the_preparer_is(cfg):
    prepare = build_preprocess(cfg, train=True).to("meta")
    batch = {name: value for name, value in make_batch().items() if name != "audio"}
    out = prepare(batch)
    assert {value.device.type for value in out.values() if torch.is_tensor(value)} == {"meta"}


@pytest.mark.gpu
def test_cuda_prepares_what_the_cpu_prepares(cfg):
    batch = make_batch()
    on_cpu = build_preprocess(cfg, train=True)(batch)
    on_cuda = build_preprocess(cfg, train=True).to("cuda")(batch)
    for name in ("video", "audio"):
        torch.testing.assert_close(on_cuda[name].cpu(), on_cpu[name], atol=1e-4, rtol=0)


def test_it_can_be_exported(cfg):
    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.prepare = build_preprocess(cfg, train=False)

        def forward(self, video, audio):
            out = self.prepare({"video": video, "audio": audio})
            return out["video"], out["audio"]

    batch, more = make_batch(2), make_batch(3)
    size = torch.export.Dim("B", min=2, max=16)
    program = torch.export.export(
        Wrapped(),
        (batch["video"], batch["audio"]),
        dynamic_shapes=({0: size}, {0: size}),
    )
    exported = program.module()(more["video"], more["audio"])
    for ours, name in zip(exported, ("video", "audio"), strict=True):
        torch.testing.assert_close(ours, Wrapped().prepare(more)[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DATA.STD", [0.0, 0.0, 0.0]),
        ("AUDIO.STD", -1.0),
        ("AUDIO.FFT_SIZE", 100),
        ("AUDIO.SPECAUG.NUM_TIME", -1),
        ("AUDIO.VOLUME_JITTER", [2.0, 1.0]),
    ],
)
def test_the_check_names_the_key(cfg, key, value):
    assert check_preparation(cfg) == []
    cfg.merge_from_list([key, value])
    assert [problem.key for problem in check_preparation(cfg)] == [key]


def test_channels_last_is_the_same_batch_in_another_memory_format():
    video = torch.randint(256, (2, 2, 3, 4, 5, 3), dtype=torch.uint8)
    options = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    plain = VideoPreprocess(**options)(video)
    last = VideoPreprocess(**options, channels_last=True)(video)
    assert torch.equal(plain, last)
    assert last.flatten(0, 1).is_contiguous(memory_format=torch.channels_last_3d)
    assert plain.is_contiguous()
