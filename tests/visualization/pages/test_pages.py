"""Pages without a browser: what is in the file."""

import builtins
import json
import re
import sys
from html.parser import HTMLParser

import pytest

from slowfast.config import UserError
from slowfast.visualization.pages import fragment, render
from slowfast.visualization.pages.render import format_duration, format_number, format_percent

HOSTILE = "<script>alert(1)</script>.mp4"


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.data, self._json = [], [], False

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.found.append((tag, attrs))
        self._json = tag == "script" and attrs.get("type") == "application/json"

    def handle_data(self, data):
        if self._json:
            self.data.append(json.loads(data))
            self._json = False


@pytest.fixture
def tags(page):
    parser = _Tags()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def test_names_are_text_everywhere(page, tags):
    scripts = [attrs for tag, attrs in tags.found if tag == "script"]
    code = [attrs for attrs in scripts if attrs.get("type") != "application/json"]
    assert len(code) == 2
    assert len({attrs["nonce"] for attrs in code}) == 1
    assert not any(name.startswith("on") for _, attrs in tags.found for name in attrs)
    assert all(attrs.get("src") != "x" for _, attrs in tags.found)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in page.read_text(encoding="utf-8")


def test_one_file_asks_no_server(page, tags):
    for tag, attrs in tags.found:
        for name in ("src", "href", "poster", "data"):
            target = attrs.get(name, "")
            assert not re.match(r"(https?:)?//", target), (tag, target)
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "url(http" not in text
    assert "@import" not in text


def test_data_is_json_of_browsers(tags):
    lines = next(data for data in tags.data if "series" in data)
    assert lines["series"][0]["y"] == [3.0, None, 1.0]  # nan is no JSON
    assert lines["series"][1]["y"] == [2.0, 0.5]  # an array
    assert lines["series"][1]["label"] == HOSTILE


def test_bytes_of_file_names_survive_as_escapes(page):
    assert "umlaut \\udcff.mp4" in page.read_text(encoding="utf-8")


def test_long_tables_start_with_one_page(page, tags):
    hidden = [attrs for tag, attrs in tags.found if tag == "tr" and "hidden" in attrs]
    assert len(hidden) == 120 - 50


def test_assets_cannot_end_their_script():
    from slowfast.visualization.pages.render import _HERE

    for file in (_HERE / "assets").glob("*.js"):
        assert "</script" not in file.read_text(encoding="utf-8")
    assert "MIT License" in (_HERE / "assets" / "uPlot.LICENSE.txt").read_text(encoding="utf-8")


def test_missing_jinja_says_what_to_install(tmp_path, monkeypatch):
    module = sys.modules["slowfast.visualization.pages.render"]
    module._environment.cache_clear()
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "jinja2":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'slowfast-stica\[report\]'"):
        render("base.html", tmp_path / "x.html", title="x")
    with pytest.raises(UserError, match="Jinja2"):
        fragment("base.html", title="x")


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"page.html cannot be written: "):
        render("base.html", tmp_path / "file" / "page.html", title="x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (12345, "12,345"),
        (0.81631, "0.8163"),
        (9.387e-9, "9.387e-09"),
    ],
)
def test_numbers(value, text):
    assert format_number(value) == text


def test_durations_and_percents():
    texts = [format_duration(s) for s in (0.6231, 59.99, 564, 11100, 187200, None)]
    assert texts == ["0.623 s", "60 s", "9 min 24 s", "3 h 05 min", "2 d 04 h", "–"]
    assert [format_percent(f) for f in (0.945, None)] == ["94.5 %", "–"]
