"""Embedding: alignment, uniformity and effective rank, and the map of the videos."""

from __future__ import annotations

from collections import Counter
from typing import Any

from slowfast.visualization.pages import Sprite
from slowfast.visualization.report.insight import Insight
from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["embedding"]

TITLES = {
    "video": "video features",
    "audio": "audio features",
    "video_embedding": "video embeddings",
    "audio_embedding": "audio embeddings",
    "scores": "class scores",
}
_MOST_GROUPS = 16
"""Classes up to which each is a group of the map."""
_LARGEST_GROUPS = 7


def embedding(run: Run) -> Section | None:
    """Show what ``insight`` says of the vectors of a test.

    Args:
        run: The run.

    Returns:
        The section; None if the run was not tested with REPORT.INSIGHT.
    """
    insight = Insight.of(run)
    if insight is None or not (insight.content["geometry"] or insight.content["map"]):
        return None
    content = insight.content
    kinds = content["geometry"].items()
    return make_section(
        "Embedding",
        "report/embedding.html",
        rows=[[TITLES[name], *_numbers(found)] for name, found in kinds],
        sentences=[(TITLES[name], found["sentence"]) for name, found in kinds],
        spectra=[
            {
                "label": TITLES[name],
                "x": list(range(1, len(found["singular_values"]) + 1)),
                "y": [value or None for value in found["singular_values"]],
            }
            for name, found in kinds
        ],
        cross=content["cross_modal"],
        shown=content["num_shown"],
        total=content["num_videos"],
        views=content["num_views"],
        map=_map(insight),
    )


def _numbers(found: dict[str, Any]) -> list[Any]:
    names = ("videos", "alignment", "uniformity", "effective_rank", "rankme", "highest_rank")
    return [found[name] for name in names]


def _map(insight: Insight) -> dict[str, Any] | None:
    """Collect the points of the map with their notes, groups and thumbnails."""
    found = insight.content["map"]
    if found is None:
        return None
    count = len(found["x"])
    videos = [insight.video(position) for position in range(count)]
    labels = insight.content["videos"]["label"][:count]
    groups, names = _groups(insight, labels)
    rows = -(-count // found["columns"])
    side = found["image_px"]
    return {
        **{key: found[key] for key in ("method", "explained")},
        "feature": TITLES[found["feature"]],
        "count": count,
        "points": list(zip(found["x"], found["y"], strict=True)),
        "labels": [f"{name} ({label})" if label else name for name, label in videos],
        "groups": groups,
        "group_names": names,
        "sprite": Sprite(insight.image(found["sheet"]), found["columns"], rows, side, side, count),
    }


def _groups(insight: Insight, labels: list[int | None]) -> tuple[list[int], list[str] | None]:
    """Group videos by class: all classes, or the largest and the others; then those without."""
    ranked = [label for label, _ in Counter(x for x in labels if x is not None).most_common()]
    if not ranked:
        return [0] * len(labels), None
    kept = sorted(ranked if len(ranked) <= _MOST_GROUPS else ranked[:_LARGEST_GROUPS])
    number: dict[int | None, int] = {label: place for place, label in enumerate(kept)}
    names = [insight.class_name(label) for label in kept]
    for label, name in ((ranked, "other classes"), ([None], "no label")):
        rest = [one for one in label if one not in number]
        if rest and (name != "no label" or None in labels):
            number |= dict.fromkeys(rest, len(names))
            names.append(name)
    return [number[label] for label in labels], names
