"""Rows whose files come with a package: found, checked, read without a network."""

import hashlib

import pytest
import torch
from helpers.weights_package import PACKAGE, make_package, register_package

from slowfast.config import UserError, load_config
from slowfast.config.paths import find_config, find_package_file
from slowfast.models.weights import load_weights
from slowfast.models.zoo.packaged import RowFacts, packaged_rows, read_facts, read_package_results
from slowfast.models.zoo.rows import ZooEntry, describe_source, find_row, resolve

ROW = "data: noise\nlicense: CC0\nmetrics: [top1_acc]\nnote: Of no use.\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_OFFLINE", "1")
    return make_package(tmp_path, monkeypatch)


def publish(root, name, state):
    folder = root / name
    folder.mkdir()
    torch.save({"model_state": state}, folder / f"{name}.pyth")
    digest = hashlib.sha256((folder / f"{name}.pyth").read_bytes()).hexdigest()
    (folder / f"{name}.pyth.sha256").write_text(f"{digest}  {name}.pyth\n", encoding="ascii")
    (folder / "row.yaml").write_text(ROW, encoding="utf-8")
    (folder / "evaluate.yaml").write_text("_BASE_: config.yaml\nRNG_SEED: 5\n", encoding="utf-8")
    (folder / "config.yaml").write_text("RNG_SEED: 4\nLOG_PERIOD: 3\n", encoding="utf-8")
    return digest


def test_a_folder_is_a_row(root):
    digest = publish(root, "tiny-b", {})
    publish(root, "tiny-a", {})
    (root / "unfinished").mkdir()
    (root / "README.md").write_text("words", encoding="utf-8")
    rows = list(packaged_rows(PACKAGE))
    assert [row.name for row in rows] == ["tiny-a", "tiny-b"]
    row = rows[1]
    assert row.url == f"package://{PACKAGE}/tiny-b/tiny-b.pyth"
    assert row.published_hash == digest
    assert (row.data, row.license, row.note, row.metric) == (
        *("noise", "CC0"),
        *("Of no use.", "top1_acc"),
    )
    assert row.is_packaged
    assert row.is_tried


def test_no_package_no_rows():
    assert list(packaged_rows("no_such_package_anywhere")) == []


def test_it_is_read_where_it_lies(root):
    model = torch.nn.Linear(3, 2)
    weight = torch.randn(2, 3, generator=torch.Generator().manual_seed(2)).half()
    publish(root, "tiny", {"weight": weight, "bias": torch.ones(2).half()})
    register_package()
    assert resolve("zoo://tiny") == root / "tiny" / "tiny.pyth"
    assert resolve(f"package://{PACKAGE}/tiny/tiny.pyth") == root / "tiny" / "tiny.pyth"
    load_weights(model, "zoo://tiny")
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, weight.float())


def test_its_hash_is_checked(root):
    publish(root, "tiny", {})
    register_package()
    path = root / "tiny" / "tiny.pyth"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"tiny.pyth is damaged: its SHA-256 begins with"):
        resolve("zoo://tiny")
    path.unlink()
    with pytest.raises(UserError, match=r"tiny/tiny.pyth: no such file in"):
        resolve("zoo://tiny")


def test_its_configuration_is_found_by_the_same_kind_of_address(root):
    publish(root, "tiny", {})
    register_package()
    address = f"package://{PACKAGE}/tiny/evaluate.yaml"
    assert find_row("tiny").config == address
    assert describe_source("zoo://tiny") == f" zoo://tiny is for --cfg {address}."
    assert find_config(address) == root / "tiny" / "evaluate.yaml"
    loaded = load_config(address, validate=False)
    assert (loaded.source, loaded.cfg.RNG_SEED, loaded.cfg.LOG_PERIOD) == (address, 5, 3)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("package://no_such_package_anywhere/a", "'no_such_package_anywhere' is not installed"),
        ("package://", "expected package://PACKAGE/FILE"),
        ("package://slowfast", "expected package://PACKAGE/FILE"),
        ("package://a.b/c", "expected package://PACKAGE/FILE"),
        ("package://slowfast/none.yaml", "none.yaml: no such file in"),
    ],
)
def test_wrong_addresses(address, message):
    with pytest.raises(UserError, match=message):
        find_package_file(address)


def test_facts(tmp_path):
    (tmp_path / "row.yaml").write_text("data: a\nlicense: b\ncommands: [x, y]\n", encoding="utf-8")
    assert read_facts(tmp_path) == RowFacts("a", "b", commands=("x", "y"))
    (tmp_path / "row.yaml").write_text("data: a\nlicence: b\n", encoding="utf-8")  # its old name
    assert read_facts(tmp_path) == RowFacts("a", "b")
    for text in ("data: a\n", "- a\n", "data: a\nlicense: b\nlicence: c\n", ""):
        (tmp_path / "row.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"row.yaml must have 'data' and 'license', and may"):
            read_facts(tmp_path)


def test_results_are_next_to_the_weights(root):
    publish(root, "tiny", {})
    (row,) = packaged_rows(PACKAGE)
    assert read_package_results(row) == {}
    (root / "tiny" / "results.json").write_text('{"format": 1}', encoding="utf-8")
    assert read_package_results(row) == {"format": 1}
    other = ZooEntry("other", "https://x/a.pth", "a.yaml", "f", "d", "l", "s")
    with pytest.raises(UserError, match=r"is downloaded and has no results.json"):
        read_package_results(other)
