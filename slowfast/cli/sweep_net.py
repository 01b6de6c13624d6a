"""``sweep_net``: run many configs from one YAML and print means, intervals and differences."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slowfast.config.load import flatten, load_config
from slowfast.config.problems import ConfigError, ConfigValueError, Problem, UserError
from slowfast.engine.sweep.expand import SweepRun, expand, to_cli_args
from slowfast.engine.sweep.inputs import find_missing_inputs, is_on_demo
from slowfast.engine.sweep.local import LocalLauncher, find_gpus, lock_folder
from slowfast.engine.sweep.report import collect, format_markdown, write_report
from slowfast.engine.sweep.run_state import RunState, State, load_states, refuse_changed, select
from slowfast.engine.sweep.scheduler import LOG_NAME, Launcher, Scheduler, catch_signals
from slowfast.engine.sweep.schema import Sweep, load_sweep
from slowfast.engine.sweep.slurm import SlurmLauncher
from slowfast.utils.exit_codes import EXIT_FAILED, exit_with
from slowfast.utils.registry import nearest
from slowfast.utils.stop_signals import stop_status
from slowfast.visualization.sweep_plot import plot_sweep

__all__ = ["load_configs", "main", "parse_sweep_arguments"]

RUN_COMMAND = (sys.executable, "-m", "slowfast", "train")

_EPILOG = """examples:
  %(prog)s --sweep sweeps/ablation.yaml --dry-run
  %(prog)s --sweep ablation.yaml --jobs 4 DATA.PATH_TO_DATA_DIR videos NUM_GPUS 1
  %(prog)s --sweep ablation.yaml --collect          (only read what is there)

