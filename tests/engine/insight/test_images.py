import numpy as np
import pytest

from slowfast.engine.insight.images import (
    decode_jpeg,
    encode_jpeg,
    fit_square,
    log_mel_image,
    overlay_heat,
    resize_frame,
    sprite_sheet,
)

RED, BLUE = (200, 30, 20), (20, 30, 200)


def plain(color, height=20, width=30):
    return np.full((height, width, 3), color, np.uint8)


def test_jpeg_keeps_red_and_blue_apart():
    for color in (RED, BLUE):
        decoded = decode_jpeg(encode_jpeg(plain(color)))
        assert decoded.shape == (20, 30, 3)
        assert np.abs(decoded.astype(int) - color).max() < 8
    with pytest.raises(ValueError, match="no JPEG"):
        decode_jpeg(b"nothing")


def test_sizes():
    assert resize_frame(plain(RED), 10).shape == (10, 15, 3)
    image = plain(BLUE, 20, 40)
    image[:, 10:30] = RED
    square = fit_square(image, 8)
    assert square.shape == (8, 8, 3)
    assert np.abs(square.astype(int) - RED).max() < 3  # the sides are cut off


def test_low_frequencies_are_at_the_bottom():
    log_mel = np.zeros((10, 6))
    log_mel[0] = 5  # the lowest bin
    image = log_mel_image(log_mel, 40)
    assert image.shape == (40, 6, 3)
    assert image[-1].sum() > image[0].sum()  # bright: viridis ends in yellow
    assert log_mel_image(np.zeros((4, 5))).shape == (4, 5, 3)  # constant


def test_heat_changes_only_where_it_is():
    image, heat = plain(BLUE, 20, 20), np.zeros((20, 20))
    heat[:, 15:] = 1
    blended = overlay_heat(image, heat)
    assert (blended[:, :14] == image[:, :14]).all()
    assert (blended[:, 16:, 0] > image[:, 16:, 0] + 30).all()  # red where it is hot


def test_sprites_are_in_rows():
    images = [plain((n, 0, 0), 4, 4) for n in range(1, 6)]
    sheet = sprite_sheet(images, columns=2)
    assert sheet.shape == (12, 8, 3)
    assert [sheet[4 * (n // 2), 4 * (n % 2), 0] for n in range(5)] == [1, 2, 3, 4, 5]
