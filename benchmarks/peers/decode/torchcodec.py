"""torchcodec: approximate seeking, as its documentation advises for speed, and its own resize."""

from __future__ import annotations

import numpy as np
import torch
from decode.window import Window
from numpy.typing import NDArray
from torchcodec.decoders import AudioDecoder, VideoDecoder
from torchcodec.transforms import Resize

torch.set_num_threads(1)


def read(path: str, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read frames by index and samples by time."""
    video = VideoDecoder(
        path,
        dimension_order="NHWC",
        num_ffmpeg_threads=1,
        seek_mode="approximate",
        transforms=[Resize((window.height, window.width))],
    )
    frames = video.get_frames_in_range(window.first, window.first + window.num_frames).data
    audio = AudioDecoder(path, sample_rate=window.sample_rate_hz, num_channels=1)
    samples = audio.get_samples_played_in_range(window.start_sec, window.end_sec).data
    return frames.numpy(), samples[0].numpy()
