"""The worked example of docs/adding_a_dataset.md, run as it stands."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.media_files import Video, write_media

PAGE = Path(__file__).parents[2] / "docs" / "adding_a_dataset.md"
RUN_NET = PAGE.parents[1] / "tools" / "run_net.py"

pytestmark = pytest.mark.slow

SMALL = (
    "NUM_GPUS 0 RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 2 "
    "DATA.TRAIN_CROP_SIZE 24 DATA.TEST_CROP_SIZE 24 DATA.TRAIN_JITTER_SCALES [24,32] "
    "TRAIN.BATCH_SIZE 4 TEST.BATCH_SIZE 4 SOLVER.MAX_EPOCH 1 SOLVER.WARMUP_EPOCHS 0 "
    "TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 NUM_THREADS 1 DATA_LOADER.NUM_WORKERS 0 "
    "TEST.PROTOCOLS ['class_retrieval']"
).split()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path):
    """A folder with the page's file and a survey of eight videos to train on, four to test on."""
    (code,) = blocks("python")
    (tmp_path / "birds.py").write_text(code, encoding="utf-8")
    lines = []
    for number in range(12):
        name = f"{'wren' if number % 2 else 'dunnock'}_{number}.mp4"
        path = tmp_path / "survey" / f"day_{number % 3}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_media(path, Video(ticks=range(20), size=(48, 32)))
        lines.append(f"{name},{name.split('_')[0]},{'train' if number < 8 else 'test'}\n")
    (tmp_path / "survey" / "birds.csv").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def run(folder, status=0):
    (command,) = blocks("bash")
    python, tool, *words = shlex.split(command)
    assert (python, tool) == ("python", "tools/run_net.py")
    words[1] = str(PAGE.parents[1] / words[1])
    done = subprocess.run(
        [sys.executable, str(RUN_NET), *words, *SMALL, "OUTPUT_DIR", "out"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_trains_and_is_evaluated(folder):
    run(folder)
    results = json.loads((folder / "out/results.json").read_text(encoding="utf-8"))
    assert 0 <= results["class_retrieval_r1"]["after"] <= 1
    (record,) = (r for r in results["records"] if r["metric"] == "class_retrieval_r1")
    assert (record["dataset"], record["count"]) == ("birds", 4)


def test_mistakes_in_the_list_are_named(folder):
    csv = folder / "survey/birds.csv"
    lines = csv.read_text(encoding="utf-8")
    csv.write_text(lines + "owl.mp4,owl,somewhere\n", encoding="utf-8")
    assert "birds.csv:13: expected 'FILE,SPECIES,SPLIT'" in run(folder, status=2)
    csv.write_text(lines + "owl.mp4,owl,train\n", encoding="utf-8")
    text = run(folder, status=2)
    assert "DATA.MAX_BAD_FRACTION: 1 of the 9 files of the train split" in text
    assert "birds.csv and the videos that it lists" in text
