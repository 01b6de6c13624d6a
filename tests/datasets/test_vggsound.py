"""VGGSound's official list."""

import pytest
from helpers.data_files import WHOLE, data_cfg, names, touch, windows, write

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.vggsound import vggsound

LINES = [
    '---g-f_I2yQ,1,"people marching",test',
    '--0PQM4-hqg,30,"bird chirping, tweeting",train',
    "-0jeONf82dE,21,people marching,train",
]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "vgg"
    write(folder / "vggsound.csv", *LINES)
    for name in ("---g-f_I2yQ_000001", "--0PQM4-hqg_000030", "-0jeONf82dE_000021"):
        touch(folder / "video" / f"{name}.mp4")
        touch(folder / "audio" / f"{name}.wav")
    return folder


def test_splits(root):
    cfg = data_cfg(root)
    train, test = (build_dataset("VGGSound", cfg, split).manifest for split in ("train", "test"))
    assert train.class_names == test.class_names == ["bird chirping, tweeting", "people marching"]
    assert names(train) == [("--0PQM4-hqg_000030.mp4", 0), ("-0jeONf82dE_000021.mp4", 1)]
    assert names(test) == [("---g-f_I2yQ_000001.mp4", 1)]
    assert windows(train) == [WHOLE, WHOLE]
    assert names(vggsound(cfg, "gallery").manifest) == names(train)
    assert not has_split("vggsound", cfg, "val")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("id,start,label,split", r"vggsound.csv:4: expected 'ID,START,CLASS,SPLIT' with seconds"),
        ("a,1,people marching", r"vggsound.csv:4: expected 'ID,START,CLASS,SPLIT'"),
        ("a,1,people marching,val", r"vggsound.csv:4: .* train or test, got"),
        (LINES[0].replace("test", "train"), r"vggsound.csv:1: .*listed already, at .*csv:4"),
    ],
)
def test_wrong_lists(root, line, message):
    write(root / "vggsound.csv", *LINES, line)
    with pytest.raises(UserError, match=message):
        vggsound(data_cfg(root), "test")
