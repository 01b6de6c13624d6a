"""What to do with a checked folder: config keys that fit its files, and the next commands."""

from __future__ import annotations

import math
import os
import shlex
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.config import CfgNode, get_cfg
from slowfast.datasets.inspect.duplicates import Duplicates
from slowfast.datasets.inspect.label_layout import LayoutFacts
from slowfast.datasets.inspect.report import MediaReport, VideoFacts

__all__ = ["NextStep", "SuggestedKey", "suggest_keys", "suggest_steps"]

_MOST = 0.5
_NEARLY_ALL = 0.8
_SAME_FPS = 0.05
_LARGE_SIDE = 1.5
"""Frames so many times larger than those that are decoded are worth a smaller copy."""

_SPARSE_SHARE = 0.25
_IMBALANCED = 10.0
_CROP_STEP, _SMALLEST_CROP = 16, 64
_JITTER = 8 / 7  # of PySlowFast's crop of 224 and short side from 256 on
_SHORT_SHARE = 0.1


class SuggestedKey(NamedTuple):
    """A config key that fits the files.

    Attributes:
        key: The dotted key.
        value: Its value, as on a command line.
        reason: What was found that suggests it.
    """

    key: str
    value: str
    reason: str


class NextStep(NamedTuple):
    """A command to run next.

    Attributes:
        command: As typed in a shell.
        reason: What it is for.
    """

    command: str
    reason: str


def suggest_keys(reports: Sequence[MediaReport], layout: LayoutFacts) -> list[SuggestedKey]:
    """Find config keys whose defaults do not fit the files, and those that labels need.

    Args:
        reports: One per file.
        layout: How the folder would be read.

    Returns:
        The keys, with the reason for each.
    """
    usable = [report for report in reports if report.is_usable]
    if not usable:
        return []
    cfg = get_cfg()
    videos = [report.video for report in usable if report.video is not None]
    found = list(_audio(usable, cfg))
    if videos:
        found += [*_clips(videos, cfg), *_frame_size(videos, cfg)]
    return [*found, *_labels(layout)]


def _audio(usable: Sequence[MediaReport], cfg: CfgNode) -> Iterator[SuggestedKey]:
    with_video = [report for report in usable if report.video is not None]
    if not with_video:
        for section in ("TRAIN", "TEST"):
            yield SuggestedKey(f"{section}.DATASET", "audio_folder", "no file has video")
    audible = sum(report.has_audio for report in with_video or usable)
    total = len(with_video or usable)
    what = f"{audible} of {total} usable files have audio that is not silent"
    if with_video or audible:
        yield SuggestedKey("AUDIO.ENABLE", str(audible >= _MOST * total), what)
    rates = [report.audio.sample_rate_hz for report in usable if report.audio and report.has_audio]
    if not rates or audible < _MOST * total:
        return
    rate, count = Counter(rates).most_common(1)[0]
    if rate < cfg.AUDIO.SAMPLE_RATE and count > _MOST * len(rates):
        reason = f"{count} of {len(rates)} audio tracks have {rate} Hz; more would be empty"
        yield SuggestedKey("AUDIO.SAMPLE_RATE", str(rate), reason)


def _clips(videos: Sequence[VideoFacts], cfg: CfgNode) -> Iterator[SuggestedKey]:
    """Suggest the frame rate that clips are counted at, and clips that fit into the videos."""
    data = cfg.DATA
    rates = [video.fps for video in videos if video.fps]
    usual = statistics.median(rates) if rates else 0.0
    count = sum(abs(rate - usual) <= _SAME_FPS * usual for rate in rates)
    target: float = data.TARGET_FPS
    if abs(usual - target) > _SAME_FPS * target and count >= _NEARLY_ALL * max(1, len(rates)):
        yield SuggestedKey(
            "DATA.TARGET_FPS",
            f"{max(1, round(usual))}",
            f"{count} of {len(rates)} videos have about {usual:.3g} frames per second; keep "
            f"{target} with weights that were trained at {target}",
        )
        target = max(1, round(usual))
    lengths = sorted(video.length_sec for video in videos)
    clip_sec = data.NUM_FRAMES * data.SAMPLING_RATE / target
    short = sum(length < clip_sec for length in lengths)
    enough = lengths[int(_SHORT_SHARE * len(lengths))]  # nine of ten are as long
    step = max(1, math.floor(enough * target / data.NUM_FRAMES))
    if short > _SHORT_SHARE * len(lengths) and step < data.SAMPLING_RATE:
        yield SuggestedKey(
            "DATA.SAMPLING_RATE",
            str(step),
            f"{short} of {len(lengths)} videos are shorter than a clip of {data.NUM_FRAMES} x "
            f"{data.SAMPLING_RATE} frames at {target} Hz ({clip_sec:.2f} s) and would repeat their "
            f"last frame; a clip of {data.NUM_FRAMES} x {step} lasts "
            f"{data.NUM_FRAMES * step / target:.2f} s",
        )


