"""``slowfast predict``: the scores are those of a test; files, windows and mistakes."""

import csv
import itertools
import json
import logging
import re

import pytest
import torch

from slowfast.cli.main import main
from slowfast.config import load_config
from slowfast.models.build import construct_model
from slowfast.utils.checkpoint import checkpoint_path, write_checkpoint_file
from tests.helpers.media_files import Audio, Video, write_media

SMALL = (
    "MODEL.MODEL_NAME ResNet MODEL.ARCH r2plus1d_18 RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 "
    "DATA.SAMPLING_RATE 4 DATA.TARGET_FPS 30 DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 "
    "DATA.TRAIN_JITTER_SCALES [32,32] TEST.NUM_ENSEMBLE_VIEWS 2 TEST.BATCH_SIZE 2 "
    "DATA_LOADER.NUM_WORKERS 0 NUM_GPUS 0 TEST.DATASET kinetics TRAIN.DATASET kinetics"
)
NAMES = ["jump", "run", "swim"]
FRAMES = (40, 45, 120)


def make_run(folder, *words, names=NAMES):
    words = [*SMALL.split(), "MODEL.NUM_CLASSES", "3", "OUTPUT_DIR", str(folder), *words]
    cfg = load_config(None, words, validate=False).cfg
    torch.manual_seed(0)
    model = construct_model(cfg)
    for name, value in model.named_parameters():
        if name.startswith("head."):
            torch.nn.init.normal_(value, std=0.5)  # scores that differ
    content = {"epoch": 0, "model_state": model.state_dict(), "cfg": cfg.dump()}
    write_checkpoint_file(checkpoint_path(folder, 1), {**content, "class_names": names})
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "mine")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number, frames in enumerate(FRAMES):
        write_media(folder / f"{number}.mp4", Video(ticks=range(frames)))
    return folder