The same command again skips what is finished and resumes what was interrupted.
"""


def parse_sweep_arguments(words: list[str], program: str = "sweep_net.py") -> argparse.Namespace:
    """Parse a command line.

    Returns:
        ``sweep``, ``dry_run``, ``only``, ``collect``, ``force``, ``local``, ``jobs``,
        ``output_dir`` and ``overrides``, ``KEY VALUE KEY VALUE ...``.
    """
    parser = argparse.ArgumentParser(
        program,
        description="Run many configs from one YAML (docs/sweeps.md) and compare them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sweep", required=True, metavar="X.yaml", help="what to run")
    parser.add_argument("--dry-run", action="store_true", help="check and list the runs only")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only runs of such names")
    parser.add_argument("--collect", action="store_true", help="only read the results")
    parser.add_argument("--force", action="store_true", help="run changed runs again")
    parser.add_argument("--local", action="store_true", help="on this machine, not on SLURM")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at once on this machine")
    parser.add_argument("--output_dir", metavar="DIR", help="instead of the YAML's")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="for all runs")
    split = words.index("--opts") if "--opts" in words else len(words)
    arguments = parser.parse_intermixed_args(words[:split])
    arguments.overrides += words[split + 1 :]
    if arguments.jobs is not None and arguments.jobs < 1:
        parser.error(f"--jobs: got {arguments.jobs}, expected at least 1")
    return arguments


def main(words: list[str] | None = None, program: str = "sweep_net.py") -> int:
    """Run a sweep.

    Args:
        words: The command line without the program's name; None: this process's.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 1 if a run failed or was stopped; 2 after a user's mistake, before any
        run was started; 130 after Ctrl-C, 75 after another signal that asks it to end.
    """
    arguments = parse_sweep_arguments(sys.argv[1:] if words is None else words, program)
    return exit_with(lambda: _run(arguments))


def load_configs(runs: Sequence[SweepRun], source: str) -> dict[str, dict[str, Any]]:
    """Load and check the config of every run, before the first of them starts.

    Args:
        runs: The runs. Placeholders stay as they are: what they stand for need not exist yet.
        source: The sweep's YAML, for messages.

    Returns:
        Name of a run -> its complete configuration, dotted, as JSON holds it.

    Raises:
        ConfigError: With the problems of all runs, each but once.
    """
    # Heavy imports wait until the sweep is known to be good: --help takes no second.
    import slowfast.engine.registrations  # noqa: F401

    configs: dict[str, dict[str, Any]] = {}
    problems: dict[Problem, list[str]] = {}
    logging.disable(logging.WARNING)  # the log of each run has them
    try:
        for name, run in {run.name: run for run in runs}.items():
            configs[name], found = _load_config(run)
            for problem in found:
                problems.setdefault(problem, []).append(name)
    finally:
        logging.disable(logging.NOTSET)
    _refuse(problems, source)
    return configs


def _load_config(run: SweepRun) -> tuple[dict[str, Any], list[Problem]]:
    try:
        args = [*to_cli_args(run.overrides), "OUTPUT_DIR", "{stage_dir}"]
        config = flatten(load_config(run.cfg, args).cfg)
    except ConfigError as error:
        return {}, error.problems
    except ConfigValueError as error:
        return {}, [Problem("cfg", error.problem.message)]
    except UserError as error:
        return {}, [Problem("cfg", str(error))]
    return json.loads(json.dumps(config, default=str)), []


def _refuse(problems: Mapping[Problem, Sequence[str]], source: str) -> None:
    if problems:
        raise ConfigError([_locate(*item) for item in problems.items()], source)


def _locate(problem: Problem, names: Sequence[str]) -> Problem:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return Problem(problem.key, f"{problem.message} (in {names[0]}{more})")


def _run(arguments: argparse.Namespace) -> int:
    sweep = load_sweep(arguments.sweep, arguments.overrides)
    sweep = replace(
        sweep,
        jobs=arguments.jobs or sweep.jobs,
        slurm=None if arguments.local else sweep.slurm,
        output_dir=Path(arguments.output_dir or sweep.output_dir),
    )
    runs = expand(sweep)
    if arguments.collect:
        if not sweep.output_dir.is_dir():
            raise UserError(f"output_dir: {sweep.output_dir} does not exist: nothing was run yet.")
        _report(sweep, runs, load_states(runs, None))
        return 0
    _say(f"checking {len({run.name for run in runs})} runs of {sweep.source}")
    configs = load_configs(runs, sweep.source)
    if on_demo := sum(map(is_on_demo, configs.values())):
        _say(
            f"DATA.PATH_TO_DATA_DIR is empty: {on_demo} of {len(configs)} use the built-in demo set"
        )
    if arguments.dry_run:
        _list_runs(sweep, select(load_states(runs, configs), arguments.only))
        return 0
    # Locked before looking at what is there, so that it cannot change in between.
    with lock_folder(sweep.output_dir) as lock:
        states = load_states(runs, configs)
        chosen = select(states, arguments.only)
        if not arguments.force:
            refuse_changed(chosen)
        if sweep.slurm is None:  # other machines may have other folders
            left = [state.run for state in chosen if not state.is_finished]
            missing = find_missing_inputs(left, configs, sweep.output_dir)
            _refuse(missing, sweep.source)
        stopped_by = _schedule(sweep, chosen, lock)
        _report(sweep, runs, states)
    return _conclude(sweep, chosen, stopped_by)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _say_with_time(line: str) -> None:
    _say(line if line.startswith(" ") else f"{time.strftime('%H:%M:%S')}  {line}")


def _list_runs(sweep: Sweep, states: Sequence[RunState]) -> None:
    width = max(len(state.name) for state in states)
    for state in states:
        needs = ", ".join(state.run.needs.values())
        needs = f", needs {needs}" if needs else ""
        _say(f"  {state.name.ljust(width)}  {state.describe()}{needs}")
        for change in state.changes:
            _say(f"      {change}")
    first = {state.run.stage: state.run for state in reversed(states)}
    _say(f"\nThe first command{' of each stage' if len(first) > 1 else ''}:")
    for run in reversed(first.values()):
        _say(f"  python tools/run_net.py {shlex.join(run.argv)}")
    how = "as a SLURM array" if sweep.slurm is not None else f"{sweep.jobs} at a time"
    _say(f"\n{len(states)} runs in {sweep.output_dir}, {how}")


def _schedule(sweep: Sweep, states: Sequence[RunState], lock: int) -> int:
    """Run what is left; return the signal that stopped it, 0 if none did."""
    launcher: Launcher
    if sweep.slurm is not None:
        launcher = SlurmLauncher(RUN_COMMAND, sweep.output_dir, sweep.slurm)
    else:
        launcher = LocalLauncher(RUN_COMMAND, sweep.jobs, find_gpus(os.environ), lock)
    left = sum(not state.is_finished for state in states)
    where = f"; what they print goes to {sweep.output_dir / 'NAME' / LOG_NAME}"
    _say(f"{left} to run{where if left else ''}")
    with catch_signals() as signals:
        Scheduler(states, launcher, signals, _say_with_time).run()
    return signals[0] if signals else 0


def _report(sweep: Sweep, runs: Sequence[SweepRun], states: Sequence[RunState]) -> None:
    """Write and print what there is."""
    content = collect(sweep, runs, states)
    write_report(sweep.output_dir, content)
    found = {run["name"]: run["state"] for run in content["runs"]}
    counts = {state: list(found.values()).count(state) for state in found.values()}
    _say(f"\n{', '.join(f'{count} {state}' for state, count in counts.items())}\n")
    if not content["results"]:
        _say("no run has results yet: they come from TEST.ENABLE True")
        return
    if not any(result["shown"] for result in content["results"]):
        measured = {result["metric"] for result in content["results"]}
        _say(f"metrics: no run measured {sweep.metrics[0]}. {nearest(sweep.metrics[0], measured)}")
        return
    _say(format_markdown(content))
    names = ["table.md", "table.csv", "sweep.json"]
    try:
        figure = plot_sweep(sweep.output_dir)
        names += [figure.name] if figure else []
    except ImportError as error:
        _say(str(error))
    _say(f"in {sweep.output_dir}: {', '.join(names)}")


def _conclude(sweep: Sweep, states: Sequence[RunState], stopped_by: int) -> int:
    """Say what is left to do and how."""
    failed = [state for state in states if state.state == State.FAILED]
    left = [s for s in states if s.state not in (State.FINISHED, State.FAILED)]
    if failed:
        logs = "".join(f"\n  {state.run.folder / LOG_NAME}" for state in failed)
        _say(f"{len(failed)} failed; the same command tries again:{logs}")
    if stopped_by and sweep.slurm is not None:
        numbers = sorted({state.slurm_job for state in left if state.slurm_job})
        _say(
            f"{len(left)} are not finished. Submitted jobs keep running (to end them: "
            f"scancel {' '.join(numbers)}); run the same command again to wait for them."
        )
    elif left:
        why = "wait for one that failed" if failed and not stopped_by else "are not finished"
        _say(f"{len(left)} {why}; run the same command again to resume.")
    if stopped_by:
        return stop_status(stopped_by)
    return EXIT_FAILED if failed or left else 0
