"""``slowfast benchmark``: the numbers, the words, and that nothing is written."""

import json

import pytest
from helpers.media_files import Audio, Video, write_media

from slowfast.cli.main import main
from slowfast.datasets.catalog import fake

SMALL = (
    "TRAIN.DATASET kinetics MODEL.MODEL_NAME VideoResNet MODEL.ARCH r3d_18 MODEL.NUM_CLASSES 3 "
    "RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 16 DATA.TRAIN_JITTER_SCALES "
    "[16,20] TRAIN.BATCH_SIZE 4 NUM_GPUS 0 NUM_THREADS 1 DATA.SAMPLING_RATE 2 "
    "SOLVER.BASE_LR 0.01 TRAIN.CHECKPOINT_PERIOD 1 REPORT.ENABLE True"
).split()
PARTS = {"wait", "copy", "forward", "backward", "optimizer", "other"}


@pytest.fixture
def yaml(tmp_path, monkeypatch):
    """An empty YAML in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text("OUTPUT_DIR: run\n")
    return str(path)


def test_fake_data(tmp_path, yaml, capsys):
    words = ["benchmark", "--cfg", yaml, "--fake-data", "--steps", "3", "--warmup", "1"]
    assert main([*words, "--json", "found.json", *SMALL]) == 0
    facts = json.loads((tmp_path / "found.json").read_text())
    assert {file.name for file in tmp_path.iterdir()} == {"found.json", "small.yaml"}
    step = facts["step"]
    assert set(step["parts_sec"]) == PARTS
    assert step["steps"] == 3
    assert step["step_sec"] > max(step["parts_sec"].values()) > 0
    assert facts["samples_per_step"] == 4
    assert facts["sample"] is facts["loader"] is facts["epoch_sec"] is None
    text = capsys.readouterr().out
    assert "4 samples a step; cpu, float32, 1 process with 0 data workers, 1 thread" in text
    assert "\n  backward " in text
    assert facts["bottleneck"]["sentence"] in text


@pytest.mark.parametrize("workers", [0, 1])
def test_videos(tmp_path, yaml, capsys, workers):
    data = tmp_path / "videos"
    for number in range(16):
        path = data / "train" / "abc"[number % 3] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_media(path, Video(ticks=range(30), fps=30), Audio(seconds=1.0))
    words = ["--steps", "2", "--warmup", "1", "--seconds", "0", "--json", str(tmp_path / "f.json")]
    words += [*SMALL, "DATA.PATH_TO_DATA_DIR", str(data), "DATA_LOADER.NUM_WORKERS", str(workers)]
    words += ["SOLVER.MAX_EPOCH", "5"]
    assert main(["benchmark", "--cfg", yaml, *words]) == 0
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts["workers"] == workers
    assert min(facts["sample"][f"{part}_sec"] for part in ("decode", "augment", "collate")) > 0
    assert facts["loader"]["samples_per_sec"] > 0
    assert facts["needed_workers"] >= 1
    assert facts["epoch_sec"] == pytest.approx(4 * facts["long_run"]["step_sec"])
    assert (facts["memory"]["worker_bytes"] > 0) == (workers > 0)
    text = capsys.readouterr().out
    assert "\n  decode " in text
    assert "all 5:" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SOLVER.MAX_EPOCH", "1"], "only 2 steps, too few to measure any after 2 to warm up"),
        (["SOLVER.BASE_LRR", "1"], "Did you mean"),
        (["MODEL.ARCH", "nothing"], "MODEL.ARCH: unknown"),
        (["DATA.NUM_FRAMES", "0"], "DATA.NUM_FRAMES: got 0"),
    ],
)
def test_mistakes_end_with_one_message(yaml, capsys, monkeypatch, words, message):
    monkeypatch.setattr(fake, "_LENGTH", 8)
    assert main(["benchmark", "--cfg", yaml, "--fake-data", *SMALL, *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps: got 0, expected at least 1"),
        (["--warmup", "-1"], "--warmup: got -1, expected at least 0"),
    ],
)
def test_options_out_of_range(yaml, capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", "--cfg", yaml, *words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