@pytest.fixture(autouse=True)
def no_log_on_standard_output():
    """Handlers of runs in this process, of this file or another one, are not the command's."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [h for h in before if type(h).__module__.startswith("_pytest")]
    yield
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:] = before


def predict(*words):
    return main(["predict", "--device", "cpu", "--workers", "0", *map(str, words)])


def read_csv(file):
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.slow
def test_scores_are_those_of_a_test(run_folder, videos, tmp_path):
    out = tmp_path / "p.csv"
    assert predict(videos, "--weights", run_folder, "-o", out, "--top-k", "3") == 0
    got = {}
    for row in read_csv(out):
        assert row["kind"] == "video"
        got.setdefault(row["path"], []).append((row["class"], float(row["score"])))
    config = tmp_path / "x.yaml"
    config.write_text("TASK: ''\n")
    words = [*SMALL.split(), "MODEL.NUM_CLASSES", "3", "TRAIN.ENABLE", "False"]
    words += ["DATA.PATH_TO_DATA_DIR", str(videos), "OUTPUT_DIR", str(tmp_path / "test")]
    words += ["TEST.CHECKPOINT_FILE_PATH", str(checkpoint_path(run_folder, 1))]
    assert main(["train", "--cfg", str(config), *words]) == 0
    rows = read_csv(tmp_path / "test" / "predictions.csv")
    assert len(rows) == len(got) == len(FRAMES)
    for row in rows:
        expected = [(row[f"name_{k}"], float(row[f"score_{k}"])) for k in (1, 2, 3)]
        assert [name for name, _ in got[row["path"]]] == [name for name, _ in expected]
        for (_, score), (_, other) in zip(got[row["path"]], expected, strict=True):
            assert score == pytest.approx(other, abs=2e-6)


def test_a_table_is_printed(run_folder, videos, capsys):
    assert predict(videos / "0.mp4", "--weights", run_folder, "--top-k", "2") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == str(videos / "0.mp4")
    assert len(lines) == 3
    assert all(re.fullmatch(r"  [01]\.\d{3}  (jump|run|swim)", line) for line in lines[1:])
    assert "1 file predicted" in err


def test_windows_and_the_timeline(run_folder, videos, tmp_path, capsys):
    out = tmp_path / "p.json"
    words = (videos, "--weights", run_folder, "--every", "0.5")
    assert predict(*words, "-o", out) == 0
    content = json.loads(out.read_text())
    assert content["every_sec"] == 0.5
    assert content["bad_files"] == []
    long = content["predictions"][2]
    assert [round(w["start_sec"], 2) for w in long["windows"]] == [n / 2 for n in range(8)]
    labels = [w["classes"][0]["class"] for w in long["windows"]]
    timeline = long["timeline"]
    assert len(timeline) == 1 + sum(a != b for a, b in itertools.pairwise(labels))
    assert timeline[0]["start_sec"] == 0
    assert timeline[-1]["end_sec"] == pytest.approx(4.0, abs=0.01)
    table = tmp_path / "p.csv"
    assert predict(*words, "-o", table) == 0
    rows = read_csv(table)
    kinds = {kind: sum(row["kind"] == kind for row in rows) for kind in ("window", "segment")}
    assert kinds["window"] == 3 * (3 + 3 + 8)
    assert kinds["segment"] == sum(len(p["timeline"]) for p in content["predictions"])
    capsys.readouterr()
    assert predict(videos / "2.mp4", "--weights", run_folder, "--every", "0.5") == 0
    printed = capsys.readouterr().out.splitlines()[1:]
    assert len(printed) == len(timeline)
    assert printed[0].startswith("  0:00:00.0 - ")


def test_all_classes_above_a_threshold(videos, tmp_path, capsys):
    folder = make_run(tmp_path / "multi", "MODEL.HEAD_ACT", "sigmoid")
    out = tmp_path / "p.json"
    assert predict(videos, "--weights", folder, "-o", out, "--threshold", "0") == 0
    scores = {
        p["path"]: {c["class"]: c["score"] for c in p["classes"]}
        for p in json.loads(out.read_text())["predictions"]
    }
    assert all(set(found) == set(NAMES) for found in scores.values())
    assert predict(videos, "--weights", folder, "-o", out) == 0
    content = json.loads(out.read_text())
    assert (content["multi_label"], content["threshold"]) == (True, 0.5)
    for entry in content["predictions"]:
        expected = {name for name, score in scores[entry["path"]].items() if score >= 0.5}
        assert {c["class"] for c in entry["classes"]} == expected
    capsys.readouterr()
    assert predict(videos / "0.mp4", "--weights", folder, "--threshold", "1") == 0
    assert "no class has a score of 1 or more" in capsys.readouterr().out
    table = tmp_path / "p.csv"
    assert predict(videos / "0.mp4", "--weights", folder, "--threshold", "1", "-o", table) == 0
    assert [(row["class"], row["score"]) for row in read_csv(table)] == [("", "")]


def test_bad_files_are_listed(run_folder, videos, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    out = tmp_path / "p.json"
    assert predict(videos, bad, "--weights", run_folder, "-o", out) == 0
    err = capsys.readouterr().err
    assert "3 files predicted" in err
    assert f"1 file could not be used:\n  {bad}: " in err
    content = json.loads(out.read_text())
    assert [entry["path"] for entry in content["bad_files"]] == [str(bad)]
    assert len(content["predictions"]) == 3
    assert predict(bad, "--weights", run_folder) == 1
    assert "0 files predicted" in capsys.readouterr().err


def test_an_audio_classifier_lists_files_without_audio(tmp_path, capsys):
    words = "AUDIO.ENABLE True AUDIO.ARCH audio_resnet9 AUDIO.WIDTH 4 AUDIO.CLIP_SEC 0.5"
    words = f"MODEL.MODEL_NAME AudioClassifier TEST.DATASET video_folder {words}"
    folder = make_run(tmp_path / "audio", *words.split())
    write_media(tmp_path / "with.mp4", Video(), Audio())
    write_media(tmp_path / "without.mp4", Video())
    files = [tmp_path / "with.mp4", tmp_path / "without.mp4"]
    assert predict(*files, "--weights", folder) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == str(files[0])
    assert f"{files[1]}: it has no audio" in err


def test_names_of_classes(run_folder, videos, tmp_path, capsys):
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"b": 1, "a": 0, "c": 2}))
    words = (videos / "0.mp4", "--weights", run_folder, "--classes", names)
    assert predict(*words) == 0
    found = {line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]}
    assert found == {"a", "b", "c"}
    names.write_text('["a", "b"]')
    assert predict(*words) == 2
    assert "--classes: " in (err := capsys.readouterr().err)
    assert "has 2 names, but mine has 3 classes" in err
    assert predict(*words[:-1], tmp_path / "none.txt") == 2
    assert "--classes: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top-k", "0"], "--top-k: got 0"),
        (["--threshold", "2"], "--threshold: got 2.0"),
        (["--every", "0"], "--every: got 0.0"),
        (["--format", "html"], "--format: got html; name the page with -o"),
        (["-o", "."], "-o: . is a folder"),
        (["--opts", "DATA.NO_SUCH_KEY", "1"], "DATA.NO_SUCH_KEY"),
    ],
)
def test_options_are_checked(words, message, run_folder, videos, capsys):
    assert predict(videos, "--weights", run_folder, *words) == 2
    assert message in capsys.readouterr().err


def test_weights_and_folders_are_checked(run_folder, videos, tmp_path, capsys):
    assert predict(videos, "--weights", "zoo://stica-demo") == 2
    assert "does not predict classes" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "p.csv"
    assert predict(empty, "--weights", run_folder, "-o", out) == 2
    assert "no video files" in capsys.readouterr().err
    assert not out.exists()
    assert predict(videos, "--weights", tmp_path / "none") == 2
    assert "none" in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert "examples:" in capsys.readouterr().out


HOSTILE = "<script>alert(1)<" + "\u2215script>.mp4"


@pytest.fixture
def page(run_folder, videos, tmp_path):
    (tmp_path / HOSTILE).write_bytes((videos / "2.mp4").read_bytes())
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    out = tmp_path / "pages" / "timeline.html"
    files = (tmp_path / HOSTILE, bad)
    assert predict(*files, "--weights", run_folder, "--every", "0.5", "-o", out) == 0
    return out


def test_the_page_escapes_names(page):
    pytest.importorskip("jinja2")
    text = page.read_text()
    assert "<script>alert" not in text
    assert "bad.mp4" in text


@pytest.mark.browser
def test_the_page_plays_videos_from_a_segment_on(page, open_page):
    opened = open_page(page)
    opened.check()
    button = opened.page.locator(".timeline button").last
    at = float(button.get_attribute("data-at"))
    opened.play("video")
    button.click()
    seconds = opened.page.locator("video").evaluate("(media) => media.currentTime")
    assert seconds == pytest.approx(at, abs=0.3)
    opened.page.wait_for_function(
        "document.querySelector('.now').style.left !== '0px'", timeout=10_000
    )