def _frame_size(videos: Sequence[VideoFacts], cfg: CfgNode) -> Iterator[SuggestedKey]:
    side = statistics.median(min(video.width, video.height) for video in videos)
    crop = max(_SMALLEST_CROP, int(side) // _CROP_STEP * _CROP_STEP)
    if crop >= cfg.DATA.TRAIN_CROP_SIZE:
        return
    jitter = [crop, round(crop * _JITTER)]
    reason = (
        f"the median short side is {side:g} pixels; larger crops would be upscaled, smaller ones "
        "of your configuration are fine"
    )
    yield SuggestedKey("DATA.TRAIN_CROP_SIZE", str(crop), reason)
    yield SuggestedKey("DATA.TRAIN_JITTER_SCALES", f"[{jitter[0]},{jitter[1]}]", "as the crop")
    yield SuggestedKey("DATA.TEST_CROP_SIZE", str(crop), "as the crop")


def _labels(layout: LayoutFacts) -> Iterator[SuggestedKey]:
    if layout.classes:
        count = len(layout.classes)
        yield SuggestedKey("MODEL.NUM_CLASSES", str(count), f"{count} classes are labeled")
        if layout.imbalance >= _IMBALANCED:
            reason = f"the largest class has {layout.imbalance:.0f} times the files of the smallest"
            yield SuggestedKey("DATA.BALANCED_SAMPLING", "True", reason)


def suggest_steps(
    folder: Path,
    reports: Sequence[MediaReport],
    layout: LayoutFacts,
    duplicates: Sequence[Duplicates],
    keys: Sequence[SuggestedKey],
) -> list[NextStep]:
    """Find the commands to run next, in order.

    Args:
        folder: The checked folder.
        reports: One per file.
        layout: How the folder would be read.
        duplicates: The same files among them.
        keys: From ``suggest_keys``.

    Returns:
        The steps; the last two are alternatives: to train, and to embed.
    """
    usable = [report for report in reports if report.is_usable]
    if not usable or layout.problem or not folder.is_dir():
        return []
    steps, data = [], str(folder)
    name = folder.absolute().name or "videos"
    if reason := _why_encode(usable):
        small = f"{name}_small"
        steps.append(
            NextStep(f"slowfast prepare encode {_quoted(data)} --out {_quoted(small)}", reason)
        )
        data = small
    vectors = f"slowfast embed {_quoted(data)} --weights W -o {_quoted(f'{name}_vectors')}"
    if layout.suspected:
        drop = " --drop-duplicates" if duplicates else ""
        lists = f"{name}_lists"
        reason = (
            f"{len(layout.suspected)} folders look like classes: this writes csv files of labeled "
            "splits; pretraining does not need them"
        )
        steps.append(
            NextStep(f"slowfast prepare index {_quoted(data)} --out {_quoted(lists)}{drop}", reason)
        )
        data = lists
    words = " ".join(f"{key.key} {_quoted(key.value)}" for key in keys)
    command = f"slowfast train --cfg CONFIG.yaml DATA.PATH_TO_DATA_DIR {_quoted(data)} {words}"
    reason = "trains on these files; CONFIG.yaml is your own configuration or a shipped one"
    if any(key.key.endswith("CROP_SIZE") for key in keys):
        reason += "; leave out the sizes of crops if it has smaller ones"
    steps.append(NextStep(command.rstrip(), reason))
    reason = "or computes vectors without training; W is zoo://NAME, a run or a checkpoint"
    return [*steps, NextStep(vectors, reason)]


def _why_encode(usable: Sequence[MediaReport]) -> str:
    videos = [report.video for report in usable if report.video is not None]
    if not videos:
        return ""
    size: Any = get_cfg().DATA.DECODING_SHORT_SIZE
    side = statistics.median(min(video.width, video.height) for video in videos)
    if side > _LARGE_SIDE * size:
        return (
            f"the median short side is {side:g} pixels: smaller copies load several times as fast"
        )
    sparse = sum("sparse_keyframes" in report.codes for report in usable)
    if sparse > _SPARSE_SHARE * len(videos):
        return f"{sparse} videos have keyframes far apart: copies load several times as fast"
    return ""


def _quoted(text: str) -> str:
    return shlex.quote(os.fsencode(text).decode("utf-8", "backslashreplace"))
