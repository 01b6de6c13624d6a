"""Something-Something V2's official json lists."""

import json

import cv2
import numpy as np
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


def write_images(folder, *videos):
    """Three images of each video, all of one gray: its number."""
    for video in videos:
        (folder / video).mkdir(parents=True)
        for frame in range(1, 4):
            image = np.full((64, 64, 3), int(video) % 256, np.uint8)
            cv2.imwrite(str(folder / video / f"{frame:06d}.png"), image)


@pytest.mark.parametrize("is_next_to_labels", [True, False])
def test_frame_lists_of_pyslowfast(root, tmp_path, is_next_to_labels, caplog):
    folder = find(root, "labels").parent if is_next_to_labels else root
    write_images(tmp_path / "images", "78687", "4", "5", "8")
    header = "original_vido_id video_id frame_id path labels"
    for split, videos in {"train": ("8", "4", "78687"), "val": ("5",)}.items():  # no 8 in the json
        lines = [f'{v} 0 {n} {v}/{n + 1:06d}.png ""' for v in videos for n in range(3)]
        write(folder / f"{split}.csv", header, *lines)
    words = "DATA.NUM_FRAMES 2 AUDIO.ENABLE False DATA.TEST_CROP_SIZE 64 DATA.TRAIN_CROP_SIZE 64"
    cfg = data_cfg(root, "DATA.PATH_PREFIX", str(tmp_path / "images"), *words.split())
    caplog.set_level("INFO")
    train, test = ssv2(cfg, "train"), ssv2(cfg, "test")
    assert "3 videos of the frame list" in caplog.text
    assert names(train.manifest) == [("78687", 2), ("4", 10)]
    assert train.manifest.class_names == CLASSES
    assert names(test.manifest) == [("5", 0)]
    assert train[0, 0]["video"].mean() == 78687 % 256
    with pytest.raises(UserError, match=r"PATH_PREFIX: .*the first image of .* cannot be read"):
        ssv2(data_cfg(root, "DATA.PATH_PREFIX", str(tmp_path)), "train")


def test_folders_of_frames_in_the_data_folder(root):
    for file in root.rglob("*.webm"):
        file.unlink()
    write_images(root / "frames", "78687", "4", "5")
    assert names(ssv2(data_cfg(root), "train").manifest) == [("78687", 2), ("4", 10)]
    (root / "empty").mkdir()
    missing = data_cfg(root, "DATA.PATH_PREFIX", str(root / "empty"))
    with pytest.raises(
        UserError, match=r"DATA.PATH_PREFIX: none of the 2 files of the train split"
    ):
        ssv2(missing, "train")
    with pytest.raises(UserError, match=r"DATA.PATH_PREFIX: no such folder"):
        ssv2(data_cfg(root, "DATA.PATH_PREFIX", str(root / "none")), "train")


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
