"""Make the file of real clips that ``make gpu`` trains on: small JPEG frames and audio.

    python benchmarks/gpu/make_clips.py VIDEOS --out clips.npz [--megabytes 40]

VIDEOS is a dataset as training reads it, with a train and a test split and labels (DATASET.md).
Clips of all classes are taken in turn, four for training and one for testing, until the file is
full. The defaults fit ``StiCA/small_pretrain.yaml``: 12.5 frames per second, 48 pixels, 16 kHz.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from slowfast.config import UserError  # noqa: E402
from slowfast.datasets.annotations.layouts import load_manifest  # noqa: E402
from slowfast.datasets.annotations.manifest import Manifest  # noqa: E402
from slowfast.datasets.decoding.clip_reader import open_row  # noqa: E402
from slowfast.datasets.decoding.reader import MediaError  # noqa: E402

PATTERN = (0, 0, 0, 0, 1)  # of the splits: train, test


def main() -> int:
    """Read, pack, write."""
    args = parse_arguments()
    manifests = [load_manifest(args.videos, split) for split in ("train", "test")]
    orders = [in_turn(manifest) for manifest in manifests]
    clips: list[dict[str, Any]] = []
    size, number = 0, 0
    while size < args.megabytes * 1e6 and len(clips) < args.clips and any(orders):
        split = PATTERN[number % len(PATTERN)]
        number += 1
        if not orders[split]:
            continue
        row = orders[split].pop(0)
        try:
            clip = pack(manifests[split], row, split, args)
        except MediaError as error:
            print(f"left out: {error}")
            continue
        size += sum(len(code) for code in clip["jpeg"]) + clip["audio"].nbytes
        clips.append(clip)
    if {clip["split"] for clip in clips} != {0, 1}:
        raise UserError(f"{args.videos}: expected clips of a train and of a test split")
    write(clips, args)
    counts = [sum(clip["split"] == split for clip in clips) for split in (0, 1)]
    size_mb = args.out.stat().st_size / 1e6
    print(f"{args.out}: {counts[0]} clips to train, {counts[1]} to test, {size_mb:.1f} MB")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path, metavar="VIDEOS")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--megabytes", type=float, default=40.0)
    parser.add_argument("--clips", type=int, default=10**9, help="at most (default: all that fit)")
    parser.add_argument("--short-side", type=int, default=48)
    parser.add_argument("--fps", type=float, default=12.5)
    parser.add_argument("--rate", type=int, default=16000, help="sample rate in Hz")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip, at most")
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs")
    return parser.parse_args()


def in_turn(manifest: Manifest) -> list[int]:
    """List the rows so that classes take turns, in random order within a class."""
    rng = np.random.default_rng(0)
    by_label: dict[int, list[int]] = {}
    for row in rng.permutation(len(manifest)).tolist():
        by_label.setdefault(manifest.label(row), []).append(row)
    queues = [by_label[label] for label in sorted(by_label)]
    longest = max(map(len, queues))
    return [queue[n] for n in range(longest) for queue in queues if n < len(queue)]


def pack(manifest: Manifest, row: int, split: int, args: argparse.Namespace) -> dict[str, Any]:
    """Read the frames and the audio of a file."""
    with open_row(manifest.row(row)) as reader:
        first, last = reader.video_extent_sec
        seconds = min(args.seconds, last - first)
        times = first + np.arange(max(1, round(seconds * args.fps))) / args.fps
        frames = reader.read_video(times, short_side=args.short_side)
        audio, _ = reader.read_audio(first, round(seconds * args.rate), args.rate)
    flags = [cv2.IMWRITE_JPEG_QUALITY, args.quality]
    codes = [cv2.imencode(".jpg", frame[..., ::-1], flags)[1].ravel() for frame in frames]
    return {
        "jpeg": codes,
        "audio": np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16),
        "label": manifest.label(row),
        "name": Path(manifest.path(row)).name,
        "split": split,
    }


def write(clips: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Write one file for all clips."""
    jpeg = [code for clip in clips for code in clip["jpeg"]]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        args.out,
        jpeg=np.concatenate(jpeg),
        jpeg_ends=np.cumsum([len(code) for code in jpeg]),
        frame_ends=np.cumsum([len(clip["jpeg"]) for clip in clips]),
        audio=np.concatenate([clip["audio"] for clip in clips]),
        audio_ends=np.cumsum([len(clip["audio"]) for clip in clips]),
        labels=np.array([clip["label"] for clip in clips]),
        names=np.array([clip["name"] for clip in clips]),
        split=np.array([clip["split"] for clip in clips]),
        fps=args.fps,
        rate_hz=args.rate,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(str(error))
