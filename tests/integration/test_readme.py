"""The two front pages: links, commands and Python lines work, numbers are those on file."""

import json
import re
import shlex
from pathlib import Path

import pytest
from helpers.media_files import Audio, Video, write_media

import slowfast.engine.registrations  # noqa: F401
from slowfast.cli import embed, eval_weights, search
from slowfast.cli.arguments import parse_arguments
from slowfast.cli.check_data import parse_arguments as parse_check
from slowfast.cli.prepare_data import parse_arguments as parse_prepare
from slowfast.cli.sweep_net import parse_sweep_arguments
from slowfast.config import load_config
from slowfast.config.paths import shipped_configs

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "projects/stica/README.md")


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def commands(tool, program=""):
    """The words after ``python tools/NAME.py``, or ``program``, of every command of both pages."""
    text = "".join(read(page) for page in PAGES).replace("\\\n", " ")
    found = re.findall(rf"{program or rf'python tools/{tool}.py'} ([^`\n]+)", text)
    assert found
    return sorted({" ".join(line.split()) for line in found if "..." not in line})


@pytest.mark.parametrize("page", PAGES)
def test_what_is_linked_is_there(page):
    links = re.findall(r"\]\(([^)#\s]+)\)", read(page))
    assert links
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_what_is_named_is_there(page):
    names = re.findall(r"(?<![\w/])(?:configs|docs|tests|tools|benchmarks)/[\w/.]*\w", read(page))
    assert [name for name in names if not (ROOT / name).exists()] == []
    for name in re.findall(r"`(\w+\.yaml)\b", read(page)):
        assert (shipped_configs() / "StiCA" / name).is_file(), name


@pytest.mark.parametrize("line", commands("run_net") + commands("run_net", "slowfast train"))
def test_a_command_loads_and_is_valid(line):
    arguments = parse_arguments(shlex.split(line))
    (cfg_file,) = arguments.cfg_files
    load_config(cfg_file, arguments.overrides)


def test_the_other_commands_are_parsed():
    for line in commands("prepare_data", "slowfast check"):
        assert parse_check(shlex.split(line)).command == "check"
    for line in commands("prepare_data", "slowfast prepare"):
        assert parse_prepare(shlex.split(line)).command == "all"
    for line in commands("sweep_net"):
        assert (ROOT / parse_sweep_arguments(shlex.split(line)).sweep).is_file()


def test_commands_of_a_model_are_parsed():
    for name, module in (("embed", embed), ("search", search), ("eval", eval_weights)):
        for line in commands("", f"slowfast {name}"):
            assert module.parse_arguments(shlex.split(line))


def test_the_python_lines_run(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    assert len(code.split("\n\n")[1].splitlines()) <= 10
    (tmp_path / "videos").mkdir()
    tracks = (Video(ticks=range(60), size=(96, 64)), Audio(seconds=2.0))
    for path in ("clip.mp4", *(f"videos/{number}.mp4" for number in range(3))):
        write_media(tmp_path / path, *tracks)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["one"].video.shape == (64,)
    assert names["scores"].shape == (3, 3)


DEMO_ROWS = {
    "class retrieval, R@1": "class_retrieval_r1",
    "video-to-audio retrieval, R@1": "video_to_audio_r1",
    "audio-to-video retrieval, R@1": "audio_to_video_r1",
    "baseline: mean color of each frame": "baseline_mean_color",
    "baseline: mean difference between frames": "baseline_frame_difference",
    "baseline: 8 gray frames of 12 x 12 pixels": "baseline_gray_frames",
    "baseline: mean and standard deviation of mel bins (audio)": "baseline_mel_statistics",
}


def test_the_demo_table_is_what_was_measured():
    results = json.loads((ROOT / "docs/demo_results.json").read_text(encoding="utf-8"))
    table = read("README.md").split("<!-- demo table -->")[1].split("<!-- /demo table -->")[0]
    rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    assert [name for name, *_ in rows] == list(DEMO_ROWS)
    for name, before, after, chance in rows:
        measured = results[DEMO_ROWS[name]]
        shown = measured.get("before"), measured.get("after", measured.get("value"))
        for text, value in zip((before, after, chance), (*shown, measured["chance"]), strict=True):
            assert text.strip() == ("" if value is None else f"{100 * value:.1f} %"), name
