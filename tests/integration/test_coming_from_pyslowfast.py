"""docs/coming_from_pyslowfast.md: every YAML that it calls running is shipped and loads."""

import gzip
import json
import re
from pathlib import Path

import pytest

import slowfast.cli.registrations  # noqa: F401
from slowfast.config import get_cfg, load_config
from slowfast.config.load import flatten
from slowfast.config.paths import shipped_configs
from slowfast.config.sections.unsupported import SWITCHES

ROOT = shipped_configs()
PAGE = (Path(__file__).parents[2] / "docs" / "coming_from_pyslowfast.md").read_text("utf-8")
STATES = ("runs", "runs with", "not built")
FOLDERS = ("Charades", "Kinetics", "SSv2", "contrastive_ssl", "masked_ssl")
OURS = {"Kinetics/R2PLUS1D_18_30f", "Kinetics/C3D", "Kinetics/S3D", "Kinetics/S3DG"}


def rows():
    table = PAGE.split("## Every YAML of PySlowFast")[1]
    found = re.findall(r"^\| ([\w./-]+) \| ([a-z ]+) \| (.*?) ?\|$", table, re.MULTILINE)
    return [(name, state, note) for name, state, note in found]


ROWS = rows()


def yaml_of(name, note):
    """The shipped YAML of a row: of its own name, or the one that its note names first."""
    if (ROOT / f"{name}.yaml").is_file():
        return f"{name}.yaml"
    return f"{re.match(r'`([^`]+)`', note)[1]}.yaml"


def test_every_yaml_has_one_row():
    names = [name for name, _, _ in ROWS]
    assert len(names) == len(set(names)) == 106
    assert {state for _, state, _ in ROWS} == set(STATES)
    counts = {folder: sum(n.startswith(f"{folder}/") for n in names) for folder in FOLDERS}
    assert counts == {
        "Charades": 4,
        "Kinetics": 57,
        "SSv2": 7,
        "contrastive_ssl": 12,
        "masked_ssl": 14,
    }
    assert {"AVA", "Charades", "ImageNet"} < {name.split("/")[0] for name in names}


def test_every_shipped_yaml_of_these_folders_is_in_the_table():
    shipped = {
        str(path.relative_to(ROOT).with_suffix(""))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.yaml")
    }
    ours = {name for name in shipped if "torchvision/" in name} | OURS
    assert shipped - ours == {name for name, _, _ in ROWS if (ROOT / f"{name}.yaml").is_file()}


@pytest.mark.parametrize(("name", "state", "note"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_true(name, state, note, tmp_path):
    if state == "not built":
        assert note
        assert not (ROOT / f"{name}.yaml").exists()
        return
    assert note or state == "runs"
    words = ["DATA.PATH_TO_DATA_DIR", "unused", "NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path)]
    load_config(yaml_of(name, note), words)
    if state == "runs":
        assert (ROOT / f"{name}.yaml").is_file()


def test_other_names_in_notes_exist():
    for _, _, note in ROWS:
        for name in re.findall(r"`((?:Kinetics|SSv2|StiCA)/[\w./]+)`", note):
            assert (ROOT / f"{name}.yaml").is_file(), name


def test_keys_that_the_page_names_exist():
    keys = flatten(get_cfg())
    named = set(re.findall(r"`([A-Z_]+(?:\.[A-Za-z_0-9]+)+)`", PAGE))
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
    assert changed == {"DATA.DECODING_BACKEND"}


def test_what_the_page_calls_not_built_is_a_switch():
    not_built = PAGE.split("## Not built")[1].split("## Every YAML")[0]
    for section in re.findall(r"`([A-Z_.]+)`", not_built):
        if section not in ("AVA", "CONTRASTIVE"):
            assert any(key.startswith(section) for key in SWITCHES), section
    for word in ("Rev-MViT", "MaskMViT", "AVA detection"):
        assert word in not_built
