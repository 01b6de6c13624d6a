"""Projects are found, never listed: packaging, imports, documentation."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast.config.projects import installed_projects

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(
    folder.name for folder in (ROOT / "projects").iterdir() if (folder / folder.name).is_dir()
)


def imported_by(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def imports_of(folder):
    return {name: file for file in folder.rglob("*.py") for name in imported_by(file)}


def test_every_project_is_installed_and_documented():
    assert installed_projects() == PROJECTS
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert all(f"## Project {name}\n" in page for name in PROJECTS)


def test_the_framework_imports_no_project():
    found = {name.partition(".")[0]: file for name, file in imports_of(ROOT / "slowfast").items()}
    assert not found.keys() & set(PROJECTS)


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_imports_no_command_and_no_other_project(project):
    found = imports_of(ROOT / "projects" / project / project)
    assert "slowfast.cli" not in {".".join(name.split(".")[:2]) for name in found}
    assert not {name.partition(".")[0] for name in found} & (set(PROJECTS) - {project})


def test_a_new_folder_is_packaged_with_its_weights(tmp_path):
    for path in ("setup.py", "README.md", "slowfast/__init__.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    for path in (
        "fresh/fresh/__init__.py",
        "fresh/fresh/parts/__init__.py",
        "fresh/weights/a/row.yaml",
    ):
        (tmp_path / "projects" / path).parent.mkdir(parents=True)
        (tmp_path / "projects" / path).write_text("", encoding="utf-8")
    (tmp_path / "configs").mkdir()
    command = [sys.executable, "setup.py", "-q", "build_py", "egg_info"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    built = {
        str(p.relative_to(tmp_path / "build/lib")) for p in (tmp_path / "build/lib").rglob("*.*")
    }
    assert {"fresh/__init__.py", "fresh/parts/__init__.py", "fresh_weights/a/row.yaml"} <= built
    points = (tmp_path / "slowfast_stica.egg-info" / "entry_points.txt").read_text(encoding="utf-8")
    assert "[slowfast.projects]\nfresh = fresh\n" in points
