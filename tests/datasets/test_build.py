"""Datasets by name: folds are refused where there are none."""

import pytest
from helpers.data_files import data_cfg, touch
from helpers.synthetic import synthetic_cfg

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import UserError
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset


def test_all_data_sets_are_registered_in_lower_case():
    names = set(DATASET_REGISTRY.names())
    assert {"video_folder", "kinetics", "ucf101", "hmdb51", "ssv2", "vggsound", "audioset"} <= names
    assert {"esc50", "esc10", "dcase2014", "audio_folder", "demo"} <= names
    assert all(name == name.lower() for name in names)
    assert DATASET_REGISTRY.get("kinetics") is DATASET_REGISTRY.get("video_folder")


@pytest.mark.parametrize("name", ["Kinetics", "SSV2", "audio_folder", "synthetic"])
def test_a_fold_of_a_data_set_without_folds(tmp_path, name):
    touch(tmp_path / "data" / "a.mp4")
    cfg = data_cfg(tmp_path / "data", "DATA.FOLD", 1)
    with pytest.raises(UserError, match=rf"DATA.FOLD: got 1, but the dataset {name} has no folds"):
        build_dataset(name, cfg, "train")


def test_a_data_set_of_a_project_may_say_nothing_of_folds(tmp_path):
    assert len(build_dataset("synthetic", synthetic_cfg(tmp_path), "train")) == 13
