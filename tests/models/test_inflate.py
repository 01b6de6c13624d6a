"""Inflation: on a clip of a still image the layer does what it did to the image."""

import pytest
import torch
from torch.nn import functional as F

from slowfast.models.inflate import inflate


@pytest.mark.parametrize("has_time_axis", [False, True])
@pytest.mark.parametrize("length", [1, 3, 5])
def test_a_still_clip_gives_the_map_of_the_image(length, has_time_axis):
    kernel, frame = torch.randn(4, 3, 3, 3), torch.randn(2, 3, 8, 8)
    like = torch.zeros(4, 3, length, 3, 3)
    inflated = inflate(kernel.unsqueeze(2) if has_time_axis else kernel, like)
    assert inflated.shape == like.shape
    clip = frame.unsqueeze(2).expand(-1, -1, 7, -1, -1)
    out = F.conv3d(clip, inflated)  # (2, 4, 8 - length, 6, 6)
    expected = F.conv2d(frame, kernel)
    for step in out.unbind(2):
        torch.testing.assert_close(step, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "like"),
    [
        ((4, 3, 3, 3), (4, 3, 3, 5, 5)),  # another size
        ((4, 3, 3, 3), (4, 2, 3, 3, 3)),  # other channels
        ((4, 3, 2, 3, 3), (4, 3, 4, 3, 3)),  # of video already
        ((4, 3), (4, 3, 1, 1, 1)),
        ((4, 3, 3, 3), (4, 3, 9)),
    ],
)
def test_other_shapes_are_left_alone(shape, like):
    assert inflate(torch.zeros(shape), torch.zeros(like)) is None
