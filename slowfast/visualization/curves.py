"""Plots the training curves of a run from ``json_stats.log``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slowfast.utils.logging import read_stats

__all__ = ["loss_names", "plot_curves"]

_NOT_LOSSES = {"step", "dt", "dt_data", "dt_net", "lr", "grad_norm", "share_wait", "share_copy"}


def plot_curves(output_dir: Path) -> Path | None:
    """Plot losses, learning rate and validation metrics against the optimizer step.

    Args:
        output_dir: OUTPUT_DIR with ``json_stats.log``.

    Returns:
        ``OUTPUT_DIR/curves.png``, or None if there is nothing to plot.

    Raises:
        ImportError: If matplotlib is not installed; the message says how to get it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("curves need matplotlib: pip install 'slowfast-stica[report]'") from error
    stats = read_stats(output_dir)
    train = [s for s in stats if s["_type"] == "train_iter"]
    if not train:
        return None
    validation = [s for s in stats if s["_type"] == "val_epoch"]
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3 if validation else 2)
    _plot(axes[0], train, loss_names(train), "loss")
    _plot(axes[1], train, ["lr"], "learning rate")
    if validation:
        names = [name for name in loss_names(validation) if not name.endswith("_err")]
        _plot(axes[2], validation, names, "validation", marker="o")
        axes[2].set_ylim(0, 1)
    path = output_dir / "curves.png"
    figure.savefig(path, dpi=120)
    return path


def loss_names(stats: list[dict[str, Any]]) -> list[str]:
    """Return the names of the losses and metrics in records, the total loss first."""
    names = {
        k for s in stats for k, v in s.items() if isinstance(v, float) and k not in _NOT_LOSSES
    }
    return sorted(names, key=lambda name: (name != "loss", name))


def _plot(
    axis: Any, stats: list[dict[str, Any]], names: list[str], title: str, **style: Any
) -> None:
    for name in names:
        points = [(s["step"], s[name]) for s in stats if name in s]
        width = 2.0 if name == "loss" else 1.2
        axis.plot(*zip(*points, strict=True), label=name, linewidth=width, **style)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("optimizer step")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axis.legend(fontsize=8, frameon=False)
