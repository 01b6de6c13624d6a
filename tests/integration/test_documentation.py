"""Pages name what exists: files, modules, registries, keys, messages (links: make docs-site)."""

import ast
import importlib
import itertools
import re
from pathlib import Path

import pytest

from slowfast.config import get_cfg
from slowfast.config.load import flatten
from slowfast.config.projects import import_project, installed_projects
from slowfast.config.sections.unsupported import SECTIONS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "projects/*/*.md")
    for path in ROOT.glob(pattern)
    if path.name not in ("CHANGELOG.md", "decisions.md")  # they name what is no more, or never was
)
TOP_FOLDERS = "benchmarks|configs|docs|projects|slowfast|tests|tools"
CODE = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "slowfast").rglob("*.py"))


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def spans(page):
    """What stands in backticks in the text of a page, outside of code blocks."""
    text = re.sub(r"^(```|~~~).*?^\1", "", read(page), flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([^`\n]+)`", text))


def expand(name):
    """``a/{b,c}.py`` is ``a/b.py`` and ``a/c.py``."""
    parts = [part.split(",") for part in re.split(r"[{}]", name)]
    return ["".join(choice) for choice in itertools.product(*parts)]


@pytest.mark.parametrize("page", PAGES)
def test_files_exist(page):
    missing = []
    for span in spans(page):
        for name in re.findall(rf"(?<![\w/.])(?:{TOP_FOLDERS})/[\w/.*{{}},+-]*[\w*}}]", span):
            for path in expand(name):
                if "NAME" not in path and not list(ROOT.glob(path)):
                    missing.append(path)
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_and_what_is_in_them_exist(page):
    packages = "|".join(["slowfast", *installed_projects()])
    missing = []
    for span in spans(page):
        for name in re.findall(rf"(?<![\w/.:])((?:{packages})(?:\.\w+)+)", span):
            if not exists(name):
                missing.append(name)
    assert missing == []


def exists(dotted):
    """Import as much as is a module; look the rest up in it."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES)
def test_registries_exist(page):
    names = {name for span in spans(page) for name in re.findall(r"\b[A-Z_]+_REGISTRY\b", span)}
    assert [name for name in names if f"\n{name} = " not in CODE] == []


def known_keys():
    cfg = get_cfg()
    for name in installed_projects():
        import_project(name).add_config(cfg)
    keys = set(flatten(cfg))
    return keys | {key.rpartition(".")[0] for key in keys} | set(SECTIONS)


REFUSED = {"TENSORBOARD.MODEL_VIS.TOPK"}
"""Keys for which a YAML of PySlowFast is refused, here and there."""


@pytest.mark.parametrize("page", PAGES)
def test_config_keys_exist(page):
    keys = known_keys()
    sections = {key.partition(".")[0] for key in keys}
    unknown = []
    for span in spans(page):
        for key in re.findall(r"(?<![\w./-])[A-Z][A-Z_]+(?:\.[A-Z][A-Z0-9_]*)+\b(?![*{])", span):
            section = key.partition(".")[0]
            if section in sections and key not in {*keys, *REFUSED} and section not in SECTIONS:
                unknown.append(key)
    assert unknown == []


def messages():
    """All strings of the framework, with ``...`` where a value is filled in."""
    found = []
    for path in (*(ROOT / "slowfast").rglob("*.py"), *(ROOT / "tools").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "..." for p in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%(?:\.\w+)?[sdg]", "...", node.value))
    return "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("name", "count"), [("docs/troubleshooting.md", 20), ("docs/full_scale.md", 3)]
)
def test_messages_that_a_page_explains_are_printed(name, count):
    known = messages()
    page = read(name)
    shown = re.findall(r"^(?:\| |\*? ?\**)?`([^`]{20,})`(?! \(from)", page, re.MULTILINE)
    assert len(shown) >= count
    unknown = []
    for message in shown:
        told = re.sub(r"^[A-Z_.]+: ", "", message)  # the key is data, and put before it
        pieces = (piece.strip(" .,:;()'") for piece in told.split("..."))
        unknown += [piece for piece in pieces if len(piece) > 12 and piece not in known]
    assert unknown == []
