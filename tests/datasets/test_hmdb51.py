"""HMDB-51's official lists."""

import pytest
from helpers.data_files import data_cfg, listed, names, touch, write

from slowfast.config import UserError
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.hmdb51 import hmdb51

LISTS = {
    "clap": ["#20_Rhythm_clap_u_nm.avi 1 ", "B(r)avo!_clap_f_cm.avi 2 ", "c_clap.avi 0 "],
    "brush_hair": ["April_09_brush_hair_0.avi 2 ", "c_clap.avi 1 "],
}


@pytest.fixture(
    params=["testTrainMulti_7030_splits", "test_train_splits/testTrainMulti_7030_splits"]
)
def root(tmp_path, request):
    folder = tmp_path / "hmdb"
    for name, lines in LISTS.items():
        for line in lines:
            touch(folder / "hmdb51_org" / name / line.split(" ")[0])
        write(folder / request.param / f"{name}_test_split1.txt", *lines)
        write(folder / request.param / f"{name}_test_split2.txt", *reversed(lines))
    return folder


def test_the_lists_of_a_fold(root):
    cfg = data_cfg(root, "DATA.FOLD", 1)
    train, test = (build_dataset("HMDB51", cfg, split).manifest for split in ("train", "test"))
    assert train.class_names == ["brush_hair", "clap"]
    assert names(train) == [("c_clap.avi", 0), ("#20_Rhythm_clap_u_nm.avi", 1)]
    assert names(test) == [("April_09_brush_hair_0.avi", 0), ("B(r)avo!_clap_f_cm.avi", 1)]
    # The same name in two classes is two files.
    assert listed(train)[0][0] == str(root / "hmdb51_org" / "brush_hair" / "c_clap.avi")
    assert listed(hmdb51(cfg, "gallery").manifest) == listed(train)
    assert not has_split("hmdb51", cfg, "val")


def lists_of(root):
    return next(root.rglob("clap_test_split1.txt")).parent


def test_the_official_folder_inside_of_a_data_folder_of_another_name(root):
    cfg = data_cfg(root / "hmdb51_org", "DATA.FOLD", 2, "DATA.PATH_TO_SPLIT_DIR", lists_of(root))
    assert len(hmdb51(cfg, "train").manifest) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.avi 3", r"clap_test_split1.txt:1: expected 'video.avi N' with N 1 \(train\), 2 \(test"),
        ("a.avi", r"clap_test_split1.txt:1: expected 'video.avi N'"),
        ("", r"clap_test_split1.txt: the list is empty"),
    ],
)
def test_wrong_lists(root, line, message):
    write(lists_of(root) / "clap_test_split1.txt", line)
    with pytest.raises(UserError, match=message):
        hmdb51(data_cfg(root, "DATA.FOLD", 1), "train")


def test_a_file_in_train_and_test(root):
    write(lists_of(root) / "clap_test_split1.txt", "a.avi 1", "a.avi 2")
    with pytest.raises(UserError, match=r"split1.txt:2: clap/a.avi is listed already, at .*txt:1"):
        hmdb51(data_cfg(root, "DATA.FOLD", 1), "train")


def test_a_class_that_one_fold_lacks_is_missed(root):
    (lists_of(root) / "clap_test_split2.txt").unlink()
    with pytest.raises(UserError, match=r"clap_test_split2.txt: cannot read the split file"):
        hmdb51(data_cfg(root, "DATA.FOLD", 2), "train")


def test_a_fold_must_be_chosen_and_lists_must_be_there(root):
    with pytest.raises(UserError, match="hmdb51 has folds 1 to 3; got 0"):
        hmdb51(data_cfg(root), "train")
    cfg = data_cfg(root, "DATA.FOLD", 1, "DATA.PATH_TO_SPLIT_DIR", root / "hmdb51_org")
    with pytest.raises(UserError, match=r"found no \*_test_split\[123\].txt in .*hmdb51_org"):
        hmdb51(cfg, "train")
