"""The rows of the zoo: complete, unique, honest, and of configurations that exist."""

import re
from urllib.parse import urlsplit

import pytest
import stica

import slowfast.models  # noqa: F401
from slowfast.config import ConfigError, UserError, load_config
from slowfast.config.paths import find_config, shipped_configs
from slowfast.models.zoo.rows import (
    ZOO_REGISTRY,
    ZooEntry,
    describe_source,
    find_row,
    register_rows,
    resolve,
)

ROWS = [entry() for _, entry in ZOO_REGISTRY]


def test_the_published_zoos_are_there():
    names = {row.name for row in ROWS}
    assert {
        "torchvision_r2plus1d_18",
        "torchvision_s3d",
        "torchvision_mvit_v2_s",
        "pytorchvideo_slow_8x8_r50",
        "pyslowfast_ptv_csn_32x2_r101",
        "pyslowfast_c2_slowfast_8x8_r50",
        "pyslowfast_x3d_m",
        "pyslowfast_mvitv2_s_16x4",
        "gdt_k400",
    } <= names


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_complete(row):
    assert re.fullmatch(r"[a-z0-9_-]+", row.name)
    parts = urlsplit(row.url)
    assert parts.scheme == ("package" if row.is_packaged else "https")
    assert parts.path.endswith((".pth", ".pyth", ".pkl", ".pth.tar"))
    assert row.data
    assert row.license
    assert row.source
    assert row.format
    assert len(row.words) % 2 == 0
    assert (row.top1 is None) or (20 < row.top1 < 100 and row.metric)
    assert row.is_tried is row.is_packaged  # nothing but package registries could be reached
    assert row.is_packaged or (shipped_configs() / row.config).is_file()
    assert find_config(row.config).is_file()


@pytest.mark.parametrize("config", sorted({(row.config, row.words) for row in ROWS}))
def test_the_configuration_of_a_row_is_valid(config, tmp_path):
    name, words = config
    words = [*words, "DATA.PATH_TO_DATA_DIR", "unused", "OUTPUT_DIR", str(tmp_path)]
    load_config(name, [*words, "NUM_GPUS", "0"])


def test_torchvisions_names_carry_a_hash():
    for row in ROWS:
        if row.name.startswith("torchvision_"):
            assert len(row.published_hash) == 8
            assert row.published_hash in row.url
    assert find_row("torchvision_r3d_18").published_hash == "b3b3357e"


def test_no_two_rows_share_an_address():
    addresses = [row.url for row in ROWS]
    assert len(set(addresses)) == len(addresses)


def test_rows_of_a_project_belong_to_it():
    assert ZOO_REGISTRY.get("gdt_k400").__module__ == "stica.zoo"
    assert "never released" in stica.zoo.__doc__


def test_names_are_checked_before_anything_is_loaded():
    words = ["DATA.PATH_TO_DATA_DIR", "unused", "NUM_GPUS", "0", "MODEL.MODEL_NAME", "VideoResNet"]
    words += ["MODEL.ARCH", "r3d_18", "TRAIN.CHECKPOINT_FILE_PATH"]
    load_config(None, [*words, "zoo://torchvision_r3d_18"])
    with pytest.raises(
        ConfigError, match=r"TRAIN.CHECKPOINT_FILE_PATH: unknown zoo row.*r3d_18'\?"
    ):
        load_config(None, [*words, "zoo://torchvision_r3d_17"])
    with pytest.raises(ConfigError, match=r"'gdt_k400' belongs to the project stica: add PROJECTS"):
        load_config(None, [*words, "zoo://gdt_k400", "PROJECTS", "[]"])
    load_config(None, [*words, "zoo://gdt_k400"])
    load_config(None, [*words, "zoo://gdt_k400", "PROJECTS", "['stica']"])


@pytest.mark.parametrize("written", ["simclr", "SimCLR_slow_r50", "simclr_slow_r50_8x8"])
def test_a_part_of_a_name_is_told_the_whole(written):
    with pytest.raises(UserError) as caught:
        find_row(f"zoo://{written}")
    message = str(caught.value)
    assert "Did you mean 'pyslowfast_simclr_slow_r50_8x8_rho2'?" in message
    assert "MODEL_ZOO.md" in message
    assert len(message) < 300


def test_rows_trained_by_contrast_say_that_they_are_a_backbone():
    rows = [row for row in ROWS if "contrastive" in row.source]
    assert len(rows) == 7
    for row in rows:
        assert "only the backbone is loaded" in row.note
        assert "classifier" in row.note


def test_a_project_adds_rows(monkeypatch):
    row = ZooEntry("mine", "https://x/mine.pth", "a.yaml", "mine", "noise", "none", "me")
    monkeypatch.setattr(ZOO_REGISTRY, "_obj_map", dict(ZOO_REGISTRY._obj_map))

    @register_rows
    def rows():
        yield row

    assert find_row("zoo://mine") is row
    assert describe_source("zoo://mine") == " zoo://mine is for --cfg a.yaml."
    assert describe_source("mine.pth") == ""


def test_a_path_is_left_as_it_is():
    assert resolve("somewhere/a.pth").as_posix() == "somewhere/a.pth"
