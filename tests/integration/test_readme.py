"""The two front pages: what they link is there, and their commands load and are valid."""

import re
import shlex
from pathlib import Path

import pytest

import slowfast.cli.registrations  # noqa: F401
from slowfast.cli.arguments import parse_arguments
from slowfast.cli.prepare_data import parse_arguments as parse_prepare
from slowfast.cli.sweep_net import parse_sweep_arguments
from slowfast.config import load_config
from slowfast.config.paths import shipped_configs

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "projects/stica/README.md")


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def commands(tool):
    """The words after ``python tools/NAME.py`` of every whole command of both pages."""
    text = "".join(read(page) for page in PAGES).replace("\\\n", " ")
    found = re.findall(rf"python tools/{tool}\.py ([^`\n]+)", text)
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


@pytest.mark.parametrize("line", commands("run_net"))
def test_a_command_loads_and_is_valid(line):
    arguments = parse_arguments(shlex.split(line))
    (cfg_file,) = arguments.cfg_files
    load_config(cfg_file, arguments.overrides)


def test_the_other_commands_are_parsed():
    for line in commands("prepare_data"):
        assert parse_prepare(shlex.split(line)).command == "check"
    for line in commands("sweep_net"):
        assert (ROOT / parse_sweep_arguments(shlex.split(line)).sweep).is_file()
