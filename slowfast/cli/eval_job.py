"""Implementation of ``slowfast eval``: a configuration from weights, then a test of it."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path

from slowfast.cli.arguments import Arguments
from slowfast.cli.runner import run_job
from slowfast.config import CfgNode, UserError
from slowfast.datasets.build import build_dataset
from slowfast.engine.protocols.build import with_protocols_of_data
from slowfast.inference.load import find_weights, load_inference_config

__all__ = ["run_command"]

_LABELED = ["class_retrieval", "knn", "linear_probe"]
_AUDIO_VISUAL = ["cross_modal_retrieval", "av_sync"]


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
    if "TEST.PROTOCOLS" not in arguments.overrides:
        cfg = _with_protocols(cfg, arguments.protocols)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "eval.yaml"
        file.write_text(cfg.dump(), encoding="utf-8")
        command = Arguments([str(file)], [], None, None, "tcp://localhost")
        run_job(str(file), command, source=arguments.source)
    return 0


def _with_protocols(cfg: CfgNode, named: list[str] | None) -> CfgNode:
    """Set the protocols: the named ones, else by the labels of the data and the modalities."""
    cfg.defrost()
    cfg.TEST.PROTOCOLS = named or [*_LABELED, *(_AUDIO_VISUAL if cfg.AUDIO.ENABLE else [])]
    cfg.freeze()
    if not named:
        dataset = build_dataset(cfg.TEST.DATASET, cfg, "test")
        cfg, _ = with_protocols_of_data(cfg, getattr(dataset, "manifest", None))
    if not cfg.TEST.ENABLE:
        raise UserError(
            "--data: the videos have no labels, and the model has no audio to compare them with. "
            "Put them into class folders (DATASET.md), or name --protocols."
        )
    if not set(cfg.TEST.PROTOCOLS) & set(_LABELED):
        cfg.defrost()
        cfg.DATA.FOLDER_TEST_FRACTION = 1.0  # nothing is trained
        cfg.freeze()
    return cfg
