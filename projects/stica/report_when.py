#!/usr/bin/env python3
r"""When do crops and attention help? Hypotheses for five sets of videos, and what the runs say.

    for set in neither order shared_audio both; do
        python tools/sweep_net.py --sweep configs/StiCA/sweeps/when_$set.yaml --jobs 2
    done
    python tools/sweep_net.py --sweep configs/StiCA/sweeps/when_words.yaml --jobs 2 \
        DATA.PATH_TO_DATA_DIR /data/words  # real video: made by make_grid_words.py
    python projects/stica/report_when.py output/sweeps/when_*/sweep.json --out docs/evidence/when

The paper's argument: cross-modal learning keeps only what video and audio share, and it does not
learn invariance within a modality. So the within-modal loss should help where classes have the same
audio, attention where classes differ in the order of their events, both where a set has both kinds
of class, and neither where it has none. Spoken words differ in their audio, and in the order of lip
shapes: attention should help. ``HYPOTHESES`` was written before the first runs. Nothing was tuned
on seeds 81 to 85, and 141 to 145 for words.

Effects are differences over the same seeds with 95 % Student t intervals, and probabilities of
improvement (improvement.py), also over all demo sets, over all sets, and over all metrics.

Unfinished sweeps are reported as far as they are; the report ends with the runs that are missing.
Runs on input crops (when_SET_input.yaml, when_SET_input_count.yaml) belong to the demo set SET.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from improvement import Values, common_seeds, improvement, wins_of_groups
from report_ablation import POOLINGS, contrast, read_values, show, verdict

from slowfast.engine.sweep.results import read_results
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.report_files import write_report
from slowfast.utils.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETS = {
    "neither": "neither",
    "order": "classes differ in order",
    "shared_audio": "classes share audio",
    "both": "both kinds of class",
    "words": "spoken words",
}
WITHIN = {
    "": "cross-modal only",
    "+view": "+ full views",
    "+space": "+ space crops",
    "+time": "+ time crops",
    "+both": "+ both crops",
}
INPUT_SUFFIXES = ("_input", "_input_count")
REAL = ("words",)
"""Sets of real video: they have seeds of their own, and no sweeps on input crops."""

METRICS = (
    "linear_probe_top1",
    "class_retrieval_r1",
    "knn_top1",
    "video_to_audio_r1",
    "audio_to_video_r1",
)
CROPS = ("+space", "+time", "+both")
INPUT_ARMS = {
    "+input_cost": "+ input crops, equal cost",
    "+input_count": "+ input crops, equal count (2 seeds)",
}


class Effect(NamedTuple):
    """Variants with a component against the same variants without it.

    Attributes:
        title: The component.
        pairs: (variant with it, variant without it); the effect is the mean over the pairs.
        helps_in: Sets where it is expected to help; in the others no effect is expected.
    """

    title: str
    pairs: tuple[tuple[str, str], ...]
    helps_in: frozenset[str]

    def differences(self, values: Values) -> list[float]:
        """Compute the effect for each seed that all its variants have.

        Args:
            values: Of one set.

        Returns:
            One difference per seed; exactly 0 where the runs are equal.
        """
        weights: dict[str, float] = {}
        for pair in self.pairs:
            for variant, sign in zip(pair, (1.0, -1.0), strict=True):
                weights[variant] = weights.get(variant, 0.0) + sign / len(self.pairs)
        return contrast(values, weights)


HYPOTHESES = (
    Effect(
        "within-modal loss (views or crops), against none",
        tuple((p + c, p) for p in POOLINGS for c in WITHIN if c),
        frozenset({"shared_audio", "both"}),
    ),
    Effect(
        "crops, against full views in the within-modal loss",
        tuple((p + c, f"{p}+view") for p in POOLINGS for c in CROPS),
        frozenset({"shared_audio", "both"}),
    ),
    Effect(
        "transformer, against average",
        tuple((f"transformer{c}", f"avg{c}") for c in WITHIN),
        frozenset({"order", "both", "words"}),
    ),
    Effect(
        "both crops and transformer, against the transformer alone",
        (("transformer+both", "transformer"),),
        frozenset({"shared_audio", "both"}),
    ),
    Effect(
        "both crops and transformer, against both crops alone",
        (("transformer+both", "avg+both"),),
        frozenset({"order", "both", "words"}),
    ),
)
"""Written on 2026-11-29, before the first run; for words later that day, before their first run."""

INPUT_HYPOTHESES = (
    Effect(
        "feature crops, against input crops at equal cost",
        tuple((f"{p}+both", f"{p}+input_cost") for p in POOLINGS),
        frozenset({"shared_audio", "both"}),
    ),
    Effect(
        "feature crops, against input crops in equal number (2 seeds)",
        tuple((f"{p}+both", f"{p}+input_count") for p in POOLINGS),
        frozenset(),
    ),
)
"""Written on 2026-11-29, before the first run on input crops. By then the runs on feature crops
were finished in shared_audio and begun in order."""

ALL_HYPOTHESES = HYPOTHESES + INPUT_HYPOTHESES


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Read, compute, write."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python projects/stica/report_when.py output/sweeps/when_*/sweep.json "
        "--out docs/evidence/when",
    )
    parser.add_argument(
        "results", type=Path, nargs="+",
        help="sweep.json of when_SET.yaml or when_SET_input.yaml, in folders (or files) so named",
    )  # fmt: skip
    parser.add_argument(
        "--metric", nargs="+",
        help=f"the first is the primary one; default: those that all measured of {METRICS}",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.md and OUT.png")
    args = parser.parse_args()
    try:
        files = files_of_sets(args.results)
        metrics = args.metric or measured_in_all(files)
        measured = {
            metric: {name: read_values(paths, metric)[0] for name, paths in files.items()}
            for metric in metrics
        }
    except ValueError as error:
        parser.error(str(error))
    parts = [
        part
        for metric, sets in measured.items()
        for part in (f"**`{metric}`**", variant_table(sets), effect_table(sets))
    ]
    text = "\n\n".join([*parts, summary(measured), missing(files, metrics)])
    first = metrics[0]
    write_report(args.out, f"{text}\n", plot=lambda path: plot(measured[first], first, path))
    return 0


def files_of_sets(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Group files of results by set, in the order of ``SETS``.

    Raises:
        ValueError: If a file belongs to no set.
    """
    files: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        files[set_of(path)].append(path)
    return {name: files[name] for name in SETS if name in files}


