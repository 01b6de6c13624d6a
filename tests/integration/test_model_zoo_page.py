"""MODEL_ZOO.md: generated, complete, honest, its counts true."""

import importlib.util
import json
from pathlib import Path

import pytest

from slowfast.models.zoo.rows import zoo_rows

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def page_maker():
    spec = importlib.util.spec_from_file_location("model_zoo", DOCS / "model_zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published(page_maker):
    groups = page_maker.GROUPS
    return [row for module in groups for row in page_maker.rows_of(module)]


def test_the_page_is_up_to_date(page_maker):
    for path, text in page_maker.pages(is_check=True).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"


def test_every_row_is_on_the_page_and_says_whether_it_was_tried(page_maker):
    page = page_maker.TARGET.read_text(encoding="utf-8")
    lines = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert set(lines) - {"zoo://"} == {row.name for row in published(page_maker)}
    for row in published(page_maker):
        line = lines[row.name]
        assert row.url in line
        assert row.published_hash in line
        assert ("address not tried" in line) is not row.is_tried
    assert "StiCA's own weights were never released" in page
    assert "Rev-MViT" in page.split("## Published, but not listed")[1]


def test_the_rows_of_the_framework_and_its_project_are_all_there(page_maker):
    listed = {row.name for row in published(page_maker)}
    assert {row.name for row in zoo_rows()} == listed


def assert_counted_right(page_maker, rows):
    known = json.loads(page_maker.MEASURED.read_text(encoding="utf-8"))
    for key, counted in page_maker.measure(rows, {}).items():
        assert known[key] == counted, key


def test_some_counts(page_maker):
    names = {"torchvision_r3d_18", "pytorchvideo_slow_8x8_r50", "pyslowfast_x3d_s", "avid_k400"}
    rows = [row for row in published(page_maker) if row.name in names]
    assert len(rows) == len(names)
    assert_counted_right(page_maker, rows)


@pytest.mark.slow
def test_all_counts(page_maker):
    assert_counted_right(page_maker, published(page_maker))
