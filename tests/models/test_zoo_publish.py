"""Weights to publish: rounded, written alike each time, freed of a machine's places."""

import pytest
import torch
import yaml

from slowfast.config import UserError
from slowfast.models.zoo.publish import portable_config, to_float, to_half, write_weights


def test_float32_becomes_float16_and_nothing_else_changes():
    base = torch.arange(12.0).reshape(3, 4) / 7
    state = {
        "a": base.T,  # not contiguous, and one memory with the next
        "b": base[0],
        "count": torch.tensor(7),
        "double": torch.tensor([1e-9], dtype=torch.float64),
        "brain": torch.ones(2, dtype=torch.bfloat16),
    }
    small, kept = to_half(state)
    assert not kept
    assert {key: value.dtype for key, value in small.items()} == {
        "a": torch.float16,
        "b": torch.float16,
        "count": torch.int64,
        "double": torch.float64,
        "brain": torch.bfloat16,
    }
    assert torch.equal(small["a"], base.T.half())
    assert all(value.is_contiguous() for value in small.values())
    small["b"][0] = 5
    assert small["a"][0, 0] == 0
    assert torch.equal(base, torch.arange(12.0).reshape(3, 4) / 7)
    wide = to_float(small)
    assert wide["a"].dtype == torch.float32
    assert wide["count"] is small["count"]
    assert torch.equal(to_half(wide).state["a"], small["a"])  # nothing more is lost


def test_the_layout_in_memory_does_not_matter():
    value = torch.randn(4, 3, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    last = value.to(memory_format=torch.channels_last_3d)
    assert not last.is_contiguous()
    assert to_half({"a": last}).state["a"].stride() == value.stride()


def test_what_float16_cannot_hold_stays():
    small, kept = to_half({"a": torch.tensor([65504.0]), "b": torch.tensor([1.0, 7e4])})
    assert kept == ["b"]
    assert small["a"].dtype == torch.float16
    assert torch.equal(small["b"], torch.tensor([1.0, 7e4]))
    with pytest.raises(UserError, match=r"^b has values that are not finite"):
        to_half({"b": torch.tensor([float("nan")])})


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("one", "another"):
        content = {"epoch": 3, "model_state": {"a": torch.ones(4), "b": torch.zeros(2)}}
        write_weights(tmp_path / name / f"{name}.pyth", content, 1.0)
    one, another = (tmp_path / name / f"{name}.pyth" for name in ("one", "another"))
    assert one.read_bytes() == another.read_bytes()
    assert torch.load(one, weights_only=True)["epoch"] == 3


def test_all_weights_count_for_the_limit(tmp_path):
    content = {"model_state": {"a": torch.zeros(100_000, dtype=torch.float16)}}
    for name in ("a", "b"):
        write_weights(tmp_path / name / f"{name}.pyth", content, 0.5)
    write_weights(tmp_path / "b" / "b.pyth", content, 0.5)  # its old size does not count
    before = (tmp_path / "b" / "b.pyth").read_bytes()
    with pytest.raises(UserError, match=r"--max-mb: b.pyth has 0.20 MB .* 0.20 MB, .* than 0.3"):
        write_weights(tmp_path / "b" / "b.pyth", content, 0.3)
    assert (tmp_path / "b" / "b.pyth").read_bytes() == before
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["b.pyth"]


def test_a_configuration_without_places():
    tree = {
        "OUTPUT_DIR": "/home/me/runs/7",
        "PROJECTS": ["mine"],
        "DATA": {
            "DEMO_CFG": "configs/demo.yaml",
            "PATH_TO_DATA_DIR": "../data",
            "PATH_PREFIX": "data/",
            "MEAN": [0.45, 0.45],
        },
        "TRAIN": {"CHECKPOINT_FILE_PATH": "zoo://name", "DATASET": "demo"},
        "TEST": {"CHECKPOINT_FILE_PATH": "run/a.pyth"},
        "AVA": {"LISTS": ["C:\\lists\\a.csv", "b.csv"], "FRAME_DIR": "~/frames"},
    }
    assert yaml.safe_load(portable_config(yaml.safe_dump(tree), "tiny")) == {
        "OUTPUT_DIR": "output/tiny",
        "PROJECTS": ["mine"],
        "DATA": {
            "DEMO_CFG": "",  # merged already
            "PATH_TO_DATA_DIR": "",
            "PATH_PREFIX": "",
            "MEAN": [0.45, 0.45],
        },
        "TRAIN": {"CHECKPOINT_FILE_PATH": "zoo://name", "DATASET": "demo"},
        "TEST": {"CHECKPOINT_FILE_PATH": ""},
        "AVA": {"LISTS": ["", "b.csv"], "FRAME_DIR": ""},
    }
    with pytest.raises(UserError, match="has no configuration"):
        portable_config("", "tiny")
