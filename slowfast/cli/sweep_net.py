"""``sweep_net``: run many configs from one YAML and print means, intervals and differences."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slowfast.cli.sweep_configs import load_configs
from slowfast.config.problems import UserError
from slowfast.engine.sweep.expand import SweepRun, plan_runs
from slowfast.engine.sweep.local import LocalLauncher, find_gpus, lock_folder
from slowfast.engine.sweep.records import Sweep
from slowfast.engine.sweep.run_state import FAILED
from slowfast.engine.sweep.schedule import LOG_NAME, Launcher, Scheduler, catch_interrupts
from slowfast.engine.sweep.slurm import SlurmLauncher
from slowfast.engine.sweep.spec import load_sweep
from slowfast.engine.sweep.summary import collect
from slowfast.engine.sweep.tables import format_markdown, write_summary
from slowfast.engine.sweep.tasks import Task, describe, make_tasks, refuse_changed, select
from slowfast.utils.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, exit_with
from slowfast.utils.registry import nearest
from slowfast.visualization.sweep_plot import plot_sweep

__all__ = ["main", "parse_sweep_arguments"]

RUN_COMMAND = (sys.executable, "-m", "slowfast.cli.run_net")

_EPILOG = """examples:
  %(prog)s --sweep sweeps/ablation.yaml --dry-run
  %(prog)s --sweep ablation.yaml --jobs 4 DATA.PATH_TO_DATA_DIR videos NUM_GPUS 1
  %(prog)s --sweep ablation.yaml --collect          (only read what is there)

The same command again skips what is finished and goes on with what was interrupted.
"""


def parse_sweep_arguments(words: list[str], program: str = "sweep_net.py") -> argparse.Namespace:
    """Parse a command line.

    Args:
        words: Without the program's name.
        program: Its name, for the help.

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


def main(words: list[str] | None = None) -> int:
    """Run a sweep.

    Args:
        words: The command line without the program's name; None: this process's.

    Returns:
        The exit status: 0; 1 if a run failed or was stopped; 2 after a user's mistake, before any
        run was started; 130 after Ctrl-C.
    """
    arguments = parse_sweep_arguments(sys.argv[1:] if words is None else words)
    return exit_with(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    sweep = load_sweep(arguments.sweep, arguments.overrides)
    sweep = replace(
        sweep,
        jobs=arguments.jobs or sweep.jobs,
        slurm=None if arguments.local else sweep.slurm,
        output_dir=Path(arguments.output_dir or sweep.output_dir),
    )
    runs = plan_runs(sweep)
    if arguments.collect:
        if not sweep.output_dir.is_dir():
            raise UserError(f"output_dir: {sweep.output_dir} does not exist: nothing was run yet.")
        _report(sweep, runs, [])
        return 0
    if arguments.dry_run:
        _list_tasks(sweep, _choose(_load_tasks(sweep, runs), arguments.only))
        return 0
    # Locked before looking at what is there, so that it cannot change in between.
    with lock_folder(sweep.output_dir) as lock:
        tasks = _load_tasks(sweep, runs)
        chosen = _choose(tasks, arguments.only)
        if not arguments.force:
            refuse_changed(chosen)
        stopped = _schedule(sweep, chosen, lock)
        _report(sweep, runs, [task.name for task in tasks if task.changes])
    return _conclude(sweep, chosen, stopped)


def _load_tasks(sweep: Sweep, runs: Sequence[SweepRun]) -> list[Task]:
    _say(f"checking {len({run.name for run in runs})} runs of {sweep.source}")
    return make_tasks(runs, load_configs(runs, sweep.source), sweep.output_dir)


def _choose(tasks: list[Task], pattern: str) -> list[Task]:
    return select(tasks, pattern) if pattern else tasks


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _say_with_time(line: str) -> None:
    _say(line if line.startswith(" ") else f"{time.strftime('%H:%M:%S')}  {line}")


def _list_tasks(sweep: Sweep, tasks: Sequence[Task]) -> None:
    width = max(len(task.name) for task in tasks)
    for task in tasks:
        needs = ", ".join(task.run.needs.values())
        _say(f"  {task.name.ljust(width)}  {describe(task)}{f', needs {needs}' if needs else ''}")
        for change in task.changes:
            _say(f"      {change}")
    stages = {task.run.stage: task for task in reversed(tasks)}
    _say("\nThe first command of each stage:" if len(stages) > 1 else "\nThe first command:")
    for task in reversed(stages.values()):
        _say(f"  python tools/run_net.py {shlex.join(task.marker.command)}")
    how = "as a SLURM array" if sweep.slurm is not None else f"{sweep.jobs} at a time"
    _say(f"\n{len(tasks)} runs in {sweep.output_dir}, {how}")


def _schedule(sweep: Sweep, tasks: Sequence[Task], lock: int) -> bool:
    """Run tasks; say whether the user stopped it."""
    launcher: Launcher
    if sweep.slurm is not None:
        launcher = SlurmLauncher(RUN_COMMAND, sweep.output_dir, sweep.slurm)
    else:
        launcher = LocalLauncher(RUN_COMMAND, sweep.jobs, find_gpus(os.environ), lock)
    left = sum(not task.is_finished for task in tasks)
    where = f"; what they print goes to {sweep.output_dir / 'NAME' / LOG_NAME}"
    _say(f"{left} to run{where if left else ''}")
    with catch_interrupts() as interrupts:
        Scheduler(tasks, launcher, interrupts, _say_with_time).run()
    return bool(interrupts.received)


def _report(sweep: Sweep, runs: Sequence[SweepRun], changed: Sequence[str]) -> None:
    """Write and print what there is."""
    content = collect(sweep, runs, sweep.output_dir, changed)
    write_summary(sweep.output_dir, content)
    states = {run["name"]: run["state"] for run in content["runs"]}
    counts = {state: list(states.values()).count(state) for state in states.values()}
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
        picture = plot_sweep(sweep.output_dir)
        names += [picture.name] if picture else []
    except ImportError as error:
        _say(str(error))
    _say(f"in {sweep.output_dir}: {', '.join(names)}")


def _conclude(sweep: Sweep, tasks: Sequence[Task], stopped: bool) -> int:
    """Say what is left to do and how."""
    failed = [task for task in tasks if task.marker.state == FAILED]
    left = [task for task in tasks if not task.is_finished and task not in failed]
    if failed:
        lines = "".join(f"\n  {task.folder / LOG_NAME}" for task in failed)
        _say(f"{len(failed)} failed; the same command tries again:{lines}")
    if stopped and sweep.slurm is not None:
        numbers = sorted({t.marker.slurm_job for t in left if t.marker.slurm_job})
        _say(
            f"{len(left)} are not finished. Submitted jobs go on by themselves (to end them: "
            f"scancel {' '.join(numbers)}); run the same command again to wait for them."
        )
    elif left:
        why = "wait for one that failed" if failed and not stopped else "are not finished"
        _say(f"{len(left)} {why}; run the same command again to go on.")
    if stopped:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if failed or left else 0


if __name__ == "__main__":
    sys.exit(main())
