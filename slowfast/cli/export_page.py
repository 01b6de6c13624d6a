"""The README.md of a folder of published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from slowfast.inference.frozen import FrozenModel
from slowfast.inference.model_card import CardFacts, front_matter, intended_use
from slowfast.models.architecture import architecture_words
from slowfast.models.zoo.packaged import RowFacts

__all__ = ["render_page"]

_FILES = """| file | content |
|---|---|
| `{name}.pyth` | `model_state` (float16), `cfg`, `epoch`; plain values (`weights_only=True`) |
| `{name}.pyth.sha256` | `sha256sum -c {name}.pyth.sha256` |
| `config.yaml` | complete training configuration, without paths of the machine |
| `evaluate.yaml` | configuration of the evaluation |
| `results.json` | results of the evaluation (format: docs/results.md) |
| `json_stats.log` | training log |
| `row.yaml` | data of this page |
"""


def render_page(
    folder: Path,
    facts: RowFacts,
    content: dict[str, Any],
    results: dict[str, Any],
    model: FrozenModel,
) -> str:
    """Render the page as Markdown.

    Args:
        folder: Folder of the weights.
        facts: Data, license, notes and commands of the weights.
        content: Content of the weights file.
        results: Results of the evaluation; empty if there are none yet.
        model: The model with these weights.

    Returns:
        Markdown.
    """
    name, state = folder.name, content["model_state"]
    cfg = yaml.safe_load(content["cfg"])
    words = [f"{cfg['MODEL']['MODEL_NAME']}, {cfg['MODEL']['ARCH']}"]
    words.append(f"{sum(value.numel() for value in state.values()) / 1e6:.2f} M values")
    words.append(f"{content['epoch'] + 1} epochs")
    records = results.get("records", ())
    chosen = [record for record in records if record["metric"] in (facts.metrics or results)]
    card = CardFacts(facts.license, facts.data, records=chosen)
    modalities = sorted(model.modalities, reverse=True)
    classifies = model.is_classifier
    front = front_matter(name, model.cfg, card, modalities=modalities, is_classifier=classifies)
    sections = [
        f"{front}\n\n# {name}\n",
        "<!-- Written by tools/export_weights.py from the files next to it. Do not edit. -->\n",
        f"{', '.join(words)}.{f' {facts.note}' if facts.note else ''}\n",
        f"## Training data\n\nTrained on {facts.data}. {facts.attribution}".rstrip() + "\n",
        f"## License\n\nLicense of the weights: {facts.license}.\n",
        f"## Intended use and limits\n\n{intended_use(facts.limits)}\n",
        f"## Files\n\n{_FILES.format(name=name)}",
        _commands("Training", list(facts.commands)),
        _use(folder, cfg, architecture_words(content["cfg"])),
        f"## Results\n\n{results_table(results)}" if results else "Not evaluated yet.\n",
    ]
    return "\n".join(section for section in sections if section)


def _commands(title: str, lines: list[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"## {title}\n\n{body}" if lines else ""


def _use(folder: Path, cfg: dict[str, Any], architecture: str) -> str:
    words = f' PROJECTS "{cfg["PROJECTS"]}"' if cfg["PROJECTS"] else ""
    words += f" {architecture}" if architecture else ""
    data = "" if cfg["TEST"]["DATASET"] == "demo" else " DATA.PATH_TO_DATA_DIR /path/to/data"
    # No path of this machine: an absolute folder is omitted.
    place = Path(folder.name) if folder.is_absolute() else folder
    return _commands(
        "Use",
        [
            f"python tools/run_net.py --cfg YOUR.yaml{words} "
            f"TRAIN.CHECKPOINT_FILE_PATH zoo://{folder.name}",
            f"python tools/run_net.py --cfg {place.as_posix()}/evaluate.yaml{data}",
            f"python tools/export_weights.py --verify {folder.name}{data}",
        ],
    ) + (
        "\nThe second command computes the results below, the third verifies them. They are "
        "identical on the same\nkind of processor; on another one a clip may differ: use "
        "`--tolerance 1`.\n"
    )


def results_table(results: dict[str, Any]) -> str:
    """Format the records of a results.json."""
    lines = ["| metric | value | 95 % interval | chance | of |", "|---" * 5 + "|"]
    for record in results["records"]:
        low_high = record["interval"]
        interval = f"{_percent(low_high[0])} to {_percent(low_high[1])}" if low_high else ""
        fields = [f"`{record['metric']}`", f"{_percent(record['value'])} %", interval]
        fields += [f"{_percent(record['chance'])} %" if record["chance"] is not None else ""]
        fields += [str(record["count"] or "")]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
