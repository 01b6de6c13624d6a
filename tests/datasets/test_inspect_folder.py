"""Facts about a folder: layout, classes, distributions, suggested keys, the next commands."""

from pathlib import Path

import pytest
from helpers.data_files import touch, write

from slowfast.config import get_cfg
from slowfast.datasets.decoding.error_codes import problem
from slowfast.datasets.inspect.advice import suggest_keys
from slowfast.datasets.inspect.distributions import Counts, count_values, histograms
from slowfast.datasets.inspect.duplicates import Duplicates
from slowfast.datasets.inspect.folder import inspect_folder
from slowfast.datasets.inspect.label_layout import LayoutFacts
from slowfast.datasets.inspect.report import AudioFacts, MediaReport, VideoFacts
from slowfast.datasets.prepare.summary import describe_training, summarize

pytestmark = pytest.mark.usefixtures("_cache")


def report(path="/x/a.mp4", *codes, video=True, audio=True, sec=10.0, **facts):
    """A report with the given facts: fps, size, rate, rms, quiet, size_bytes, keyframes."""
    width, height = facts.get("size", (320, 240))
    images = VideoFacts(
        codec=facts.get("codec", "h264"), width=width, height=height, fps=facts.get("fps", 30.0),
        rotation=0, pixel_aspect=1.0, start_sec=0.0, end_sec=sec, num_tracks=1,
        keyframe_frames=facts.get("keyframes", 30),
    )  # fmt: skip
    track = AudioFacts(
        codec="aac", sample_rate_hz=facts.get("rate", 44100), channels=2, num_tracks=1,
        start_sec=facts.get("offset", 0.0), end_sec=sec, rms=facts.get("rms", 0.1),
        quiet_share=facts.get("quiet", 0.0),
    )  # fmt: skip
    return MediaReport(
        path=str(path),
        level="sample",
        size_bytes=facts.get("size_bytes", 1_000_000),
        problems=tuple(problem(code) for code in codes),
        container="mov,mp4,m4a",
        video=images if video else None,
        audio=track if audio else None,
    )


def facts_of(folder, names, **facts):
    reports = [report(touch(folder / name), **facts) for name in names]
    return inspect_folder(folder, reports, {})


def keys_of(*reports):
    return {key.key: key.value for key in suggest_keys(reports, LayoutFacts(""))}


# The layout


def test_class_folders_of_splits(tmp_path):
    names = [f"train/{c}/{i}.mp4" for c, n in (("cat", 12), ("dog", 1)) for i in range(n)]
    found = facts_of(tmp_path / "v", [*names, "val/dog/1.mp4", "other/x.mp4"])
    train, val = found.layout.splits
    assert (train.name, train.source, train.num_files, train.num_unlabeled) == (
        "train", "train", 13, 0,
    )  # fmt: skip
    assert train.class_counts == (("cat", 12), ("dog", 1))
    assert val.class_counts == (("cat", 0), ("dog", 1))
    assert found.layout.unread == ("other/x.mp4",)
    assert found.layout.imbalance == 12
    keys = {key.key: key.value for key in found.keys}
    assert keys["MODEL.NUM_CLASSES"] == "2"
    assert keys["DATA.BALANCED_SAMPLING"] == "True"
    text = describe_training(found)
    assert "layout      a folder per split, in it a folder per class" in text
    assert "train       13 files, 2 classes" in text
    assert "no split    1 file: other/x.mp4" in text


@pytest.mark.parametrize("relative", [False, True])
def test_files_next_to_the_only_split(tmp_path, monkeypatch, relative):
    monkeypatch.chdir(tmp_path)
    loose = [f"{number}.mp4" for number in range(5)]
    where = Path("v") if relative else tmp_path / "v"
    found = facts_of(where, ["test/a.mp4", "test/b.mp4", *loose])
    assert [split.name for split in found.layout.splits] == ["test"]
    assert found.layout.unread == tuple(loose)
    text = describe_training(found)
    assert "no split    5 files: 0.mp4, 1.mp4, 2.mp4, and 2 more" in text


