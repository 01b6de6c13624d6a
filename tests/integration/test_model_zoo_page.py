"""MODEL_ZOO.md: generated, complete, honest, its counts true."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml
from helpers.weights_package import PACKAGE, make_package, register_package

from slowfast.config.projects import import_installed_projects
from slowfast.models.zoo.packaged import packaged_rows

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def renderer():
    spec = importlib.util.spec_from_file_location("model_zoo", DOCS / "model_zoo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import_installed_projects()
    return module


def published(renderer):
    return [row for module in renderer.groups() for row in renderer.rows_of(module)]


def test_the_page_is_up_to_date(renderer):
    for path, text in renderer.pages(is_check=True).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"


def test_every_row_is_on_the_page_and_says_whether_it_was_tried(renderer):
    page = renderer.TARGET.read_text(encoding="utf-8")
    lines = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert set(lines) - {"zoo://"} == {row.name for row in published(renderer)}
    for row in published(renderer):
        line = lines[row.name]
        assert row.published_hash[:12] in line
        assert (f"projects/stica/weights/{row.name}" if row.is_packaged else row.url) in line
        assert ("URL not tested" in line) is not row.is_tried
    assert "StiCA's own were never released" in page
    assert "Rev-MViT" in page.split("## Published, but not listed")[1]


def test_the_rows_of_the_framework_and_its_project_are_all_there(renderer):
    of_others = yaml.safe_load((ROOT / "slowfast/models/zoo/published.yaml").read_text("utf-8"))
    expected = {row["name"] for row in of_others["rows"]}
    expected |= {path.parent.name for path in ROOT.glob("projects/stica/weights/*/row.yaml")}
    expected |= {"gdt_k400", "gdt_ht100m", "gdt_ig65m"}
    expected |= {"avid_k400", "avid_cma_k400", "avid_audioset", "avid_cma_audioset"}
    assert {row.name for row in published(renderer)} == expected


def test_weights_of_our_own_stand_with_their_results(renderer, tmp_path, monkeypatch):
    root = make_package(tmp_path, monkeypatch)
    register_package()
    assert renderer.own_section([], {}) == ""
    for name, facts in (("tiny-a", "metrics: [knn_top1, few_shot_1]\n"), ("tiny-b", "")):
        (root / name).mkdir()
        (root / name / f"{name}.pyth").write_bytes(bytes(20_000))
        (root / name / f"{name}.pyth.sha256").write_text(f"{'ab' * 32}  {name}.pyth\n")
        (root / name / "row.yaml").write_text(f"data: noise\nlicense: CC0\n{facts}")
    records = [
        {"metric": "top1_acc", "value": 0.5, "chance": 0.1, "interval": [0.4, 0.6]},
        {"metric": "knn_top1", "value": 0.25, "chance": 0.1, "interval": [0.125, 0.5]},
        {"metric": "few_shot_1", "value": 0.125, "chance": None, "interval": None},
    ]
    (root / "tiny-a" / "results.json").write_text(json.dumps({"records": records}))
    rows = list(packaged_rows(PACKAGE))
    work = {"parameters": 1_234_567, "multiply_adds": 45_600_000, "frames": 9, "side": 36}
    page = renderer.own_section(rows, {renderer.key_of(row): work for row in rows})
    first, second = (line for line in page.splitlines() if line.startswith("| `tiny"))
    assert first == (
        "| `tiny-a` | noise | CC0 | 1.23 | 0.046 at 9 x 36² | "
        f"[{PACKAGE}/tiny-a]({PACKAGE}/tiny-a/README.md), 0.02 MB, SHA-256 `abababababab...` | "
        "knn_top1 25.0 % [12.5, 50.0], chance 10.0; few_shot_1 12.5 % |"
    )
    assert second.endswith("| not yet |")
    assert f"--cfg package://{PACKAGE}/NAME/evaluate.yaml" in page


def assert_counted_right(renderer, rows):
    known = json.loads(renderer.MEASURED.read_text(encoding="utf-8"))
    for key, counted in renderer.measure(rows, {}).items():
        assert known[key] == counted, key


def test_some_counts(renderer):
    names = {"torchvision_r3d_18", "pytorchvideo_slow_8x8_r50", "pyslowfast_x3d_s", "avid_k400"}
    rows = [row for row in published(renderer) if row.name in names]
    assert len(rows) == len(names)
    assert_counted_right(renderer, rows)


@pytest.mark.slow
def test_all_counts(renderer):
    assert_counted_right(renderer, published(renderer))