def measured_in_all(files: Mapping[str, Sequence[Path]]) -> list[str]:
    """Return the names of ``METRICS`` that every set measured; the first one in any case."""
    found = [
        {metric for path in paths for metric in read_results(path).chance}
        for paths in files.values()
    ]
    return [m for m in METRICS if m == METRICS[0] or all(m in names for names in found)]


def set_of(path: Path) -> str:
    """Return which set a file of results is of.

    Raises:
        ValueError: If neither the file nor its folder is named after one.
    """
    for name in _names(path):
        found = name.removeprefix("when_")
        for suffix in INPUT_SUFFIXES:
            found = found.removesuffix(suffix)
        if found in SETS:
            return found
    expected = ", ".join(f"when_{name}" for name in SETS)
    raise ValueError(
        f"{path}: expected a folder or file named {expected}, or one of these with "
        f"{' or '.join(INPUT_SUFFIXES)}."
    )


def missing(files: Mapping[str, Sequence[Path]], metrics: Sequence[str]) -> str:
    """List what is missing: sets without a file, and runs without one of the metrics."""
    lines = [f"- {SETS[name]}: no results (when_{name}.yaml)" for name in SETS if name not in files]
    for name, paths in files.items():
        for path in paths:
            lacking: dict[str, list[int]] = defaultdict(list)
            for run in read_results(path).runs:
                if not set(metrics) <= set(run.metrics):
                    lacking[next(iter(run.variant.values()))].append(run.seed)
            lines += [
                f"- {SETS[name]}: {variant}, seeds {', '.join(map(str, sorted(seeds)))}"
                for variant, seeds in lacking.items()
            ]
        lines += [
            f"- {SETS[name]}: no results on input crops (when_{name}{suffix}.yaml)"
            for suffix in INPUT_SUFFIXES
            if name not in REAL
            and not any(found.endswith(suffix) for path in paths for found in _names(path))
        ]
    return "\n".join(["**Missing**", "", *(lines or ["Nothing: all runs have all metrics."])])


def _names(path: Path) -> tuple[str, str]:
    return path.stem, path.absolute().parent.name


def variant_table(sets: Mapping[str, Values]) -> str:
    """Tabulate mean and interval of each variant on each set, in Markdown."""
    arms = WITHIN | INPUT_ARMS
    lines = [f"| set | pooling | {' | '.join(arms.values())} |", f"|---|---|{'--:|' * len(arms)}"]
    for name, values in sets.items():
        for pooling, title in POOLINGS.items():
            texts = (show(values.get(pooling + c, {}).values()) for c in arms)
            lines.append(f"| {SETS[name]} | {title} | {' | '.join(texts)} |")
    return "\n".join(lines)


