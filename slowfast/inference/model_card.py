"""The model card of a folder in Hugging Face's layout: README.md with YAML front matter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from slowfast.config import CfgNode
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.utils.pretrained_folder import LIBRARY_NAME

__all__ = ["CardFacts", "front_matter", "intended_use", "render_card"]

_LICENSES = re.compile(
    r"apache-2\.0|mit|bsd-[23]-clause|cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[34]\.0|[al]?gpl-[23]\.[01]"
)
_UNKNOWN = "unknown"
_INTENDED_USE = (
    "Features for retrieval, probes and fine-tuning; they reflect the training data and carry its "
    "biases. Measure on your own data before relying on them. The model was not tested for "
    "decisions about people."
)
"""What every card says about the use of weights."""


class CardFacts(NamedTuple):
    """What a model card says about weights.

    Attributes:
        license: License of the weights; empty: not known.
        data: Training data; empty: the dataset of the configuration.
        attribution: Attribution and terms of use of the data.
        source: Where the weights were published.
        note: Note for users.
        limits: What the weights are not for, beyond what every card says.
        records: Records of a results.json, measured with these weights.
    """

    license: str = ""
    data: str = ""
    attribution: str = ""
    source: str = ""
    note: str = ""
    limits: str = ""
    records: Sequence[dict[str, Any]] = ()


def render_card(
    name: str,
    cfg: CfgNode,
    facts: CardFacts,
    *,
    modalities: Sequence[str],
    class_names: Sequence[str],
    is_classifier: bool,
    parameters: int,
) -> str:
    """Render the card.

    Args:
        name: Name of the model.
        cfg: Its configuration.
        facts: License, data and results.
        modalities: "video", "audio" or both.
        class_names: Names of the classes of a classifier; may be empty.
        is_classifier: Whether the model predicts classes.
        parameters: Number of parameters.

    Returns:
        Markdown.
    """
    does = "classifies" if is_classifier else "computes features of"
    trained = facts.data or _data_name(cfg.TRAIN.DATASET, article="the dataset ")
    sections = [
        front_matter(name, cfg, facts, modalities=modalities, is_classifier=is_classifier),
        f"# {name}",
        f"{cfg.MODEL.MODEL_NAME}, {_arch(cfg, modalities)}, {parameters / 1e6:.2f} M parameters. "
        f"The model {does} clips of {' and '.join(modalities)}.",
        facts.note,
        "## Use",
        _usage(is_classifier),
        "## Input",
        "\n".join(f"- {line}" for line in _inputs(cfg, modalities)),
        "## Training data",
        f"Trained on {trained}. {facts.attribution}".strip(),
        _classes(class_names) if is_classifier else "",
        "## License",
        _license_text(facts),
        "## Intended use and limits",
        intended_use(facts.limits),
        _results(facts.records),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def intended_use(limits: str) -> str:
    """Say what weights are for, and the limits of these ones."""
    return f"{_INTENDED_USE} {limits}".strip()


def front_matter(
    name: str, cfg: CfgNode, facts: CardFacts, *, modalities: Sequence[str], is_classifier: bool
) -> str:
    """Render the YAML at the top of a card, which the Hub searches.

    Args:
        name: Name of the model.
        cfg: Its configuration.
        facts: License, data and results.
        modalities: "video", "audio" or both.
        is_classifier: Whether the model predicts classes.

    Returns:
        YAML between two lines of ``---``.
    """
    task = f"{modalities[0]}-classification" if is_classifier else "feature-extraction"
    known = facts.license.lower()
    if not facts.license:
        front: dict[str, Any] = {"license": _UNKNOWN}
    elif _LICENSES.fullmatch(known):
        front = {"license": known}
    else:
        front = {"license": "other", "license_name": facts.license}
    tags = [*modalities, "slowfast", cfg.MODEL.MODEL_NAME, _arch(cfg, modalities)]
    front |= {"library_name": LIBRARY_NAME, "pipeline_tag": task, "tags": tags}
    name_of_data = _data_name(cfg.TRAIN.DATASET).lower()
    if not facts.data and re.fullmatch(r"[\w.-]+", name_of_data):
        front["datasets"] = [name_of_data]
    if facts.records:
        front["metrics"] = list(dict.fromkeys(record["metric"] for record in facts.records))
        front["model-index"] = [{"name": name, "results": _model_index(facts.records, task)}]
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---"


def _model_index(records: Sequence[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    """List the results of each dataset and split, in the Hub's format."""
    results: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        metric = {"type": record["metric"], "value": record["value"]}
        results.setdefault((_data_name(record["dataset"]), record["split"]), []).append(metric)
    return [
        {
            "task": {"type": task},
            "dataset": {"name": name, "type": name.replace(" ", "_"), "split": split},
            "metrics": metrics,
        }
        for (name, split), metrics in results.items()
    ]


def _data_name(name: str, article: str = "") -> str:
    """Return what a card calls a dataset: "kinetics" reads any folder of videos."""
    if name not in DATASET_REGISTRY or not DATASET_REGISTRY.capability(name, "any_files"):
        return article + name
    audio_only = DATASET_REGISTRY.capability(name, "audio_only")
    return f"a folder of {'audio files' if audio_only else 'videos'}"


def _arch(cfg: CfgNode, modalities: Sequence[str]) -> str:
    return str(cfg.MODEL.ARCH if "video" in modalities else cfg.AUDIO.ARCH)


def _usage(is_classifier: bool) -> str:
    last = 'model.predict("clip.mp4")' if is_classifier else 'model.embed("clip.mp4").features'
    return f"""```python
import slowfast  # pip install 'slowfast-stica[hub]'

model = slowfast.load("hf://ORG/NAME")  # or this folder
{last}
```"""


def _inputs(cfg: CfgNode, modalities: Sequence[str]) -> list[str]:
    lines = []
    if "video" in modalities:
        lines.append(
            f"video: {cfg.DATA.NUM_FRAMES} frames of {cfg.DATA.TEST_CROP_SIZE} x "
            f"{cfg.DATA.TEST_CROP_SIZE} pixels, RGB, mean {list(cfg.DATA.MEAN)}, standard "
            f"deviation {list(cfg.DATA.STD)}"
        )
    if "audio" in modalities:
        lines.append(
            f"audio: {cfg.AUDIO.CLIP_SEC:g} s at {cfg.AUDIO.SAMPLE_RATE} Hz, as a log-mel "
            f"spectrogram of {cfg.AUDIO.NUM_MEL} bins"
        )
    return lines


def _classes(names: Sequence[str]) -> str:
    return f"{len(names)} classes: {', '.join(names)}." if names else ""


def _license_text(facts: CardFacts) -> str:
    source = f" Source: {facts.source}." if facts.source else ""
    if not facts.license:
        return f"Not stated. Add the license before you publish these weights.{source}"
    return f"License of the weights: {facts.license}.{source}"


def _results(records: Sequence[dict[str, Any]]) -> str:
    if not records:
        return ""
    lines = [
        "## Results",
        "",
        "| metric | value | chance | dataset, split | count |",
        "|---" * 5 + "|",
    ]
    for record in records:
        chance = "" if record["chance"] is None else f"{record['chance']:.4f}"
        count = "" if record["count"] is None else str(record["count"])
        lines.append(
            f"| `{record['metric']}` | {record['value']:.4f} | {chance} | "
            f"{_data_name(record['dataset'])}, {record['split']} | {count} |"
        )
    return "\n".join(lines)
