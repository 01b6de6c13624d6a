"""Frames are prepared as the processors of transformers prepare them."""

import numpy as np
import pytest
import torch

from slowfast.config import UserError
from slowfast.datasets.preprocess.batch import VideoPreprocess
from slowfast.inference.adapters.processor import read_transform
from tests.helpers.zoo import DATA

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CROP = {"crop_size": {"height": 16, "width": 16}, "do_center_crop": True}
# Class of transformers, settings of its JSON file, size of the frames.
CASES = {
    "videomae": (
        "VideoMAEVideoProcessor",
        {"size": {"shortest_edge": 24}, **CROP, **HALF, "resample": 2},
        (40, 56),
    ),
    "portrait": (
        "VideoMAEVideoProcessor",
        {"size": {"shortest_edge": 18}, **CROP, **IMAGENET, "resample": 2},
        (57, 31),
    ),
    "bicubic": (
        "TimesformerVideoProcessor",
        {"size": {"shortest_edge": 24}, **CROP, **IMAGENET, "resample": 3},
        (40, 56),
    ),
    "offset": ("VivitVideoProcessor", {"size": {"shortest_edge": 18}, **CROP, **HALF}, (33, 41)),
    "vjepa2": ("VJEPA2VideoProcessor", {"crop_size": 16}, (40, 56)),
    "square": (
        "PeVideoVideoProcessor",
        {
            "size": {"height": 16, "width": 16},
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            **HALF,
        },
        (40, 56),
    ),
    "border": (
        "VideoMAEVideoProcessor",
        {"size": {"shortest_edge": 11}, **CROP, **HALF, "resample": 2},
        (10, 14),
    ),
}
# What the classes do where their settings are silent.
DEFAULTS = {
    "offset": {"rescale_factor": 1 / 127.5, "offset": 1.0},
    "vjepa2": {"size": {"shortest_edge": 18}, "do_center_crop": True, **IMAGENET},
}


def make_frames(height, width):
    return np.random.RandomState(height).randint(0, 256, (2, height, width, 3), np.uint8)


def prepare(name):
    _, settings, size = CASES[name]
    transform, norm = read_transform(settings, DEFAULTS.get(name, {}), name)
    pixels = torch.from_numpy(transform.all_crops(make_frames(*size)))
    assert tuple(pixels.shape) == (1, 2, *transform.output_size, 3)
    video = VideoPreprocess(mean=norm.mean, std=norm.std)(pixels[None])
    return video[0, 0].transpose(0, 1).numpy()  # (T, 3, H, W)


@pytest.mark.parametrize("name", CASES)
def test_frames_equal_recorded_ones(name):
    # Recorded with transformers 5.24 and torchvision 0.28 by the processors named in CASES.
    with np.load(DATA / "transformers_frames.npz") as recorded:
        expected = recorded[name]
    np.testing.assert_allclose(prepare(name), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": {"shortest_edge": 16}, **HALF}, "center crop or a fixed size"),
        ({"size": {"shortest_edge": 16}, **CROP, **HALF, "resample": 1}, "resample 1"),
    ],
)
def test_other_settings_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        read_transform(settings, {}, "x")
