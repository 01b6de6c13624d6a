"""docs/coming_from_pyslowfast.md: its table is that of the recorded run, and still true."""

import gzip
import json
import re
import sys
from pathlib import Path

import pytest

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import get_cfg, load_config
from slowfast.config.load import flatten
from slowfast.config.paths import shipped_configs
from slowfast.config.sections.unsupported import NAMES, SECTIONS, SWITCHES

ROOT = shipped_configs()
DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import yaml_table  # noqa: E402

PAGE = yaml_table.TARGET.read_text("utf-8")
TEXT, TABLE = PAGE.split(yaml_table.START)
ROWS = {row["yaml"]: row for row in json.loads(yaml_table.RECORD.read_text("utf-8"))["rows"]}
LOADS = {name for name, row in ROWS.items() if row["result"] in ("loads", "runs")}
FOLDERS = ("Charades", "ImageNet", "Kinetics", "SSv2", "contrastive_ssl", "masked_ssl")
OURS = {"Kinetics/R2PLUS1D_18_30f", "Kinetics/C3D", "Kinetics/S3D", "Kinetics/S3DG"}


def test_the_table_is_the_recorded_run():
    assert yaml_table.pages() == {yaml_table.TARGET: PAGE}
    assert len(ROWS) == 111
    assert {row["result"] for row in ROWS.values()} <= {"runs", "loads", "refused"}
    assert f"\n{len(LOADS)} of 111 YAMLs load unchanged" in TABLE
    assert len(LOADS) >= 80


def shipped():
    found = {
        str(path.relative_to(ROOT).with_suffix(""))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.yaml")
    }
    return sorted(name for name in found - OURS if "torchvision/" not in name)


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_yaml_of_pyslowfast_is_one_that_loads(name, tmp_path):
    assert name in LOADS
    words = ["DATA.PATH_TO_DATA_DIR", "unused", "NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path)]
    load_config(f"{name}.yaml", words)


@pytest.mark.parametrize("name", sorted(set(ROWS) - LOADS))
def test_what_refuses_a_yaml_still_does(name):
    """A feature that was built since is no switch any more: run the campaign again."""
    row = ROWS[name]
    known = [*SWITCHES, *NAMES, *SECTIONS]
    assert any(key in known for key in row["keys"]) or "is not valid YAML" in row["message"]


def test_keys_that_the_page_names_exist():
    keys = flatten(get_cfg())
    named = set(re.findall(r"`([A-Z_]+(?:\.[A-Za-z_0-9]+)+)`", TEXT))
    named = {key for key in named if not key.startswith(("MODEL_ZOO", "CONTRASTIVE"))}
    sections = {key.rsplit(".", 1)[0] for key in keys}
    assert named - set(keys) - sections == set()
    assert len(named) >= 20


def test_every_key_of_pyslowfast_exists_with_its_default():
    path = Path(__file__).parents[1] / "data" / "pyslowfast_defaults.json.gz"
    theirs, ours = json.loads(gzip.decompress(path.read_bytes())), flatten(get_cfg())
    assert {key for key in theirs if key not in ours} == {
        key for key in theirs if key.startswith("CONTRASTIVE.")
    }
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in ours.items()}
    changed = {key for key, value in theirs.items() if key in plain and plain[key] != value}
    assert changed == {"DATA.DECODING_BACKEND", "DATA_LOADER.NUM_WORKERS"}
    assert all(f"| `{key}` |" in TEXT for key in changed)


def test_what_the_page_calls_not_built_is_a_switch():
    not_built = TEXT.split("## Not built")[1].split("## Every YAML")[0]
    for section in re.findall(r"`([A-Z_.]+)`", not_built):
        if section not in ("AVA", "CONTRASTIVE"):
            assert any(key.startswith(section) for key in SWITCHES), section
    for word in ("Rev-MViT", "MaskMViT", "AVA detection"):
        assert word in not_built
