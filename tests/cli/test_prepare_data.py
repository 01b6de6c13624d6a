"""The whole command: what it leaves behind, its messages, its exit status, and stopping it."""

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import worker_targets
from helpers.data_files import data_cfg, names
from helpers.media_files import Audio, Video, write_media

from slowfast.cli.arguments import parse_arguments as parse_train
from slowfast.cli.embed import parse_arguments as parse_embed
from slowfast.cli.main import main as slowfast_main
from slowfast.cli.prepare_data import main, parse_arguments
from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.build import build_dataset
from slowfast.datasets.decoding.reader import probe_media
from slowfast.datasets.prepare import check as prepare_check
from slowfast.datasets.prepare import transcode_jobs as prepare_copies

FILES = ["quarantine.csv", "report.csv", "report.jsonl", "summary.txt", "thumbnails.jsonl"]
REPORTS = ["check.html", *FILES]
QUICK = ["--short-side", "48", "--preset", "ultrafast", "--jobs", "1"]


@pytest.fixture
def videos(tmp_path):
    """Two classes of two clips each, and a file that is none."""
    folder = tmp_path / "videos"
    for number, name in enumerate(("cat/1.avi", "cat/2.mp4", "dog/1.mp4", "dog/2.mkv")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        video = Video(ticks=range(12 + number), size=(96 + 2 * number, 64))
        codec = video._replace(codec="mpeg4", options={}) if name.endswith("avi") else video
        write_media(folder / name, codec, Audio(seconds=0.4))
    (folder / "dog" / "3.mp4").write_bytes(b"no media")
    return folder


@pytest.fixture
def here(monkeypatch):
    """Run tasks in this process."""
    for module in (prepare_check, prepare_copies):
        monkeypatch.setattr(module, "run_tasks", worker_targets.run_here)


def tree(folder):
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)  # noqa: PTH118
        for parent, _, names in os.walk(folder)
        for name in names
    )


