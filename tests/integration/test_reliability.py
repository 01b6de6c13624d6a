"""The campaigns of docs/reliability.md in miniature."""

import json
import subprocess
import sys

import pytest
from campaigns import common, tiny_runs

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["yaml_values"])
def test_wrong_values_end_with_a_message(tmp_path, name):
    script = common.ROOT / "tests" / "campaigns" / f"{name}.py"
    words = ["--count", "3", "--work", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, str(script), *words], check=False, timeout=900)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert done.returncode == 0, record
    assert record["inputs"] == 18


@pytest.mark.parametrize(("name", "faults"), [("kills", 5), ("signals", 1), ("ranks", 1)])
def test_nothing_is_lost(tmp_path, name, faults):
    """In a process of its own: the campaign forks, which a process with threads should not do."""
    script = common.ROOT / "tests" / "campaigns" / f"{name}.py"
    words = ["--count", "1", "--work", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, str(script), *words], check=False, timeout=900)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert done.returncode == 0, record
    assert record["faults"] >= faults - 1  # a run may end before the last one
    assert [record[key] for key in ("lost", "silent", "uncaught")] == [0, 0, 0]


def test_every_reply_of_a_server_is_survived(tmp_path):
    """In a process of its own, whose memory it measures."""
    script = common.ROOT / "tests" / "campaigns" / "downloads.py"
    words = ["--work", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, str(script), *words], check=False, timeout=900)
    record = json.loads((tmp_path / "downloads.json").read_text())
    assert done.returncode == 0, record
    assert record["inputs"] >= 55


SOAK = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from campaigns import soak
prepared = soak.prepare(pathlib.Path(sys.argv[2]), seed=0, steps=120)
for number in range(2):
    trial = soak.trial(prepared, number)
    assert (trial.why, trial.inputs) == ("", 120), trial
assert trial.facts["threads"] >= 2, trial
assert trial.facts["mb"] > 100, trial
"""


def test_a_long_run_stays_as_small_as_it_is(tmp_path):
    """In a process of its own: the memory of this one depends on the tests before."""
    tests = str(common.ROOT / "tests")
    subprocess.run([sys.executable, "-c", SOAK, tests, str(tmp_path)], check=True, timeout=900)


def write(folder, *rows):
    folder.mkdir()
    lines = [f"json_stats: {json.dumps({'_type': 'train_iter', **row})}\n" for row in rows]
    (folder / "json_stats.log").write_text("".join(lines), encoding="utf-8")
    return folder


def test_a_campaign_notices_what_differs(tmp_path):
    one = write(tmp_path / "one", {"step": 1, "loss": 0.5, "dt": 1.0}, {"step": 2, "loss": 0.25})
    same = write(tmp_path / "same", *({"step": n, "loss": 0.5 / n} for n in (1, 1, 2)))
    other = write(tmp_path / "other", {"step": 1, "loss": 0.5}, {"step": 1, "loss": 0.49})
    assert tiny_runs.differing_losses(same, one) == []
    assert tiny_runs.differing_losses(other, one) == [
        "train_iter: steps [2] are missing",
        "train_iter: steps [1] differ",
    ]
