"""Feeds the documentation site from the repository as it is (a hook of mkdocs, see mkdocs.yml).

Every Markdown page keeps the path that it has in the repository, so its links are right on the
site, too, and no text exists twice. Other files that a page links (figures, results, code) are
copied. The API reference has one page for each module that says what is public (``__all__``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/*.md", "docs/evidence/*.md", "projects/*/*.md", "projects/*/weights/**/*.md")
PACKAGES = ("slowfast", *sorted(f"projects/{p.name}/{p.name}" for p in ROOT.glob("projects/*")))
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def on_config(config: Any) -> Any:
    """Append the API reference to the navigation."""
    for package in PACKAGES:
        config.nav.append({f"API: {Path(package).name}": _api_section(package)})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Replace what lies in docs/ by what belongs to the site."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    pages = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    linked = {path for page in pages for path in _linked_files(page)}
    paths = sorted(pages | linked | {ROOT / "docs/site.css"})
    copied = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in paths
    ]
    modules = {_dotted(p): _api_page(p) for package in PACKAGES for p in _modules(package)}
    api = [
        File.generated(config, page, content=f"# {name}\n\n::: {name}\n")
        for name, page in modules.items()
    ]
    return Files([*theme, *copied, *api])


def _linked_files(page: Path) -> Iterator[Path]:
    """Yield the files that a page links or shows, those that are no pages."""
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / link).resolve()
        if target.is_file() and target.suffix != ".md":
            yield target


def _modules(package: str) -> list[Path]:
    """List the modules of a package that say what is public in them."""
    files = sorted((ROOT / package).rglob("*.py"))
    return [path for path in files if "\n__all__ = " in path.read_text(encoding="utf-8")]


def _api_section(package: str) -> list[Any]:
    """List a package's pages, those of a subpackage below its name."""
    top: list[Any] = []
    below: dict[str, list[Any]] = {}
    for path in _modules(package):
        name = _dotted(path).partition(".")[2]
        section, _, rest = name.partition(".")
        if rest or path.stem == "__init__":
            below.setdefault(section, []).append({rest or name: _api_page(path)})
        else:
            top.append({name: _api_page(path)})
    return [*({name: pages} for name, pages in below.items()), *top]


def _dotted(path: Path) -> str:
    """Name a module: ``projects/stica/stica/loss.py`` is ``stica.loss``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[2:] if parts[0] == "projects" else parts
    return ".".join(parts).removesuffix(".__init__")


def _api_page(path: Path) -> str:
    return f"api/{_dotted(path).replace('.', '/')}.md"
