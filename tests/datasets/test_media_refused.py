"""Still images of every format and raw streams: refused with a reason that is true, or read."""

import av
import cv2
import numpy as np
import pytest

from slowfast.datasets.decoding.reader import MediaError, open_media
from slowfast.datasets.inspect.checker import inspect_media


def write_stream(path, codec, container, pixels="yuv420p"):
    """Write 50 frames of rising brightness at 25 Hz."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pixels
        rng = np.random.default_rng(0)
        texture = rng.integers(0, 40, (120, 160, 3), np.uint8)  # not flat: FFmpeg decides by size
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(texture + np.uint8(4 * number), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG", "png", "webp", "bmp", "tiff", "avif"])
@pytest.mark.parametrize("size", [32, 640])
def test_a_still_image_is_no_video_of_any_format(tmp_path, suffix, size):
    path = tmp_path / f"image.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8)
    if not cv2.haveImageWriter(str(path)):
        pytest.skip("OpenCV was built without it")
    cv2.imwrite(str(path), noise)
    with pytest.raises(MediaError, match="it is a still image, neither video nor audio"):
        open_media(path)
    assert [p.code for p in inspect_media(path).problems] == ["still_image"]


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [("h264", "libx264", "h264"), ("264", "libx264", "h264"), ("hevc", "libx265", "hevc")],
)
def test_a_raw_stream_is_named_with_what_to_do(tmp_path, suffix, codec, container):
    path = write_stream(tmp_path / f"stream.{suffix}", codec, container)
    expected = rf"raw {container} stream without timestamps\. .*ffmpeg -i FILE OUT.mp4"
    with pytest.raises(MediaError, match=expected):
        open_media(path)
    report = inspect_media(path)
    assert [p.code for p in report.problems] == ["raw_stream"]
    assert not report.is_usable


@pytest.mark.parametrize("suffix", ["mjpeg", "mjpg"])
def test_motion_jpeg_is_read_at_its_rate(tmp_path, suffix):
    path = write_stream(tmp_path / f"stream.{suffix}", "mjpeg", "mjpeg", "yuvj420p")
    with open_media(path) as reader:
        assert len(list(reader.iter_video())) == 50
    with open_media(path) as reader:
        assert reader.video_extent_sec == (0.0, 2.0)
        late, early = (reader.read_video([t])[0].mean() for t in (1.5, 0.5))
    assert late - early == pytest.approx(100, abs=4)
