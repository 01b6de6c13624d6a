"""Slow oracles of the view pipeline: float64, one operation after the other, no OpenCV.

Values are never rounded or clipped in between. Frames are float64 (T, H, W, 3) in gray levels.
"""

import colorsys
import math

import numpy as np

GRAY = np.array([0.299, 0.587, 0.114])
YIQ = np.array([GRAY, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def linear_weights(old, new):
    """(new, old): weights of linear interpolation at half-pixel centers, edges repeated."""
    weights = np.zeros((new, old))
    for i in range(new):
        position = (i + 0.5) * old / new - 0.5
        left = math.floor(position)
        share = position - left
        weights[i, min(max(left, 0), old - 1)] += 1 - share
        weights[i, min(max(left + 1, 0), old - 1)] += share
    return weights


def area_weights(old, new):
    """(new, old): each output pixel is the mean of the source it covers."""
    weights = np.zeros((new, old))
    for i in range(new):
        begin, end = i * old / new, (i + 1) * old / new
        for j in range(old):
            weights[i, j] = max(0.0, min(end, j + 1) - max(begin, j)) / (end - begin)
    return weights


def resize(frames, height, width, *, area=False):
    make = area_weights if area else linear_weights
    rows, columns = make(frames.shape[1], height), make(frames.shape[2], width)
    return np.einsum("ih,thwc,jw->tijc", rows, frames, columns)


def gray(frames):
    return np.repeat((frames @ GRAY)[..., None], 3, axis=-1)


def brightness(frames, factor):
    return frames * factor


def contrast(frames, factor):
    """Pull towards the mean gray of the full clip."""
    return frames * factor + (1 - factor) * gray(frames).mean()


def saturation(frames, factor):
    return frames * factor + (1 - factor) * gray(frames)


def hue(frames, turn):
    """Rotate the chroma of YIQ, pixel by pixel."""
    out = np.empty_like(frames)
    for place in np.ndindex(frames.shape[:-1]):
        y, i, q = YIQ @ frames[place]
        # Python's own conversion has two digits: enough to catch a swapped axis.
        coarse = colorsys.rgb_to_yiq(*frames[place])
        np.testing.assert_allclose([y, i, q], coarse, atol=0.02 * abs(frames[place]).sum())
        angle = 2 * math.pi * turn
        turned = (
            i * math.cos(angle) + q * math.sin(angle),
            q * math.cos(angle) - i * math.sin(angle),
        )
        out[place] = np.linalg.solve(YIQ, [y, *turned])
    return out


def jitter(frames, color, order=(0, 1, 2, 3)):
    """The operations of (brightness, contrast, saturation, hue), one after the other."""
    steps = [brightness, contrast, saturation, hue]
    for i in order:
        frames = steps[i](frames, color[i])
    return frames


def blur(frames, sigma):
    """Gaussian up to three sigma on both axes, mirrored at the border without repeating it."""
    radius = max(1, round(3 * sigma))
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    for axis in (1, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (radius, radius)
        padded = np.pad(frames, pad, mode="reflect")
        size = frames.shape[axis]
        frames = sum(
            weight * np.take(padded, np.arange(size) + k, axis=axis)
            for k, weight in enumerate(kernel)
        )
    return frames