def effect_table(sets: Mapping[str, Values]) -> str:
    """Tabulate each hypothesis on each set with what was expected and what was found."""
    lines = [
        "| component | set | expected | difference (points) | 95 % interval "
        "| probability of improvement | seeds | found |",
        "|---|---|---|--:|--:|--:|--:|---|",
    ]
    for effect in ALL_HYPOTHESES:
        for name, values in sets.items():
            differences = effect.differences(values)
            if len(differences) < 2:
                continue
            mean, low, high = (100 * x for x in mean_interval(differences))
            expected = "helps" if name in effect.helps_in else "no effect"
            lines.append(
                f"| {effect.title} | {SETS[name]} | {expected} | {mean:+.1f} "
                f"| {low:+.1f} to {high:+.1f} | {100 * improvement(values, effect.pairs):.0f} % "
                f"| {len(differences)} | {verdict(low, high)} |"
            )
    return "\n".join(lines)


def summary(measured: Mapping[str, Mapping[str, Values]]) -> str:
    """Tabulate the probability of improvement over sets and metrics, in Markdown."""
    lines = [
        f"| component | probability of improvement, these sets, {len(measured)} metrics "
        "| of runs of the same seed | 95 % interval | seeds | sets |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for effect in ALL_HYPOTHESES:
        tables = {name: [sets.get(name, {}) for sets in measured.values()] for name in SETS}
        names = [n for n, found in tables.items() if len(common_seeds(found, effect.pairs)) > 1]
        demo = tuple(name for name in names if name not in REAL)
        for chosen in filter(None, dict.fromkeys((demo, tuple(names)))):
            groups = [[values for name in demo for values in tables[name]]] if demo else []
            groups += [tables[name] for name in chosen if name in REAL]
            shares = wins_of_groups(groups, effect.pairs)
            if len(shares) < 2:  # unfinished: the sets have other seeds
                continue
            wins = [improvement(v, effect.pairs) for group in groups for v in group]
            mean, low, high = mean_interval(shares)
            lines.append(
                f"| {effect.title} | {100 * sum(wins) / len(wins):.0f} % | {100 * mean:.0f} % "
                f"| {100 * max(low, 0.0):.0f} to {100 * min(high, 1.0):.0f} | {len(shares)} "
                f"| {', '.join(chosen)} |"
            )
    return "\n".join(lines)


def plot(sets: Mapping[str, Values], metric: str, path: Path) -> None:
    """Plot each effect that was measured with its interval, one panel for each set."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    effects = [
        effect
        for effect in ALL_HYPOTHESES
        if any(len(effect.differences(values)) > 1 for values in sets.values())
    ]
    figure, axes = plt.subplots(
        1, max(len(sets), 1), figsize=(3.1 + 2.5 * len(sets), 1.0 + 0.46 * max(len(effects), 1)),
        sharex=True, sharey=True, constrained_layout=True, squeeze=False,
    )  # fmt: skip
    for panel, (name, values) in zip(axes[0], sets.items(), strict=True):
        _plot_effects(panel, effects, values, name)
    titles = [effect.title.replace(", ", ",\n", 1) for effect in effects]
    axes[0][0].set_yticks(range(len(effects)), titles, fontsize=8)
    axes[0][0].set_ylim(max(len(effects), 1) - 0.5, -0.5)
    axes[0][0].set_xscale("symlog", linthresh=10)
    ticks = [-50, -10, -5, 0, 5, 10, 50]
    axes[0][0].set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    figure.supxlabel(
        f"difference in {metric}, points, with 95 % interval, logarithmic beyond 10; "
        "ring: a gain was expected",
        fontsize=9,
    )
    figure.savefig(path, dpi=130)


def _plot_effects(axes: Axes, effects: Sequence[Effect], values: Values, name: str) -> None:
    for row, effect in enumerate(effects):
        differences = effect.differences(values)
        if len(differences) < 2:
            continue
        mean, low, high = (100 * x for x in mean_interval(differences))
        color = "#009e73" if low > 0 else "#d55e00" if high < 0 else "#8c8c8c"
        axes.errorbar(
            mean, row, xerr=[[mean - low], [high - mean]], fmt="o", capsize=4, color=color
        )
        if name in effect.helps_in:
            axes.plot(mean, row, "o", markersize=13, fillstyle="none", color="black")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title(SETS[name], fontsize=10)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)


if __name__ == "__main__":
    sys.exit(main())
