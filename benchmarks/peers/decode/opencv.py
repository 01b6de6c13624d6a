"""OpenCV for the video, which it seeks to by frame number; PyAV for the audio."""

from __future__ import annotations

import av
import cv2
import numpy as np
from decode.window import Window
from numpy.typing import NDArray

from peers.decode.pyav import read_audio

cv2.setNumThreads(1)


def read(path: str, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read frames one after the other; resize, then convert."""
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise RuntimeError("cv2.VideoCapture cannot open it")
    capture.set(cv2.CAP_PROP_POS_FRAMES, window.first)
    frames = np.empty((window.num_frames, window.height, window.width, 3), np.uint8)
    size = window.width, window.height
    for target in frames:
        found, image = capture.read()
        if not found:
            raise RuntimeError("cv2.VideoCapture cannot decode it")
        if image.shape[1::-1] != size:
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=target)
    capture.release()
    with av.open(path) as container:
        return frames, read_audio(container, window)