def test_files_that_no_csv_lists(tmp_path):
    folder = tmp_path / "v"
    write(folder / "train.csv", "a.mp4 0", "sub/b.mp4 2")
    found = facts_of(folder, ["a.mp4", "sub/b.mp4", "sub/c.mp4"])
    assert found.layout.unread == ("sub/c.mp4",)


def test_a_csv(tmp_path):
    folder = tmp_path / "v"
    write(folder / "train.csv", "a.mp4 0", "b.mp4 2", "c.mp4")
    found = facts_of(folder, ["a.mp4", "b.mp4", "c.mp4"])
    [train] = found.layout.splits
    assert train.source == "train.csv"
    assert train.class_counts == (("0", 1), ("2", 1))
    assert train.num_unlabeled == 1


def test_folders_that_look_like_classes(tmp_path):
    found = facts_of(tmp_path / "v", ["cat/1.mp4", "cat/2.mp4", "dog/deep/1.mp4"])
    assert found.layout.kind == "a plain folder, without splits and labels"
    assert found.layout.suspected == (("cat", 2), ("dog", 1))
    index, train, embed = found.steps
    assert index.command == f"slowfast prepare index {tmp_path / 'v'} --out v_lists"
    assert "2 folders look like classes" in index.reason
    assert " DATA.PATH_TO_DATA_DIR v_lists " in train.command
    assert embed.command == f"slowfast embed {tmp_path / 'v'} --weights W -o v_vectors"
    assert "classes?    cat (2), dog (1)" in describe_training(found)


@pytest.mark.parametrize("names", [["cat/1.mp4", "2.mp4"], ["all/1.mp4", "all/2.mp4"]])
def test_folders_that_do_not(tmp_path, names):
    found = facts_of(tmp_path / "v", names)
    assert found.layout.suspected == ()
    assert [step.command.split()[1] for step in found.steps] == ["train", "embed"]


def test_a_folder_that_cannot_be_read_for_training(tmp_path):
    found = facts_of(tmp_path / "v", ["train/a/1.mp4", "training/a/1.mp4"])
    assert "several train splits: train, training" in found.layout.problem
    assert found.steps == []
    assert "layout      cannot be read: " in describe_training(found)


def test_official_lists_of_kinetics(tmp_path):
    write(tmp_path / "v" / "train.csv", "label,youtube_id,time_start,time_end,split")
    assert facts_of(tmp_path / "v", ["x.mp4"]).layout.kind.startswith("official csv files")


def test_a_single_file_has_no_layout(tmp_path):
    file = touch(tmp_path / "a.mp4")
    found = inspect_folder(file, [report(file, "short")], {})
    assert found.layout.kind == found.layout.problem == ""
    assert found.steps == found.keys == []
    assert describe_training(found) == ""
    assert "short" in found.reports[0].codes
    assert "shorter than a second: a.mp4" in summarize(file, found.reports, [], {})


# Keys


def test_usual_files_need_only_audio_on():
    assert keys_of(*[report(size=(340, 256))] * 4) == {"AUDIO.ENABLE": "True"}


def test_audio():
    good, mute, silent = report(), report(audio=False), report("/x/s.mp4", "silent")
    assert keys_of(good, good, mute)["AUDIO.ENABLE"] == "True"
    assert keys_of(good, mute, silent)["AUDIO.ENABLE"] == "False"
    low = report(rate=16000)
    assert keys_of(low, low, good)["AUDIO.SAMPLE_RATE"] == "16000"
    assert "AUDIO.SAMPLE_RATE" not in keys_of(low, good, good)
    assert "AUDIO.SAMPLE_RATE" not in keys_of(low, mute, mute)
    only = keys_of(report(video=False))
    assert (only["TRAIN.DATASET"], only["AUDIO.ENABLE"]) == ("audio_folder", "True")


