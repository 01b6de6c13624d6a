"""DATA.DECODING_SHORT_SIZE is raised to what the crops need."""

import pytest
from helpers.media_files import Video, write_media
from helpers.synthetic import synthetic_cfg

from slowfast.cli.run_net import main
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.clip_settings import ClipSettings
from slowfast.datasets.video_dataset import build_video_dataset
from slowfast.datasets.views.decoding_size import decoding_short_side, describe_raised_size

KINETICS = "TRAIN.DATASET kinetics TEST.DATASET kinetics "


def make(tmp_path, words):
    return synthetic_cfg(tmp_path, *(KINETICS + words).split())


@pytest.mark.parametrize(
    ("words", "train", "val", "test"),
    [
        # X3D_L and MViTv2-L: crops beyond the default of 256
        ("DATA.TRAIN_CROP_SIZE 312 DATA.TRAIN_JITTER_SCALES [356,446] DATA.TEST_CROP_SIZE 312 "
         "TEST.NUM_SPATIAL_CROPS 3", 446, 356, 312),
        ("DATA.TRAIN_CROP_SIZE 224 DATA.TEST_CROP_SIZE 352 TEST.NUM_SPATIAL_CROPS 3",
         320, 256, 352),
        ("DATA.TRAIN_CROP_SIZE 224 DATA.TEST_CROP_SIZE 224", 320, 256, 256),
        # relative scales: the largest box is the frame
        ("DATA.TRAIN_CROP_SIZE 288 DATA.TRAIN_JITTER_SCALES_RELATIVE [0.1,1.0]", 288, 288, 256),
        ("DATA.TRAIN_CROP_SIZE 112 DATA.TRAIN_JITTER_SCALES_RELATIVE [0.1,1.0]", 256, 256, 256),
        ("DATA.TRAIN_JITTER_SCALES [40,300]", 300, 256, 256),
        ("DATA.DECODING_SHORT_SIZE 400", 400, 400, 400),
    ],
)  # fmt: skip
def test_the_size_of_each_split(tmp_path, words, train, val, test):
    cfg = make(tmp_path, words)
    splits = ("train", "val", "test", "gallery")
    assert [decoding_short_side(cfg, split) for split in splits] == [train, val, test, test]
    assert [ClipSettings.from_cfg(cfg, s).short_side for s in splits] == [train, val, test, test]
    line = describe_raised_size(cfg)
    size = cfg.DATA.DECODING_SHORT_SIZE
    assert (f"DATA.DECODING_SHORT_SIZE {size} is less" in line) == (max(train, val, test) > size)
    assert (f"{train} (train)" in line) == (train > size)
    assert decoding_short_side(make(tmp_path, "DATA.DECODING_SHORT_SIZE 0"), "train") is None


@pytest.mark.parametrize("cached", [False, True])
def test_frames_are_decoded_at_that_size(tmp_path, monkeypatch, cached):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    path = write_media(tmp_path / "v.mp4", Video(ticks=range(12), fps=30, size=(160, 120)))
    words = "DATA.DECODING_SHORT_SIZE 32 DATA.TRAIN_CROP_SIZE 48 DATA.TEST_CROP_SIZE 96 "
    words += "DATA.TRAIN_JITTER_SCALES [48,64] TEST.NUM_SPATIAL_CROPS 3 DATA.NUM_FRAMES 2 "
    cfg = make(tmp_path, f"{words} DATA.SAMPLING_RATE 1 DATA_LOADER.CACHE_DECODED {cached}")
    sizes = {}
    for split in ("train", "val", "test"):
        dataset = build_video_dataset(
            cfg, Manifest.from_rows([VideoRecord(str(path), 0)], ["a"]), split
        )
        with dataset.settings.open(dataset.manifest.row(0)) as reader:
            sizes[split] = dataset.settings.read_frames(reader, 0.0).shape[1]
    assert sizes == {"train": 64, "val": 48, "test": 96}


@pytest.mark.slow
def test_a_run_says_it_once(tmp_path, capsys):
    for number in range(4):
        write_media(tmp_path / f"{number}.mp4", Video(ticks=range(6), size=(32, 24)))
    rows = "".join(f"{tmp_path}/{n}.mp4 {n % 2}\n" for n in range(4))
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text(rows)
    words = (
        "TRAIN.DATASET kinetics TEST.DATASET kinetics MODEL.MODEL_NAME VideoResNet MODEL.ARCH "
        "r3d_18 MODEL.NUM_CLASSES 2 RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 2 DATA.SAMPLING_RATE "
        "1 DATA.TRAIN_CROP_SIZE 16 DATA.TEST_CROP_SIZE 16 TRAIN.BATCH_SIZE 2 DATA_LOADER."
        "NUM_WORKERS 0 NUM_GPUS 0 SOLVER.MAX_EPOCH 2 TRAIN.EVAL_PERIOD 1 DATA.TRAIN_JITTER_SCALES "
        "[16,24] DATA.DECODING_SHORT_SIZE 20 TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1"
    )
    config = tmp_path / "x.yaml"
    config.write_text("TASK: ''\n")
    data = ["DATA.PATH_TO_DATA_DIR", str(tmp_path), "OUTPUT_DIR", str(tmp_path / "out")]
    assert main(["--cfg", str(config), *words.split(), *data]) == 0
    log = "".join(capsys.readouterr())
    assert log.count("DATA.DECODING_SHORT_SIZE 20 is less") == 1
    assert "decoding at 24 (train)" in log
