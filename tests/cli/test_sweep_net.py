"""The whole command on a runner that takes no time: exit status, messages, what it leaves."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.sweeps import runner, write_sweep
from helpers.synthetic import OVERRIDES

from slowfast.cli import sweep_net
from slowfast.cli.sweep_net import main, parse_sweep_arguments
from slowfast.engine.sweep.scheduler import Launcher

TEXT = """
cfg: a.yaml
output_dir: {out}
grid: {{METRIC: [0.5, 0.7]}}
seeds: [1, 2]
compare: METRIC=0.5
jobs: 2
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Run the command on a YAML; configs are not loaded, runs are the helpers' runner."""
    monkeypatch.setattr(sweep_net, "RUN_COMMAND", runner(tmp_path))
    monkeypatch.setattr("slowfast.engine.sweep.scheduler._POLL_SEC", 0.02)
    configs = lambda runs, source: {run.name: dict(run.overrides) for run in runs}  # noqa: E731
    monkeypatch.setattr(sweep_net, "load_configs", configs)

    def run(*words, text=TEXT):
        path = write_sweep(tmp_path, text.format(out=tmp_path / "out"))
        return main(["--sweep", path, *words])

    return run


def test_a_sweep_from_beginning_to_end(sweep, tmp_path, capsys):
    assert sweep() == 0
    text = capsys.readouterr().out
    assert "4 to run; what they print goes to" in text
    assert "[4 of 4 done]" in text
    assert "+20.0" in text
    for name in ("sweep.json", "table.md", "table.csv", "sweep.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0
        assert name in text
    content = json.loads((tmp_path / "out/sweep.json").read_text(encoding="utf-8"))
    assert [run["state"] for run in content["runs"]] == ["finished"] * 4
    # Again: nothing is run, the same is printed.
    assert sweep() == 0
    text = capsys.readouterr().out
    assert "0 to run" in text
    assert "+20.0" in text


def test_dry_run_only_lists(sweep, tmp_path, capsys):
    assert sweep("--dry-run") == 0
    text = capsys.readouterr().out
    assert text.count("  new\n") == 4
    assert f"--opts METRIC 0.5 RNG_SEED 1 OUTPUT_DIR {tmp_path}/out/METRIC=0.5/seed_1" in text
    assert "4 runs in" in text
    assert not (tmp_path / "out").exists()


def test_only_and_collect(sweep, capsys):
    assert sweep("--collect") == 2
    assert "does not exist: nothing was run yet" in capsys.readouterr().err
    assert sweep("--only", "seed_1") == 0
    text = capsys.readouterr().out
    assert "2 finished, 2 new" in text
    assert "1 of 2 seeds" in text
    assert sweep("--collect") == 0
    text = capsys.readouterr().out
    assert "1 of 2 seeds" in text
    assert "checking" not in text
    assert sweep("--only", "seed_7") == 2
    assert "--only: no run matches 'seed_7'" in capsys.readouterr().err


def test_a_failure_is_reported_at_the_end(sweep, tmp_path, capsys):
    runs = "runs: {{a: {{FAIL: 4}}, b: {{METRIC: 1}}}}"
    text = TEXT.replace("grid: {{METRIC: [0.5, 0.7]}}", runs).replace("METRIC=0.5", "a")
    assert sweep(text=text) == 1
    out = capsys.readouterr().out
    assert "about to fail" in out
    assert "exit status 4" in out
    assert f"2 failed; the same command tries again:\n  {tmp_path}/out/a/seed_1/run.log" in out
    assert "100.0 %" in out  # what did not fail is shown


def test_what_waits_for_a_failed_run_is_counted(sweep, capsys):
    text = (
        "output_dir: {out}\nstages:\n  one: {{cfg: a.yaml, overrides: {{FAIL: 1}}}}\n"
        "  two: {{cfg: b.yaml, overrides: {{X: '{{one.dir}}'}}}}\n"
    )
    assert sweep(text=text) == 1
    out = capsys.readouterr().out
    assert "1 wait for one that failed" in out
    assert "no run has results yet" in out


def test_a_changed_sweep_is_refused_and_forced(sweep, tmp_path, capsys):
    text = "cfg: a.yaml\noutput_dir: {out}\noverrides: {{METRIC: 0.5}}\n"
    assert sweep(text=text) == 0
    assert sweep("METRIC", "0.6", text=text) == 2
    error = capsys.readouterr().err
    assert "METRIC: 0.5 -> '0.6'" in error
    assert sweep("--force", "METRIC", "0.6", text=text) == 0
    out = capsys.readouterr().out
    assert "60.0 %" in out
    assert (tmp_path / "out/run.replaced_1/results.json").exists()


def test_ctrl_c_saves_and_says_how_to_resume(sweep, tmp_path, capsys):
    text = "cfg: a.yaml\noutput_dir: {out}\noverrides: {{SLEEP: 60, METRIC: 0.5}}\nseeds: [1, 2]\n"

    def interrupt():
        log = tmp_path / "out/seed_1/run.log"
        while not (log.exists() and "threads" in log.read_text(encoding="utf-8")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert sweep(text=text) == 130
    out = capsys.readouterr().out
    assert "stopping: waiting for seed_1 to save" in out
    assert "2 are not finished; run the same command again" in out
    (tmp_path / "out/seed_2").mkdir()
    (tmp_path / "out/seed_2/saved").touch()
    assert sweep(text=text) == 0
    assert "resumed     seed_1" in capsys.readouterr().out
    log = (tmp_path / "out/seed_1/run.log").read_text(encoding="utf-8")
    assert log.count("\n$ ") == 2  # that of the first attempt is kept
    assert log.count("saved") == 1


def test_a_metric_that_nobody_measured(sweep, capsys):
    assert sweep(text=TEXT + "metrics: [top1]\n") == 0
    assert "metrics: no run measured top1. Known: top1_acc." in capsys.readouterr().out


def test_without_matplotlib_there_are_tables(sweep, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert sweep() == 0
    out = capsys.readouterr().out
    assert "slowfast-stica[report]" in out
    assert "sweep.png" not in out.splitlines()[-1]


def test_slurm_is_asked_for_by_the_yaml(sweep, monkeypatch, capsys):
    asked = []

    class Cluster(Launcher):
        detaches = True

        def __init__(self, command, output_dir, parameters):
            asked.append(parameters)

        def start(self, states):
            for number, state in enumerate(states):
                state.slurm_job = f"9_{number}"
            return [SimpleNamespace(poll=lambda: None) for _ in states]

    monkeypatch.setattr(sweep_net, "SlurmLauncher", Cluster)
    text = TEXT + "slurm: {{timeout_min: 5}}\n"
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert sweep(text=text) == 130
    assert asked == [{"timeout_min": 5}]
    assert "scancel 9_0 9_1 9_2 9_3" in capsys.readouterr().out
    assert sweep("--local", text=text) == 0
    assert len(asked) == 1


def test_a_mistake_in_the_yaml_is_status_2(sweep, capsys):
    assert sweep(text=TEXT + "sedes: [1]\n") == 2
    error = capsys.readouterr().err
    assert "Did you mean 'seeds'?" in error
    assert "Traceback" not in error


def test_arguments():
    words = ["--sweep", "a.yaml", "A.B", "-1", "--jobs", "3", "--opts", "C", "--only"]
    arguments = parse_sweep_arguments(words)
    assert (arguments.sweep, arguments.jobs, arguments.only) == ("a.yaml", 3, "")
    assert arguments.overrides == ["A.B", "-1", "C", "--only"]
    flags = (arguments.dry_run, arguments.collect, arguments.force, arguments.local)
    assert not any(flags)


@pytest.mark.parametrize("words", [[], ["--sweep", "a.yaml", "--jobs", "0"]])
def test_wrong_arguments(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_sweep_arguments(words)
    assert caught.value.code == 2
    assert "--sweep" in capsys.readouterr().err


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("TASK: ''\n", encoding="utf-8")
    words = OVERRIDES.split()
    pairs = "".join(f"  {k}: {v}\n" for k, v in zip(words[::2], words[1::2], strict=True))
    return f"cfg: {path}\noutput_dir: {tmp_path / 'out'}\noverrides:\n{pairs}"


def test_every_config_is_checked_before_the_first_run(tmp_path, config, capsys):
    grid = "grid: {SOLVER.LR_POLICY: [cosin, cosine], LOG_PERIOD: [0, 1]}\nseeds: [1, 2]\n"
    path = write_sweep(tmp_path, config + grid)
    assert main(["--sweep", path]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: 2 problems in {path}:")
    assert (
        "Did you mean 'cosine'? (in SOLVER.LR_POLICY=cosin,LOG_PERIOD=0/seed_1 and 3 more)" in error
    )
    assert "LOG_PERIOD: got 0" in error
    assert not (tmp_path / "out").exists()
    good = config + "grid: {SOLVER.BASE_LR: [0.1, 1e-2]}\n"
    assert main(["--sweep", write_sweep(tmp_path, good), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("  new\n") == 2


def test_a_config_that_is_missing(tmp_path, capsys):
    path = write_sweep(tmp_path, f"cfg: nowhere.yaml\noutput_dir: {tmp_path / 'out'}\n")
    assert main(["--sweep", path, "--dry-run"]) == 2
    assert "cfg: no such file: nowhere.yaml" in capsys.readouterr().err


def test_what_runs_read_is_looked_for_before_the_first_run(tmp_path, config, capsys):
    """Folders of data and checkpoints, but not what the sweep itself makes, nor URLs."""
    out = tmp_path / "out"
    made = config + (
        f"  TEST.CHECKPOINT_FILE_PATH: {out}/run/checkpoints/last.pyth\n"
        "  TRAIN.CHECKPOINT_FILE_PATH: https://host.example/a.pyth\n"
    )
    words = ["TRAIN.DATASET", "kinetics", "DATA.PATH_TO_DATA_DIR", str(tmp_path / "gone")]
    assert main(["--sweep", write_sweep(tmp_path, made), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 1 problem in ")
    assert f"DATA.PATH_TO_DATA_DIR: no such folder: {tmp_path / 'gone'}. (in run)" in error
    grid = config + "grid: {TEST.CHECKPOINT_FILE_PATH: [random, gone.pyth]}\n"
    assert main(["--sweep", write_sweep(tmp_path, grid)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 1 problem in ")
    assert "TEST.CHECKPOINT_FILE_PATH: checkpoint not found: gone.pyth." in error
    assert main(["--sweep", write_sweep(tmp_path, grid), "--dry-run", *words]) == 0
    assert not (out / "TEST.CHECKPOINT_FILE_PATH=random").exists()


def test_a_stage_without_data_behind_one_on_the_demo_set(tmp_path, capsys):
    folder = Path(__file__).parents[2] / "configs/StiCA"
    text = (
        f"output_dir: {tmp_path / 'out'}\n"
        f"stages:\n  pretrain: {{cfg: {folder}/small_pretrain.yaml}}\n"
        f"  probe: {{cfg: {folder}/small_eval.yaml, overrides: "
        '{TEST.CHECKPOINT_FILE_PATH: "{pretrain.checkpoint}"}}\n'
    )
    path = write_sweep(tmp_path, text)
    assert main(["--sweep", path]) == 2
    said = capsys.readouterr()
    assert "DATA.PATH_TO_DATA_DIR is empty: 1 of 2 use the built-in demo set" in said.out
    assert "DATA.PATH_TO_DATA_DIR: is empty; expected a folder." in said.err
    assert "(in probe)" in said.err
    assert main(["--sweep", path, "--dry-run", "DATA.PATH_TO_DATA_DIR", str(tmp_path)]) == 0
    assert "demo set" not in capsys.readouterr().out


def test_help_is_quick_and_imports_no_torch():
    code = (
        "import sys\n"
        "from slowfast.cli.sweep_net import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    sys.exit(9 if 'torch' in sys.modules else end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--dry-run" in done.stdout


@pytest.mark.slow
def test_real_runs(tmp_path, config, monkeypatch, capfd):
    """Pre-train once, then test its checkpoint and random weights; the same again runs nothing."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    run_config = next(line for line in config.splitlines() if line.startswith("cfg: "))
    text = (
        config.replace(run_config, "")
        + f"""
  PROJECTS: ["helpers.synthetic"]
stages:
  pretrain: {{{run_config}, overrides: {{TEST.ENABLE: False}}}}
  probe: {{{run_config}, overrides: {{TRAIN.ENABLE: False}}, folds: []}}
grid:
  weights:
    pretrained: {{probe.TEST.CHECKPOINT_FILE_PATH: "{{pretrain.checkpoint}}"}}
    random: {{probe.TEST.CHECKPOINT_FILE_PATH: random}}
seeds: [1, 2]
jobs: 2
compare: {{weights: random}}
"""
    )
    path = write_sweep(tmp_path, text)
    assert main(["--sweep", path]) == 0
    assert "[6 of 6 done]" in capfd.readouterr().out
    content = json.loads((tmp_path / "out/sweep.json").read_text(encoding="utf-8"))
    (result,) = [r for r in content["results"] if r["difference"] and r["metric"] == "top1_acc"]
    assert (result["variant"], result["num"]) == ({"weights": "pretrained"}, 2)
    assert main(["--sweep", path]) == 0
    assert "0 to run" in capfd.readouterr().out
