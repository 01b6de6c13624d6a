"""Slow oracles of RandAugment, random erasing, mixup and cutmix: one image, one pixel at a time."""

import math

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

GRAY = (128, 128, 128)


def pil_operation(frame, name, value, cubic=False):
    """One operation of RandAugment on one uint8 (H, W, 3) image, by Pillow."""
    image = Image.fromarray(frame)
    width, height = image.size
    resample = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR

    def affine(*matrix):
        return image.transform(
            image.size, Image.Transform.AFFINE, matrix, resample=resample, fillcolor=GRAY
        )

    def point(function):
        return image.point([function(v) for v in range(256)] * 3)

    results = {
        "AutoContrast": lambda: ImageOps.autocontrast(image),
        "Equalize": lambda: ImageOps.equalize(image),
        "Invert": lambda: ImageOps.invert(image),
        # Pillow 13 refuses 0 bits, which was black before.
        "Posterize": lambda: ImageOps.posterize(image, value) if value else point(lambda v: 0),
        "Solarize": lambda: ImageOps.solarize(image, value),
        "SolarizeAdd": lambda: point(lambda v: min(255, v + value) if v < 128 else v),
        "Brightness": lambda: ImageEnhance.Brightness(image).enhance(value),
        "Contrast": lambda: ImageEnhance.Contrast(image).enhance(value),
        "Color": lambda: ImageEnhance.Color(image).enhance(value),
        "Sharpness": lambda: ImageEnhance.Sharpness(image).enhance(value),
        "Rotate": lambda: image.rotate(value, resample=resample, fillcolor=GRAY),
        "ShearX": lambda: affine(1, value, 0, 0, 1, 0),
        "ShearY": lambda: affine(1, 0, 0, value, 1, 0),
        "TranslateXRel": lambda: affine(1, 0, value * width, 0, 1, 0),
        "TranslateYRel": lambda: affine(1, 0, 0, 0, 1, value * height),
    }
    return np.asarray(results[name]())


def keys_cubic(distance, a=-0.75):
    """Weight of cubic convolution (Keys, 1981); OpenCV's parameter is -0.75, Pillow's -1."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def cubic_translation(frame, pixels, axis):
    """Image moved by a fraction of pixels to the left (axis 1) or up (axis 0): float (H, W, 3).

    Edges are repeated, and positions from outside are gray.
    """
    moved = np.moveaxis(frame.astype(float), axis, 0)
    length, out = len(moved), np.empty(moved.shape)
    for i in range(length):
        source = i + pixels
        if not 0 <= source + 0.5 < length:
            out[i] = 128
            continue
        first = math.floor(source) - 1
        out[i] = sum(
            keys_cubic(source - j) * moved[min(max(j, 0), length - 1)]
            for j in range(first, first + 4)
        )
    return np.moveaxis(out.clip(0, 255), 0, axis)


def erase_pixels(frame, box, pixels):
    """Replace a (top, left, height, width) box of an (H, W, 3) image, pixel by pixel."""
    out = frame.copy()
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            row, column = y - box[0], x - box[1]
            if 0 <= row < box[2] and 0 <= column < box[3]:
                out[y, x] = pixels[row % len(pixels), column % pixels.shape[1]]
    return out


def mix_batch(video, labels, share, box, smoothing, classes):
    """Mix float (B, ..., H, W) with its reverse, row by row; labels by hand: (video, (B, C))."""
    rows, mixed, soft = len(video), video.copy(), np.full((len(video), classes), 0.0)
    for i in range(rows):
        other = rows - 1 - i
        if box is None:
            mixed[i] = share * video[i] + (1 - share) * video[other]
        else:
            for y in range(box[0], box[1]):
                for x in range(box[2], box[3]):
                    mixed[i, ..., y, x] = video[other, ..., y, x]
        for label, weight in ((labels[i], share), (labels[other], 1 - share)):
            for c in range(classes):
                on = 1 - smoothing if c == label else 0.0
                soft[i, c] += weight * (on + smoothing / classes)
    return mixed, soft
