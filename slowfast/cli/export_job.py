"""Implementation of ``export_weights``: export the weights of a run, and verify them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import slowfast.engine.registrations  # noqa: F401
from slowfast.cli.arguments import Arguments
from slowfast.cli.export_page import render_page
from slowfast.cli.runner import run_job
from slowfast.config import UserError, load_config
from slowfast.config.load import flatten
from slowfast.config.projects import import_installed_projects
from slowfast.config.renamed import translate_results
from slowfast.engine.compare_results import Comparison, compare_results
from slowfast.engine.records import hash_config, hash_state
from slowfast.inference.load import load
from slowfast.models.zoo.packaged import RowFacts, read_facts, read_package_results, row_file
from slowfast.models.zoo.publish import portable_config, to_float, to_half, write_weights
from slowfast.models.zoo.rows import find_row
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file
from slowfast.utils.exit_codes import EXIT_FAILED
from slowfast.utils.io import atomic_path, file_sha256, read_json, write_json
from slowfast.utils.registry import nearest

__all__ = ["run_command"]

_LOG, _RESULTS, _CONFIG, _EVALUATION = (
    *("json_stats.log", "results.json"),
    *("config.yaml", "evaluate.yaml"),
)
_SHOWN = 5
_TESTED_ONLY = ("TRAIN.ENABLE", "TEST.ENABLE", "TEST.CHECKPOINT_FILE_PATH", "TEST.CHECKPOINT_TYPE")


class _Run(NamedTuple):
    """A training run: its newest checkpoint and the folder of its log."""

    checkpoint: Path
    folder: Path


def run_command(arguments: Namespace) -> int:
    """Run the command.

    Returns:
        The exit status: 0, or 1 if verified results differ.

    Raises:
        UserError: If the user's input is wrong.
        OSError: If something cannot be written.
    """
    if arguments.verify is not None:
        return _verify(arguments.verify, arguments.overrides, arguments.tolerance)
    folder: Path = arguments.out
    if not folder.name.replace("-", "_").isidentifier() or not folder.name.islower():
        raise UserError(
            f"--out: '{folder.name}' is the name of the weights: use only a-z, 0-9, - and _."
        )
    facts = _merge_facts(folder, arguments)
    if arguments.checkpoint is not None:
        _export(_find_run(arguments.checkpoint), folder, arguments)
    elif not _weights(folder).is_file():
        raise UserError(f"--out: {folder} has no weights yet; export them with --checkpoint.")
    if arguments.results is not None:
        _store_results(arguments.results, folder)
    _write_pages(folder, facts)
    _say_next(folder)
    return 0


def _weights(folder: Path) -> Path:
    return folder / f"{folder.name}.pyth"


def _merge_facts(folder: Path, arguments: Namespace) -> RowFacts:
    """Return the facts from the command line, else those of row.yaml."""
    known = read_facts(folder)._asdict() if row_file(folder).is_file() else {}
    for key in RowFacts._fields:
        value = getattr(arguments, key)
        if value is not None:
            known[key] = tuple(value) if isinstance(value, list) else value
    for key in ("data", "license"):
        if not known.get(key):
            raise UserError(f"--{key} is required the first time, for {row_file(folder)}.")
    return RowFacts(**known)


def _find_run(path: Path) -> _Run:
    last = find_last_checkpoint(path) if path.is_dir() else path
    if last is None:
        raise UserError(f"--checkpoint: no checkpoint in {path / 'checkpoints'}.")
    in_run = last.parent.name == "checkpoints"
    return _Run(last, last.parent.parent if in_run else last.parent)


def _export(run: _Run, folder: Path, arguments: Namespace) -> None:
    """Write the weights, their hash, both configurations and the log."""
    content = read_checkpoint_file(run.checkpoint)
    if not isinstance(content.get("model_state"), dict):
        raise UserError(
            f"--checkpoint: {run.checkpoint} has no model_state; it is not a training checkpoint."
        )
    config = portable_config(content.get("cfg", ""), folder.name)
    evaluation = _evaluation(config, folder, arguments.overrides)
    half = to_half(content["model_state"])
    if half.kept:
        _say(
            f"warning: {len(half.kept)} tensors have values beyond float16 and stay "
            f"float32: {', '.join(half.kept[:_SHOWN])}"
        )
    weights = _weights(folder)
    published = {"epoch": content.get("epoch", -1), "model_state": half.state, "cfg": config}
    write_weights(weights, published, arguments.max_mb)
    digest = file_sha256(weights)
    _write_text(weights.with_name(f"{weights.name}.sha256"), f"{digest}  {weights.name}\n")
    _write_text(folder / _CONFIG, config)
    _write_text(folder / _EVALUATION, evaluation)
    _copy_log(run.folder / _LOG, folder / _LOG)
    _say(f"{run.checkpoint} -> {weights}, {weights.stat().st_size / 1e6:.2f} MB, sha256 {digest}")
    stored = read_json(folder / _RESULTS)
    if stored and _mismatch(stored, folder):
        (folder / _RESULTS).unlink()
        _say(f"{folder / _RESULTS} belonged to other weights or another evaluation: removed")


def _evaluation(config: str, folder: Path, words: list[str]) -> str:
    """Return the YAML of the evaluation: its differences from the training configuration."""
    kept = folder / _EVALUATION
    if kept.is_file() and not words:
        return kept.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / _CONFIG
        base.write_text(config, encoding="utf-8")
        fixed = ["False", "True", f"zoo://{folder.name}", "pytorch"]
        pairs = [word for pair in zip(_TESTED_ONLY, fixed, strict=True) for word in pair]
        cfg = load_config(base, [*words, *pairs], validate=False).cfg
    values = flatten(cfg)
    tree: dict[str, Any] = {"_BASE_": _CONFIG}
    for key in dict.fromkeys([*_TESTED_ONLY, *words[::2]]):
        *sections, leaf = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        value = values[key]
        node[leaf] = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(tree, sort_keys=False)
    return f"# Evaluation that produced {_RESULTS}: use this file with --cfg.\n{text}"


def _copy_log(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    if not source.is_file():
        _say(f"warning: no {source}: exported without the training log")
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _store_results(source: Path, folder: Path) -> None:
    """Copy the results if they are of the exported weights, else raise."""
    content = read_json(source / _RESULTS)
    if not content:
        raise UserError(f"--results: no {source / _RESULTS}.")
    mismatch = _mismatch(content, folder)
    if mismatch:
        raise UserError(
            f"--results: {source / _RESULTS} does not belong to these weights: {mismatch}. "
            f"Run: python tools/run_net.py --cfg {folder / _EVALUATION}"
        )
    write_json(folder / _RESULTS, content)


def _mismatch(content: dict[str, Any], folder: Path) -> str:
    """Return why results are not of ``evaluate.yaml`` and the exported weights, or ""."""
    weights = hash_state(to_float(read_checkpoint_file(_weights(folder))["model_state"]))
    config = hash_config(load_config(folder / _EVALUATION, validate=False).cfg)
    records = content.get("records", [])
    measured = {record["checkpoint"] for record in records} - {None}
    configs = {record["config"] for record in records}
    if measured != {weights}:
        return f"it evaluated {' and '.join(sorted(measured)) or 'none'}, not {weights}"
    if configs != {config}:
        return f"its configuration is {' and '.join(sorted(configs))}, {_EVALUATION} is {config}"
    return ""


def _write_pages(folder: Path, facts: RowFacts) -> None:
    """Write ``row.yaml``, which adds the weights to the zoo, and ``README.md``."""
    results = translate_results(read_json(folder / _RESULTS))
    for metric in facts.metrics:
        if results and metric not in results:
            known = sorted(results.keys() - {"format", "records", "details"})
            raise UserError(f"--metric: '{metric}' was not measured. {nearest(metric, known)}")
    content = read_checkpoint_file(_weights(folder))
    model = load(_weights(folder), device="cpu")
    _write_text(folder / "README.md", render_page(folder, facts, content, results, model))
    plain = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in facts._asdict().items()
        if value
    }
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    _write_text(row_file(folder), text)


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _say_next(folder: Path) -> None:
    if (folder / _RESULTS).is_file():
        _say(f"verify the results:  python tools/export_weights.py --verify {folder.name}")
        return
    _say(
        f"evaluate next:    python tools/run_net.py --cfg {folder / _EVALUATION}\n"
        f"then add results: python tools/export_weights.py --results output/{folder.name} "
        f"--out {folder}"
    )


def _verify(name: str, words: list[str], clips: int) -> int:
    """Evaluate weights of the zoo again, and compare with their stored results."""
    import_installed_projects()
    row = find_row(name)
    stored = read_package_results(row)
    if not stored:
        raise UserError(f"zoo://{row.name} has no results yet. Run: --cfg {row.config}")
    with tempfile.TemporaryDirectory() as folder:
        overrides = [*row.words, *words, "OUTPUT_DIR", folder]
        run_job(row.config, Arguments([row.config], overrides, None, None, "tcp://localhost"))
        measured = read_json(Path(folder) / _RESULTS)
    comparisons = compare_results(stored, measured, clips)
    width = max(len(comparison.metric) for comparison in comparisons)
    for comparison in comparisons:
        _say(_line(comparison, width))
    different = sum(not comparison.is_same for comparison in comparisons)
    for what, why in (("manifest", "other files"), ("config", "other keys or values")):
        if _all(stored, what) != _all(measured, what):
            _say(f"note: the {what} differs from the recorded one ({why})")
    if _all(stored, "checkpoint") != _all(measured, "checkpoint"):
        _say("the evaluated weights are not those of the stored results")
        return EXIT_FAILED
    _say(f"zoo://{row.name}: {len(comparisons) - different} of {len(comparisons)} as recorded")
    return EXIT_FAILED if different else 0


def _line(comparison: Comparison, width: int) -> str:
    verdict = "same" if comparison.is_same else "DIFFERENT"
    stored, measured = (
        "-" if value is None else f"{value:.6f}"
        for value in (comparison.stored, comparison.measured)
    )
    return f"{comparison.metric.ljust(width)}  {stored}  {measured}  {verdict}"


def _all(content: dict[str, Any], key: str) -> set[str]:
    return {record[key] for record in content.get("records", []) if record[key] is not None}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