def test_all_in_one(tmp_path, videos, capsys):
    before = {path: path.read_bytes() for path in videos.rglob("*.*")}
    out = tmp_path / "out"
    words = ["all", str(videos), "--out", str(out), *QUICK, "--val-fraction", "0"]
    words += ["--test-fraction", "0"]
    assert main(words) == 0
    assert tree(out) == [
        *(f"check/{name}" for name in REPORTS),
        *sorted([*FILES, "classes.txt", "index.json", "train.csv"]),
        *("videos/cat/1.mp4", "videos/cat/2.mp4", "videos/dog/1.mp4", "videos/dog/2.mp4"),
        "videos/encode.csv",
    ]
    assert {path: path.read_bytes() for path in videos.rglob("*.*")} == before
    manifest = load_manifest(out, "train")
    rows = [(manifest.path(row), manifest.label(row)) for row in range(len(manifest))]
    assert rows == [
        (str(out / "videos" / name), label)
        for name, label in [("cat/1.mp4", 0), ("cat/2.mp4", 0), ("dog/1.mp4", 1), ("dog/2.mp4", 1)]
    ]
    assert probe_media(rows[0][0]).height == 48
    text = capsys.readouterr().out
    assert "5 media files" in text
    assert "unusable    1" in text
    assert "4 encoded in" in text
    assert "train       4 files of 2 classes" in text
    assert f"DATA.PATH_TO_DATA_DIR {out}" in text
    assert main(words) == 0  # again: nothing is left to do
    text = capsys.readouterr().out
    assert "0 encoded in" in text
    assert "4 were there already, 0 failed" in text


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--min-sec", "60"], "no file is left for training: shorter than 60 s (4)"),
        (["--level", "headers"], "--level: got headers"),
        (["--val-fraction", "1"], "--val-fraction, --test-fraction"),
    ],
)
def test_all_in_one_encodes_nothing_that_is_not_used(tmp_path, videos, capsys, words, message):
    out = tmp_path / "out"
    assert main(["all", str(videos), "--out", str(out), *QUICK, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (out / "videos").exists()


@pytest.mark.usefixtures("here")
def test_all_in_one_does_not_encode_what_is_left_out(tmp_path, videos, capsys):
    shutil.copy(videos / "cat/2.mp4", videos / "dog/copy.mp4")
    out = tmp_path / "out"
    assert main(["all", str(videos), "--out", str(out), *QUICK, "--drop-duplicates"]) == 0
    assert "not encoded: 1 file: the same as another file\n" in capsys.readouterr().out
    assert not (out / "videos/dog/copy.mp4").exists()
    assert (out / "videos/cat/2.mp4").is_file()


@pytest.mark.usefixtures("here")
def test_check(tmp_path, videos, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "videos", "--jobs", "1"]) == 0
    assert tree(tmp_path / "videos_report") == REPORTS
    text = capsys.readouterr().out
    assert "not a media file, or damaged beyond reading: dog/3.mp4" in text
    assert (tmp_path / "videos_report" / "summary.txt").read_text() in text
    assert main(["check", str(videos), "--out", "videos_report", "--level", "full"]) == 0
    assert "looked at: full" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_batch_script_of_slurm_is_one_process(tmp_path, videos, monkeypatch):
    """Only srun starts the tasks: without it the command does not wait for the others."""
    for name, value in {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "8"}.items():
        monkeypatch.setenv(name, value)
    assert main(["check", str(videos), "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0


@pytest.mark.usefixtures("here")
def test_encode_names_what_failed_and_goes_on(tmp_path, videos, capsys):
    out = tmp_path / "out"
    assert main(["encode", str(videos), "--out", str(out), *QUICK]) == 0
    text = capsys.readouterr().out
    assert "4 encoded" in text
    assert "1 failed" in text
    assert "failed: dog/3.mp4: it is not a media file" in text
    with (out / "encode.csv").open(newline="") as lines:
        rows = {row["source"]: row for row in csv.DictReader(lines)}
    assert list(rows) == ["cat/1.avi", "cat/2.mp4", "dog/1.mp4", "dog/2.mkv", "dog/3.mp4"]
    assert rows["dog/3.mp4"]["status"] == "failed"
    good = rows["cat/1.avi"]
    assert (good["target"], good["status"], good["reason"]) == ("cat/1.mp4", "encoded", "")
    assert int(good["source_bytes"]) == (videos / "cat" / "1.avi").stat().st_size
    assert int(good["target_bytes"]) == (out / "cat" / "1.mp4").stat().st_size


@pytest.mark.usefixtures("here")
def test_encode_of_bad_files_only_is_status_1(tmp_path, videos):
    for path in videos.rglob("[12].*"):
        path.unlink()
    assert main(["encode", str(videos), "--out", str(tmp_path / "out"), *QUICK]) == 1
    assert main(["all", str(videos), "--out", str(tmp_path / "all"), *QUICK]) == 2


@pytest.mark.usefixtures("here")
def test_index_relative(tmp_path, videos, capsys):
    (videos / "val.csv").write_text("mine\n")
    words = ["index", str(videos), "--out", str(tmp_path / "out"), "--relative", "--jobs", "1"]
    assert main([*words, "--require-sound", "--min-sec", "0.45", "--seed", "3"]) == 0
    text, errors = capsys.readouterr()
    assert errors.count("--require-sound was renamed to --require-audio\n") == 1
    assert "left out    2 files: shorter than 0.45 s" in text
    assert "left out    1 file: unusable" in text
    assert "holds val.csv, which was not read" in text
    assert f"DATA.PATH_PREFIX {videos}" in text
    assert "dog/1.mp4 1" in (tmp_path / "out" / "train.csv").read_text()


# Mistakes


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "{tmp}/none"], "no such folder"),
        (["check", "{videos}", "--out", "{videos}/cat/1.avi"], "--out: "),
        (["encode", "{videos}", "--out", "{videos}"], "originals are never touched"),
        (["all", "{videos}", "--out", "{tmp}"], "originals are never touched"),
        (["index", "{videos}", "--out", "{tmp}/o", "--level", "headers"], "--level: got headers"),
        (["check", "{videos}", "--out", "/dev/null/x"], "Not a directory"),
    ],
)
def test_a_users_mistake_is_one_message_and_status_2(tmp_path, videos, words, message, capsys):
    assert main([word.format(tmp=tmp_path, videos=videos) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "error: " in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Nothing to do"),
        (["--version", "x"], None),
        (["encode", "videos"], "--out"),
        (["clean", "videos"], "clean"),
        (["encode", "v", "--out", "o", "--crf", "60"], "got '60', expected a whole number from 0"),
        (["encode", "v", "--out", "o", "--short-side", "161"], "from 16 on, even"),
        (["encode", "v", "--out", "o", "--gop", "x"], "got 'x', expected a whole number from 1 on"),
        (["index", "v", "--out", "o", "--val-fraction", "2"], "expected a number from 0 to 1"),
        (["check", "v", "--jobs", "0"], "from 1 on"),
        (["check", "v", "--level", "deep"], "invalid choice"),
    ],
)  # fmt: skip
def test_words_that_cannot_be_understood(words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(words)
    if message is None:
        assert caught.value.code == 0
        return
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from slowfast.cli.prepare_data import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    heavy = {'torch', 'av', 'numpy', 'fvcore'} & set(sys.modules)\n"
        "    sys.exit(9 if heavy else end.code)\n"
    )
    for words in (["--help"], ["encode", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "default: " in done.stdout or "examples:" in done.stdout


# Stopping


STOPPED = """
import signal
import sys
from helpers import worker_targets
from slowfast.cli.prepare_data import main
from slowfast.datasets.prepare import transcode_jobs as copies
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where it is ignored
    copies._encode = worker_targets.encode_until_stopped
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_no_half_file_and_goes_on(tmp_path, number):
    folder, out, script = tmp_path / "videos", tmp_path / "out", tmp_path / "stopped.py"
    folder.mkdir()
    write_media(folder / "a.mp4", Video(ticks=range(5)))
    write_media(folder / "b.mp4", Video(ticks=range(10)))
    script.write_text(STOPPED, encoding="utf-8")
    words = ["encode", str(folder), "--out", str(out), *QUICK]
    env = {**os.environ, "PYTHONPATH": str(Path(worker_targets.__file__).parents[1])}
    command = [sys.executable, str(script), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        wait_for((out / "paused").exists, process)
        process.send_signal(number)
        error = process.stderr.read()  # it ends with the last process that could write to it
    assert (out / "a.mp4").exists()
    assert not (out / "b.mp4").exists()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; run the same command again to resume" in error
        assert "Traceback" not in error
    assert bool(list(out.glob(".*.tmp"))) is (number == signal.SIGKILL)
    stamp = (out / "a.mp4").stat().st_mtime_ns
    assert main(words) == 0
    assert (out / "a.mp4").stat().st_mtime_ns == stamp
    assert probe_media(out / "b.mp4").video_end_sec == pytest.approx(1 / 3, abs=1e-3)
    assert not list(out.glob(".*.tmp"))


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


# slowfast check


@pytest.mark.usefixtures("here")
def test_check_is_a_command_of_slowfast(tmp_path, videos, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert slowfast_main(["check", "videos", "--jobs", "1"]) == 0
    assert tree(tmp_path / "videos_report") == REPORTS
    text = capsys.readouterr().out
    assert "classes?    dog (3), cat (2)" in text
    assert "slowfast prepare index videos --out videos_lists" in text
    steps = re.findall(r"^    slowfast (.*)$", text, re.MULTILINE)
    parsers = {"prepare": parse_arguments, "train": parse_train, "embed": parse_embed}
    assert [step.split()[0] for step in steps] == list(parsers)
    for name, *words in map(shlex.split, steps):
        parsers[name](words)  # exits where the command has no such option
    assert text.endswith("Open videos_report/check.html in a browser.\n")
    assert slowfast_main(["check", "videos/dog/3.mp4", "--level", "headers"]) == 0
    assert "1 media file" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_what_was_checked_is_what_training_reads(tmp_path, videos, monkeypatch, caplog):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    cfg = data_cfg(videos)
    before = names(build_dataset("video_folder", cfg, "train").manifest)
    assert ("3.mp4", -1) in before
    assert slowfast_main(["check", str(videos), "--out", str(tmp_path / "report")]) == 0
    after = names(build_dataset("video_folder", cfg, "train").manifest)
    assert after == [row for row in before if row != ("3.mp4", -1)]
    assert f"skipping 1 file that slowfast check could not read (list: {tmp_path}" in caplog.text
    write_media(videos / "dog" / "3.mp4", Video(ticks=range(12)))  # repaired
    assert names(build_dataset("video_folder", cfg, "train").manifest) == before
    assert slowfast_main(["check", str(videos), "--out", str(tmp_path / "report")]) == 0
    caplog.clear()
    assert names(build_dataset("video_folder", cfg, "train").manifest) == before
    assert "slowfast check" not in caplog.text


def test_help_of_check_has_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        slowfast_main(["check", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "slowfast check videos --level full" in text
    assert "(default: sample)" in text
    assert "DATA.QUARANTINE_FILE_PATH" in text
