"""``make gpu`` in miniature, on the CPU: every stage ends; one that does not loses only itself."""

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.media_files import Audio, Video, write_media

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu"
STAGES = ("check", "steps", "roofline", "data", "train")


@pytest.fixture
def run_module(monkeypatch):
    """The module ``run`` of the folder."""
    monkeypatch.syspath_prepend(str(GPU))
    monkeypatch.delitem(sys.modules, "run", raising=False)
    module = importlib.import_module("run")
    yield module
    for name in ("run", "page"):
        sys.modules.pop(name, None)


def call(script, *words, timeout=900):
    command = [sys.executable, str(GPU / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line():
    done = call("run.py")
    assert done.returncode == 2
    assert done.stdout.startswith("make gpu: no GPU")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.slow
def test_every_stage_in_miniature(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for number in range(2 * count):
            path = tmp_path / "videos" / split / "ab"[number % 2] / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            video = Video(ticks=range(75), fps=25, size=(64, 48))
            write_media(path, video, Audio(seconds=3.0))
    cache, out = tmp_path / "clips.npz", tmp_path / "out"
    packed = call("make_clips.py", tmp_path / "videos", "--out", cache, "--clips", 10)
    assert packed.returncode == 0, packed.stderr
    assert "8 clips to train, 2 to test" in packed.stdout
    words = ("--device", "cpu", "--tiny", "--minutes", 12, "--out", out, "--cache", cache)
    done = call("run.py", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (out / "gpu.md").read_text()
    assert page.count("\n## ") == len(STAGES)
    assert "did not end" not in page
    found = {name: json.loads((out / f"gpu_{name}.json").read_text()) for name in STAGES}
    for content in found.values():
        assert content["finished"]
        assert content["rows"]
        assert all(row["ours"] is not None for row in content["rows"])
    assert found["check"]["rows"][0]["ours"] == 0
    assert any(row["peer_name"] == "released order" for row in found["steps"]["rows"])
    assert {limit["name"] for limit in found["roofline"]["limits"]} >= {"fp32", "bf16", "memory"}
    assert "video_to_audio_r1" in found["train"]["metrics"]


@pytest.mark.slow
def test_a_stage_that_hangs_or_fails_loses_only_itself(tmp_path, monkeypatch, run_module, capsys):
    (tmp_path / "check.py").write_text("import time\ntime.sleep(600)\n")
    (tmp_path / "data.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "steps.py").write_text(
        "import sys, pathlib\npathlib.Path(sys.argv[6]).write_text('{}')\n"
    )
    monkeypatch.setattr(run_module, "HERE", tmp_path)
    monkeypatch.setattr(run_module, "STAGES", {"check": 1.0, "data": 1.0, "steps": 8.0})
    monkeypatch.setattr(run_module.page, "write", lambda folder: None)
    words = ["--device", "cpu", "--tiny", "--minutes", "0.1", "--out", str(tmp_path / "out")]
    words += ["--stages", "check", "data", "steps"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    start = time.monotonic()
    assert run_module.main() == 1
    assert time.monotonic() - start < 60
    text = capsys.readouterr().out
    assert "check (stopped after 5 s), data (status 3)" in text
    assert (tmp_path / "out" / "gpu_steps.json").read_text() == "{}"


@pytest.mark.slow
def test_a_test_file_that_cannot_be_imported_is_no_failure_of_the_gpu(tmp_path, monkeypatch):
    (tmp_path / "test_a.py").write_text("import not_installed\n")
    (tmp_path / "test_b.py").write_text("def test_one(): pass\ndef test_two(): assert False\n")
    report = tmp_path / "report.xml"
    words = ["-q", "--continue-on-collection-errors", f"--junitxml={report}", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", *words]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    monkeypatch.syspath_prepend(str(GPU))
    check = importlib.import_module("check")
    try:
        found = {t["name"].split(":")[-1]: t["outcome"] for t in check.read_report(report)}
        files = {Path(file).name for file in check.files_with_tests()}
    finally:
        for name in ("check", "common"):
            sys.modules.pop(name, None)
    assert found == {"test_a": "not collected", "test_one": "passed", "test_two": "failed"}
    assert {"test_training.py", "test_preprocess.py", "test_random.py"} <= files


def test_the_page_says_what_did_not_end(tmp_path, run_module):
    row = {"what": "a", "ours": None, "unit": "ms", "peer": None, "peer_name": "", "ratio": None}
    content = {
        "environment": {"date": "2000-01-01", "torch": "2.11"},
        "setting": {"device": "X", "tiny": False},
        "rows": [{**row, "why": "failed: out of memory"}],
        "finished": False,
        "skipped": ["b"],
    }
    (tmp_path / "gpu_steps.json").write_text(json.dumps(content))
    text = run_module.page.write(tmp_path).read_text()
    assert "**the stage did not end**" in text
    assert "not measured: b" in text
    assert "failed: out of memory" in text
