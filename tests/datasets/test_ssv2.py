"""Something-Something V2's official json lists."""

import json

import pytest
from helpers.data_files import data_cfg, listed, names, touch, write

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.ssv2 import ssv2, ssv2_test

# Labels are written as strings, in the order of the names: "10" comes behind "9".
CLASSES = [f"Doing something {letter}" for letter in "abcdefghij"] + ["Holding something (up)"]
LISTS = {
    "train": [("78687", "Doing [something] c"), ("4", "Holding [something] (up)")],
    "validation": [("5", "Doing [something] a")],
    "test": [("6", None), ("7", None)],
}


@pytest.fixture(params=["labels/{}.json", "something-something-v2-{}.json"])
def root(tmp_path, request):
    folder = tmp_path / "ssv2"
    labels = {name: str(number) for number, name in enumerate(CLASSES)}
    dump(folder / request.param.format("labels"), labels)
    for part, items in LISTS.items():
        entries = [
            {"id": video} | ({"label": "x y", "template": name} if name else {})
            for video, name in items
        ]
        dump(folder / request.param.format(part), entries)
        for video, _ in items:
            touch(folder / "20bn-something-something-v2" / f"{video}.webm")
    return folder


def dump(path, content):
    write(path, json.dumps(content))


def find(root, name):
    return next(root.rglob(f"*{name}.json"))


def test_train_and_validation(root):
    cfg = data_cfg(root)
    train = build_dataset("SSv2", cfg, "train").manifest
    assert names(train) == [("78687.webm", 2), ("4.webm", 10)]
    assert train.class_names == CLASSES
    val, test = (ssv2(cfg, split) for split in ("val", "test"))
    assert names(val.manifest) == names(test.manifest) == [("5.webm", 0)]
    assert len(val) < len(test)  # one view, and the grid of testing
    assert listed(ssv2(cfg, "gallery").manifest) == listed(train)
    assert has_split("ssv2", cfg, "val")
    assert not has_split("ssv2", cfg, "test")


def test_the_official_test_split_without_and_with_answers(root):
    cfg = data_cfg(root)
    assert names(ssv2_test(cfg, "test").manifest) == [("6.webm", -1), ("7.webm", -1)]
    write(find(root, "labels").with_name("test-answers.csv"), "7;Doing something b")
    assert names(ssv2_test(cfg, "test").manifest) == [("6.webm", -1), ("7.webm", 1)]
    assert names(ssv2_test(cfg, "val").manifest) == [("5.webm", 0)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train", [{"id": "1", "template": "Flying [a kite]"}], r"1: the template 'Flying a kite'"),
        (
            "train",
            [{"id": "78687", "template": CLASSES[0]}, "x"],
            r"2: expected an object with an id",
        ),
        ("train", {"id": "1"}, r"expected a json list, got dict"),
        ("train", [], r"the list is empty"),
        ("validation", [{"id": "4", "template": CLASSES[0]}], r"4.webm is listed already, at"),
        ("labels", {"a": "0", "b": "2"}, r"one class per number from 0 to 1, got '2' for 'b'"),
        ("labels", {"a": "0", "b": "0"}, r"one class per number from 0 to 1, got '0' for 'b'"),
    ],
)
def test_wrong_lists(root, name, content, message):
    file = find(root, name)
    dump(file, content)
    with pytest.raises(UserError, match=message):
        ssv2(data_cfg(root), "train")


def test_wrong_answers(root):
    write(find(root, "labels").with_name("test-answers.csv"), "7,Doing something b")
    with pytest.raises(UserError, match=r"test-answers.csv:1: expected 'ID;class'"):
        ssv2_test(data_cfg(root), "test")