def test_frame_rate_and_length_of_clips():
    assert keys_of(*[report(fps=25.0)] * 5)["DATA.TARGET_FPS"] == "25"
    assert "DATA.TARGET_FPS" not in keys_of(*[report(fps=29.97)] * 5)
    assert "DATA.TARGET_FPS" not in keys_of(*[report(fps=25.0)] * 2, *[report(fps=60.0)] * 2)
    short = keys_of(*[report(sec=1.1)] * 5)
    frames = get_cfg().DATA.NUM_FRAMES
    assert short["DATA.SAMPLING_RATE"] == "4"
    assert frames * 4 / 30 <= 1.1 < frames * 5 / 30
    both = keys_of(*[report(fps=25.0, sec=0.8)] * 5)  # counted at 25 frames per second
    assert frames * int(both["DATA.SAMPLING_RATE"]) / int(both["DATA.TARGET_FPS"]) <= 0.8
    assert "DATA.SAMPLING_RATE" not in keys_of(report(sec=1.1), *[report()] * 15)


def test_small_frames():
    keys = keys_of(*[report(size=(160, 120))] * 3)
    assert keys["DATA.TRAIN_CROP_SIZE"] == keys["DATA.TEST_CROP_SIZE"] == "112"
    assert keys["DATA.TRAIN_JITTER_SCALES"] == "[112,128]"


def test_suggested_keys_exist_and_can_be_merged():
    reports = [report(fps=25.0, sec=0.8, size=(160, 120), rate=8000)] * 3
    cfg = get_cfg()
    for keys in (keys_of(*reports), keys_of(report(video=False))):
        cfg.merge_from_list([word for pair in keys.items() for word in pair])


def test_nothing_usable():
    found = inspect_folder(Path("/x"), [report("/x/a.mp4", "empty")], {})
    assert (found.keys, found.steps, found.histograms, found.counts) == ([], [], [], [])


# Steps


def test_large_frames_are_encoded_first(tmp_path):
    found = facts_of(tmp_path / "my videos", ["a.mp4"], size=(1920, 1080))
    encode, train, embed = found.steps
    folder = tmp_path / "my videos"
    assert encode.command == f"slowfast prepare encode '{folder}' --out 'my videos_small'"
    assert "1080 pixels" in encode.reason
    assert " DATA.PATH_TO_DATA_DIR 'my videos_small' " in train.command
    assert embed.command.startswith("slowfast embed 'my videos_small' ")


def test_sparse_keyframes_are_encoded_first(tmp_path):
    reports = [report(touch(tmp_path / "v" / "a.mp4"), "sparse_keyframes")]
    first = inspect_folder(tmp_path / "v", reports, {}).steps[0]
    assert first.command.startswith("slowfast prepare encode ")


def test_duplicates_are_dropped_from_lists(tmp_path, monkeypatch):
    pair = [Duplicates("bytes", ("a", "b"))]
    monkeypatch.setattr("slowfast.datasets.inspect.folder.find_duplicates", lambda _: pair)
    found = facts_of(tmp_path / "v", ["cat/1.mp4", "dog/1.mp4"])
    assert found.steps[0].command.endswith(" --drop-duplicates")


# Distributions


def test_histograms():
    reports = [report(sec=s, rms=r) for s, r in ((1, 1.0), (2, 0.1), (2, 0.01), (5, 0.0))]
    found = {h.title: h for h in histograms([*reports, report("/x/bad.mp4", "empty", sec=99)])}
    length = found["Duration"]
    assert (length.edges[0], length.edges[-1], length.median) == (1, 5, 2)
    assert sum(length.counts) == 4
    assert len(length.edges) == len(length.counts) + 1
    level = found["Audio level"]
    assert level.edges[0] == pytest.approx(-40)
    assert sum(level.counts) == 3  # silence has no level
    assert found["Frame rate"].counts == (4,)  # all equal


def test_a_long_tail_gets_bins_of_equal_ratios():
    found = histograms([report(sec=s) for s in (1, 1, 2, 3600)])[0]
    ratios = {round(b / a, 6) for a, b in zip(found.edges, found.edges[1:], strict=False)}
    assert len(ratios) == 1
    assert sum(found.counts) == 4


def test_counts_of_values():
    reports = [report(size=(100 + n, 100)) for n in range(14)] + [report(size=(100, 100))]
    found = {counts.title: counts for counts in count_values(reports)}
    assert found["Video codec"] == Counts("Video codec", (("h264", 15),))
    assert found["Container"].values == (("mov", 15),)
    size = found["Frame size"].values
    assert size[0] == ("100 x 100", 2)
    assert size[-1] == ("other", 2)
    assert sum(count for _, count in size) == 15
