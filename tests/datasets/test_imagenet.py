"""Class folders of images as clips of one frame."""

import cv2
import numpy as np
import pytest

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import ConfigError, get_cfg, load_config
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset, has_split
from slowfast.datasets.decoding.file import MediaError
from slowfast.datasets.decoding.still_image import StillImage


@pytest.fixture
def folder(tmp_path):
    """Two classes with numbered images, 40 x 30, which a folder of frames looks like."""
    for split, count in (("train", 3), ("val", 2)):
        for label, name in enumerate(("n0001", "n0002")):
            for number in range(count):
                path = tmp_path / split / name / f"{name}_{number}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = np.full((30, 40, 3), 40 + 80 * label, np.uint8)
                image[:, :, 2] = 200  # red, in OpenCV's order
                path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return tmp_path


def make_cfg(folder, *words):
    cfg = get_cfg()
    cfg.merge_from_list([str(word) for word in words])
    cfg.DATA.PATH_TO_DATA_DIR, cfg.DATA.NUM_FRAMES = str(folder), 1
    cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TEST_CROP_SIZE = 14, 14
    return cfg


def test_a_sample_is_one_frame_with_the_label_of_its_folder(folder):
    cfg = make_cfg(folder)
    train, test = (build_dataset("ImageNet", cfg, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 4)
    sample = train[0, 5]
    assert sample["video"].shape == (1, 1, 14, 14, 3)
    assert sample["label"] == 1
    assert tuple(sample["video"][0, 0, 7, 7]) == (200, 120, 120)  # RGB
    assert test[0, 3]["video"].shape == (1, 1, 14, 14, 3)  # one view whatever TEST says
    assert has_split("imagenet", cfg, "val")
    assert train.manifest.class_names == ["n0001", "n0002"]


def test_the_test_crop_is_the_center_at_the_ratio(folder):
    """Short side 14 / 0.5 = 28 of 30: a crop of half of it; at 1.0 the full short side."""
    image = np.zeros((28, 28, 3), np.uint8)
    image[7:21, 7:21] = 255
    for name in ("n0001", "n0002"):
        path = next((folder / "val" / name).iterdir())
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    half = build_dataset("imagenet", make_cfg(folder, "DATA.IN_VAL_CROP_RATIO", 0.5), "test")
    assert half[0, 0]["video"].min() == 255
    full = build_dataset("imagenet", make_cfg(folder, "DATA.IN_VAL_CROP_RATIO", 1.0), "test")
    assert full[0, 0]["video"].min() == 0


def test_a_training_crop_is_random_and_depends_on_epoch_and_index_alone(folder):
    rng = np.random.default_rng(0)
    path = sorted((folder / "train" / "n0001").iterdir())[0]
    noise = rng.integers(0, 255, (64, 64, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    one, other = (build_dataset("imagenet", make_cfg(folder), "train") for _ in range(2))
    assert np.array_equal(one[0, 0]["video"], other[0, 0]["video"])
    assert not np.array_equal(one[0, 0]["video"], one[1, 0]["video"])


def test_a_damaged_image_is_a_media_error(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_text("no image", encoding="utf-8")
    with pytest.raises(MediaError, match="it is not an image that can be decoded"):
        StillImage(path).read_video(np.zeros(1))
    with pytest.raises(MediaError, match="no audio"):
        _ = StillImage(path).audio_extent_sec


def test_images_are_refused_as_videos_of_other_datasets(folder):
    path = next((folder / "train" / "n0001").iterdir())
    lists = folder / "lists"
    lists.mkdir()
    (lists / "train.csv").write_text(f"{path} 0\n", encoding="utf-8")
    dataset = build_dataset("kinetics", make_cfg(lists), "train")
    with pytest.raises(MediaError):
        dataset[0, 0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("DATA.NUM_FRAMES 8", "DATA.NUM_FRAMES: got 8, but a clip of imagenet is one image"),
        ("DATA.IN_VAL_CROP_RATIO 1.5", "DATA.IN_VAL_CROP_RATIO: got 1.5, expected a number in"),
        ("AUDIO.ENABLE True", "AUDIO.ENABLE: got True, but imagenet has images"),
    ],
)
def test_what_images_cannot_follow_is_refused(words, message):
    base = "DATA.NUM_FRAMES 1 TRAIN.DATASET imagenet DATA.PATH_TO_DATA_DIR x NUM_GPUS 0"
    with pytest.raises(ConfigError) as caught:
        load_config(None, [*base.split(), *words.split()])
    assert message in str(caught.value)


def test_views_that_an_image_does_not_have_are_noted():
    words = (
        "DATA.NUM_FRAMES 1 TRAIN.DATASET imagenet TEST.DATASET imagenet NUM_GPUS 0 MODEL.ARCH 2d"
    )
    words += " DATA.PATH_TO_DATA_DIR x MODEL.MODEL_NAME ResNet MODEL.ARCH 2d"
    loaded = load_config(None, words.split())
    assert loaded.cfg.MODEL.ARCH == "c2d_nopool"
    (note,) = loaded.notes
    assert note.startswith("no effect: TEST.NUM_ENSEMBLE_VIEWS 10, TEST.NUM_SPATIAL_CROPS 3 (")
    assert "imagenet" in DATASET_REGISTRY.names()
