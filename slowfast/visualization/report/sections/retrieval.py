"""Retrieval: queries and their nearest neighbors."""

from __future__ import annotations

from typing import Any

from slowfast.visualization.report.insight import Insight
from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section
from slowfast.visualization.report.sections.embedding import TITLES

__all__ = ["retrieval"]

_HEADINGS = {
    "nearest": "Nearest neighbors by {key}",
    "video_to_audio": "Audio by video",
    "audio_to_video": "Video by audio",
}


def retrieval(run: Run) -> Section | None:
    """Show examples of retrieval within the test split.

    Args:
        run: The run.

    Returns:
        The section; None if the run was not tested with REPORT.INSIGHT.
    """
    insight = Insight.of(run)
    if insight is None or not insight.content["galleries"]:
        return None
    content = insight.content
    galleries = [
        {
            "heading": _HEADINGS[found["name"]].format(key=TITLES[found["key"]]),
            "is_cross": found["name"] != "nearest",
            "examples": [_example(insight, example) for example in found["examples"]],
        }
        for found in content["galleries"]
    ]
    return make_section(
        "Retrieval",
        "report/retrieval.html",
        galleries=galleries,
        has_labels=any(label is not None for label in content["videos"]["label"]),
        has_own=any(found["is_cross"] for found in galleries),
        shown=content["num_shown"],
        total=content["num_videos"],
    )


def _example(insight: Insight, example: dict[str, Any]) -> dict[str, Any]:
    query = _item(insight, example["query"])
    neighbors = [
        {
            **_item(insight, position),
            "similarity": similarity,
            "is_own": position == example["query"],
        }
        for position, similarity in zip(example["neighbors"], example["similarity"], strict=True)
    ]
    for item in neighbors:
        item["is_same"] = bool(query["label"]) and item["label"] == query["label"]
    return {"query": query, "neighbors": neighbors, "own_rank": example.get("own_rank")}


def _item(insight: Insight, position: int) -> dict[str, Any]:
    name, label = insight.video(position)
    return {"name": name, "label": label, "image": insight.image(f"thumbnail_{position}.jpg")}
