"""The recipes of the documentation run as they are written."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media

from slowfast.cli.main import main

ROOT = Path(__file__).parents[2]


def recipes(page):
    """Heading -> code of the blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        code = re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
        found[section.splitlines()[0]] = code
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes")
    (root / "videos").mkdir()
    for number in range(3):
        path = root / "videos" / f"{number}.mp4"
        write_media(path, Video(ticks=range(60 + 10 * number)), Audio(seconds=2.0))
    (root / "clip.mp4").write_bytes(path.read_bytes())
    words = ["--weights", "zoo://stica-demo", "--workers", "0"]
    assert main(["embed", str(root / "videos"), *words, "-o", str(root / "vectors")]) == 0
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DuckDB", "LanceDB", "FAISS"])
def test_vectors_open_in(name, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (code,) = recipes("docs/ecosystem.md")[name]
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 5
    exec(compile(code, name, "exec"), {"__name__": name})
    assert "0.mp4" in capsys.readouterr().out


def test_the_python_api_page(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    pages = recipes("docs/python_api.md")
    first = next(code for codes in pages.values() for code in codes)
    scope = {"__name__": "page", "frames": np.zeros((50, 40, 40, 3), np.uint8)}
    scope["audio"] = np.zeros(32000, np.float32)
    exec(compile(first, "page", "exec"), scope)
    assert "(64,)" in capsys.readouterr().out
    exec(compile(pages["embed"][0], "page", "exec"), scope)
    assert scope["one"].audio is not None
