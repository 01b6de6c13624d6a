"""Implementation of ``slowfast eval``: a configuration from weights, then a test of it."""

from __future__ import annotations

import logging
import math
import tempfile
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from slowfast.cli.arguments import Arguments
from slowfast.cli.runner import run_job
from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.layouts import find_layout
from slowfast.datasets.build import build_dataset
from slowfast.engine.protocols.build import with_protocols_of_data
from slowfast.inference.load import find_weights, load_inference_config
from slowfast.utils.io import set_aside
from slowfast.utils.logging import setup_logging

__all__ = ["run_command"]

logger = logging.getLogger(__name__)

_LABELED = ["class_retrieval", "knn", "linear_probe"]
_AUDIO_VISUAL = ["cross_modal_retrieval", "av_sync"]
_FRACTION = "DATA.FOLDER_TEST_FRACTION"
_OUTPUTS = ("results.json", "bad_media.csv", "predictions.csv")


def run_command(arguments: Namespace) -> int:
    """Run the command.

    Returns:
        The exit status, 0.

    Raises:
        UserError: If the weights or the data cannot be used.
    """
    weights = find_weights(arguments.source, arguments.cfg)
    is_run = Path(arguments.source).expanduser().is_dir()
    out = arguments.out or str(Path(arguments.source) / "eval" if is_run else "output/eval")
    words = ["OUTPUT_DIR", out]
    if arguments.data:
        words += ["TEST.DATASET", "video_folder", "DATA.PATH_TO_DATA_DIR", arguments.data]
    words += arguments.overrides
    cfg = load_inference_config(weights, words, own_data=not arguments.data)
    if not arguments.data and cfg.TEST.DATASET != "demo" and not cfg.DATA.PATH_TO_DATA_DIR:
        raise UserError("--data: name a folder of videos; the weights do not come with one.")
    setup_logging(None)
    if "TEST.PROTOCOLS" not in arguments.overrides:
        cfg = _with_protocols(cfg, arguments.protocols, _FRACTION in arguments.overrides)
    if is_run:
        own = load_inference_config(weights, [], own_data=True).DATA.PATH_TO_DATA_DIR
        _tell_overlap(cfg, own)
    _set_aside(Path(out), cfg)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "eval.yaml"
        file.write_text(cfg.dump(), encoding="utf-8")
        command = Arguments([str(file)], [], None, None, "tcp://localhost")
        run_job(str(file), command, source=arguments.source)
    return 0


def _with_protocols(cfg: CfgNode, named: list[str] | None, has_fraction: bool) -> CfgNode:
    """Set the protocols: the named ones, else by the labels of the data and the modalities.

    A folder without splits is tested as a whole if no protocol needs a gallery, unless the user
    has set the fraction.
    """
    whole = _changed(cfg, {} if has_fraction else {"FOLDER_TEST_FRACTION": 1.0})
    whole.defrost()
    whole.TEST.PROTOCOLS = named or [*_LABELED, *(_AUDIO_VISUAL if cfg.AUDIO.ENABLE else [])]
    whole.freeze()
    if not named:
        dataset = build_dataset(cfg.TEST.DATASET, whole, "test")
        whole, _ = with_protocols_of_data(whole, getattr(dataset, "manifest", None))
    if not whole.TEST.ENABLE:
        raise UserError(
            "--data: the videos have no labels, and the model has no audio to compare them with. "
            "Put them into class folders (DATASET.md), or name --protocols."
        )
    if set(whole.TEST.PROTOCOLS) & set(_LABELED):
        return _changed(whole, {"FOLDER_TEST_FRACTION": cfg.DATA.FOLDER_TEST_FRACTION})
    return whole


def _changed(cfg: CfgNode, data: dict[str, float]) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATA.update(data)
    cfg.freeze()
    return cfg


def _tell_overlap(cfg: CfgNode, trained_on: str) -> None:
    """Warn if a whole folder is tested on which the weights were trained."""
    tested = cfg.DATA.PATH_TO_DATA_DIR
    if not (tested and trained_on) or not math.isclose(cfg.DATA.FOLDER_TEST_FRACTION, 1.0):
        return
    root = Path(tested).expanduser()
    is_same = root.absolute() == Path(trained_on).expanduser().absolute()
    if is_same and root.is_dir() and find_layout(root).kind == "folder":  # others have splits
        logger.warning(
            "the weights were trained on most of the videos of %s, and all of them are tested. "
            "Only those that were held out in training: %s 0.1, or the value of that run.",
            tested,
            _FRACTION,
        )


def _set_aside(out: Path, cfg: CfgNode) -> None:
    """Rename the results of other data or weights, which would be mixed with the new ones."""
    config = out / "config.yaml"
    if not config.is_file():
        return
    before = CfgNode.load_cfg(config.read_text(encoding="utf-8"))
    if _data_and_weights(before) == _data_and_weights(cfg):
        return
    for name in _OUTPUTS:
        with suppress(FileNotFoundError):  # there is none, or another process was first
            aside = set_aside(out / name)
            logger.info("%s is of other data or weights; it is %s now", out / name, aside.name)


def _data_and_weights(cfg: CfgNode) -> tuple[str | None, str | None]:
    data, test = cfg.get("DATA") or {}, cfg.get("TEST") or {}
    return data.get("PATH_TO_DATA_DIR"), test.get("CHECKPOINT_FILE_PATH")
