"""Reads a ``sweep.json``: what reports and plots of a sweep begin with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from slowfast.config.renamed import translate_sweep
from slowfast.engine.sweep.run_state import State

__all__ = ["RunResult", "SweepResults", "read_results"]


class RunResult(NamedTuple):
    """A run of a sweep and what it measured.

    Attributes:
        name: Of its folder, relative to the sweep's.
        stage: "" in a sweep without stages.
        variant: Axis of the grid -> value; of ``runs``, one axis.
        seed: None in a sweep without seeds.
        state: "finished", or how far it came.
        metrics: Metric -> value, shares between 0 and 1; empty until it is finished.
    """

    name: str
    stage: str
    variant: Mapping[str, str]
    seed: int | None
    state: str
    metrics: Mapping[str, float]

    @property
    def is_finished(self) -> bool:
        """Whether the run ended as its sweep says."""
        return self.state == State.FINISHED


class SweepResults(NamedTuple):
    """All runs of a sweep.

    Attributes:
        sweep: Name of the YAML, without folder and ending.
        runs: In the order of the sweep.
        chance: Metric -> chance level, where there is one.
    """

    sweep: str
    runs: list[RunResult]
    chance: Mapping[str, float]

    def finished(self) -> list[RunResult]:
        """Return the finished runs, in the order of the sweep.

        Raises:
            ValueError: If there is none.
        """
        runs = [run for run in self.runs if run.is_finished]
        if not runs:
            raise ValueError(
                f"{self.sweep}: none of {len(self.runs)} runs is finished; "
                "the same command of tools/sweep_net.py resumes the sweep."
            )
        return runs

    def values(self, metric: str, stage: str = "") -> dict[str, dict[int, float]]:
        """Return a metric of the runs with a seed.

        Args:
            metric: Its name.
            stage: "" in a sweep without stages.

        Returns:
            Variant -> seed -> value; the values of a variant are joined by "+".

        Raises:
            ValueError: If a seed has several runs of a variant, one per fold.
        """
        found: dict[str, dict[int, float]] = {}
        for run in self.runs:
            if run.stage == stage and metric in run.metrics and run.seed is not None:
                of_seeds = found.setdefault("+".join(run.variant.values()), {})
                if run.seed in of_seeds:
                    raise ValueError(
                        f"{self.sweep}: seed {run.seed} has several runs like {run.name}, expected "
                        "one: with folds, average over `runs`."
                    )
                of_seeds[run.seed] = run.metrics[metric]
        return found


def read_results(path: Path) -> SweepResults:
    """Read a ``sweep.json`` of this version or an earlier one.

    Raises:
        ValueError: If there is no such file, or it is not of a sweep.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; tools/sweep_net.py ends with it.")
    try:
        content = translate_sweep(json.loads(path.read_text(encoding="utf-8")))
        runs = [
            RunResult(
                **{name: run[name] for name in ("name", "stage", "variant", "seed", "state")},
                metrics={
                    # Files of the first versions have no chance level next to the value.
                    name: value["value"] if isinstance(value, Mapping) else value
                    for name, value in run["metrics"].items()
                },
            )
            for run in content["runs"]
        ]
        found = [(entry["metric"], entry["chance"]) for entry in content["results"]]
        sweep = Path(content["sweep"]).stem
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected a sweep.json of tools/sweep_net.py ({type(error).__name__}: {error})"
        ) from error
    chance = {metric: level for metric, level in reversed(found) if level is not None}
    return SweepResults(sweep, runs, chance)
