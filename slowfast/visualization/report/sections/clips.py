"""Example clips with crops, spectrogram and attention on one time axis; Grad-CAM of predictions."""

from __future__ import annotations

import re
from typing import Any

from slowfast.visualization.report.insight import Insight
from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["clips", "grad_cam"]

_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_MOST_TICKS = 8
_FULL = [0.0, 1.0]


def clips(run: Run) -> Section | None:
    """Show example clips of the test split.

    Args:
        run: The run.

    Returns:
        The section; None if the run was not tested with REPORT.INSIGHT.
    """
    insight = Insight.of(run)
    if insight is None or not insight.content["clips"]:
        return None
    shown = [_clip(insight, clip) for clip in insight.content["clips"]]
    first = insight.content["clips"][0]
    return make_section(
        "Example clips",
        "report/clips.html",
        clips=shown,
        regions_of=first["regions_of"],
        has_attention=any(clip["attention"] for clip in insight.content["clips"]),
    )


def _clip(insight: Insight, clip: dict[str, Any]) -> dict[str, Any]:
    """Place everything that is known of a clip on its time axis, in percent of its length."""
    seconds = max(clip["video_sec"] or 0.0, clip["audio_sec"])
    video = 100.0 if clip["video_sec"] is None else 100.0 * clip["video_sec"] / seconds
    kinds = list(dict.fromkeys(_kind(region["name"]) for region in clip["regions"]))
    colors = {kind: number % 8 for number, kind in enumerate(kinds)}
    boxes, spans = [], []
    for number, region in enumerate(clip["regions"]):
        time, height, width = region["extent"]
        entry = {"name": region["name"], "color": colors[_kind(region["name"])]}
        if [height, width] != [_FULL, _FULL]:
            boxes.append({**entry, "time": time, "y": height, "x": width, "inset": number})
        elif time != _FULL:
            spans.append({**entry, "start": 100 * time[0], "length": 100 * (time[1] - time[0])})
    frames = clip["frames"] and insight.image(clip["frames"])
    return {
        "name": insight.short(clip["name"]),
        "label": insight.class_name(clip["label"]),
        "start_sec": clip["start_sec"],
        "frames": frames,
        "num_frames": clip["num_frames"],
        "log_mel": clip["log_mel"] and insight.image(clip["log_mel"]),
        "video": video,
        "audio": 100.0 * clip["audio_sec"] / seconds if seconds else 100.0,
        "boxes": boxes,
        "spans": spans,
        "kinds": [(kind.replace("_", " "), colors[kind]) for kind in kinds],
        "heads": _heads(clip["attention"] or []),
        "heads_length": video if frames else 100.0,
        "ticks": _ticks(seconds) if clip["video_sec"] is not None or not frames else [],
    }


def _kind(name: str) -> str:
    """Return the kind of a region: its name without its number."""
    return re.sub(r"_\d+$", "", name)


def _heads(attention: list[list[float]]) -> list[list[tuple[float, float]]]:
    """Return weight and strength in [0, 1] of each step of each head, relative to the largest."""
    largest = max((weight for head in attention for weight in head), default=0.0) or 1.0
    return [[(weight, weight / largest) for weight in head] for head in attention]


def _ticks(seconds: float) -> list[tuple[str, float]]:
    """Return the ticks of a time axis: text and place in percent."""
    if not seconds:
        return []
    step = next((s for s in _TICKS if seconds / s <= _MOST_TICKS), seconds)
    count = int(seconds / step + 1e-6)
    return [(f"{n * step:g} s", 100 * n * step / seconds) for n in range(count + 1)]


def grad_cam(run: Run) -> Section | None:
    """Show where a classifier looks, for wrong and right predictions.

    Args:
        run: The run.

    Returns:
        The section; None if there are no such predictions.
    """
    insight = Insight.of(run)
    if insight is None or not insight.content["predictions"]:
        return None
    groups: dict[bool | None, list[dict[str, Any]]] = {}
    for entry in insight.content["predictions"]:
        groups.setdefault(entry["is_right"], []).append(
            {
                "name": insight.short(entry["name"]),
                "predicted": insight.class_name(entry["predicted"]),
                "label": insight.class_name(entry["label"]),
                "score": entry["score"],
                "frames": entry["frames"] and insight.image(entry["frames"]),
                "heat": insight.image(entry["heat"]),
            }
        )
    headings = {False: "Wrong predictions", True: "Right predictions", None: "Predictions"}
    return make_section(
        "Grad-CAM",
        "report/grad_cam.html",
        groups=[(heading, groups[key]) for key, heading in headings.items() if key in groups],
        has_labels=None not in groups,
        has_wrong=False in groups,
    )
