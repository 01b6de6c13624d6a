"""Indexing: which file goes to which split with which label, and what the loader reads of it."""

import dataclasses

import pytest

from slowfast.config import UserError
from slowfast.datasets.annotations.csv_rows import CsvFormat
from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.decoding.error_codes import problem
from slowfast.datasets.inspect.duplicates import Duplicates
from slowfast.datasets.inspect.report import AudioFacts, MediaReport, VideoFacts
from slowfast.datasets.prepare.index import make_index, write_index
from slowfast.datasets.prepare.settings import IndexSettings

ALL_TRAIN = IndexSettings(val_fraction=0, test_fraction=0)


def video(seconds=10.0):
    return VideoFacts(
        codec="h264", width=64, height=48, fps=30.0, rotation=0, pixel_aspect=1.0, start_sec=0.0,
        end_sec=seconds, num_tracks=1,
    )  # fmt: skip


def report(path, *codes, seconds=10.0, has_audio=True):
    audio = AudioFacts(
        codec="aac", sample_rate_hz=24000, channels=1, start_sec=0.0, end_sec=seconds, num_tracks=1
    )
    return MediaReport(
        path=str(path),
        level="sample",
        video=video(seconds),
        audio=audio if has_audio else None,
        problems=tuple(problem(code) for code in codes),
    )


def reports_of(folder, *names):
    return [report(folder / name) for name in names]


def classes(folder, count=10, names=("b", "a", "c")):
    return reports_of(folder, *(f"{name}/{n}.mp4" for name in names for n in range(count)))


def paths(index, split):
    return [path for path, _ in index.rows.get(split, [])]


# Labels


def test_class_folders_are_labels_in_the_order_of_their_names(tmp_path):
    index = make_index(tmp_path, classes(tmp_path, 2), [], ALL_TRAIN)
    assert index.class_names == ["a", "b", "c"]
    assert index.rows == {
        "train": [
            (str(tmp_path / f"{name}/{number}.mp4"), label)
            for name, label in (("b", 1), ("a", 0), ("c", 2))
            for number in range(2)
        ]
    }


def test_files_next_to_folders_have_no_labels(tmp_path):
    index = make_index(tmp_path, reports_of(tmp_path, "a/1.mp4", "2.mp4"), [], ALL_TRAIN)
    assert index.class_names == []
    assert {label for _, label in index.rows["train"]} == {-1}
    assert any("No labels" in remark for remark in index.remarks)
    unwanted = ALL_TRAIN._replace(no_labels=True)
    assert make_index(tmp_path, classes(tmp_path), [], unwanted).class_names == []


def test_a_class_whose_files_are_all_bad_keeps_its_label(tmp_path):
    bad = report(tmp_path / "a/0.mp4", "not_media")
    index = make_index(tmp_path, [bad, report(tmp_path / "b/0.mp4")], [], ALL_TRAIN)
    assert index.class_names == ["a", "b"]
    assert index.rows["train"] == [(str(tmp_path / "b/0.mp4"), 1)]
    assert any("Nothing to train on for classes (1): a" in remark for remark in index.remarks)


# Splits


def test_folders_of_splits_are_kept(tmp_path):
    names = ["train/a/1.mp4", "valid/b/2.mp4", "test/a/3.mp4", "extra/a/4.mp4"]
    index = make_index(tmp_path, reports_of(tmp_path, *names), [], IndexSettings())
    assert [paths(index, split) for split in ("train", "val", "test")] == [
        [str(tmp_path / name)] for name in names[:3]
    ]
    assert index.class_names == ["a", "b"]
    assert index.left_out == {"next to the folders of the splits": [str(tmp_path / names[3])]}
    assert any("no random split" in remark for remark in index.remarks)


def test_a_split_without_class_folders_has_no_labels(tmp_path):
    """Kinetics: the test split is published without labels."""
    names = ["train/b/1.mp4", "train/a/2.mp4", "val/b/3.mp4", "test/4.mp4"]
    index = make_index(tmp_path, reports_of(tmp_path, *names), [], IndexSettings())
    assert index.class_names == ["a", "b"]
    labels = {split: [label for _, label in rows] for split, rows in index.rows.items()}
    assert labels == {"train": [1, 0], "val": [1], "test": [-1]}
    assert "No labels in test: files there are in no class folder." in index.remarks


def test_splits_further_down_are_refused(tmp_path):
    there = ["k400/train/b/1.mp4", "k400/val/b/2.mp4"]
    with pytest.raises(UserError, match="they would be mixed"):
        make_index(tmp_path, reports_of(tmp_path, *there), [], IndexSettings())


def test_audio_next_to_videos_is_left_out(tmp_path):
    audio = dataclasses.replace(report(tmp_path / "a/1.wav"), video=None)
    index = make_index(tmp_path, [report(tmp_path / "a/1.mp4"), audio], [], ALL_TRAIN)
    assert paths(index, "train") == [str(tmp_path / "a/1.mp4")]
    assert index.left_out == {"audio-only, among videos": [audio.path]}
    long_and_heard = ALL_TRAIN._replace(min_sec=9.0, require_audio=True)
    assert paths(make_index(tmp_path, [audio], [], long_and_heard), "train") == [audio.path]


def test_each_class_is_sampled_by_its_share(tmp_path):
    settings = IndexSettings(val_fraction=0.2, test_fraction=0.1)
    index = make_index(tmp_path, classes(tmp_path, 20), [], settings)
    for label in range(3):
        counts = {split: sum(row[1] == label for row in rows) for split, rows in index.rows.items()}
        assert counts == {"train": 14, "val": 4, "test": 2}
    chosen = [path for rows in index.rows.values() for path, _ in rows]
    assert len(set(chosen)) == len(chosen) == 60


def test_small_classes_give_one_file_to_each_split_from_three_on(tmp_path):
    three = make_index(tmp_path, classes(tmp_path, 3, "a"), [], IndexSettings())
    assert {split: len(rows) for split, rows in three.rows.items()} == {
        "train": 1,
        "val": 1,
        "test": 1,
    }
    two = make_index(tmp_path, classes(tmp_path, 2, "a"), [], IndexSettings())
    assert list(two.rows) == ["train"]


def test_the_seed_decides_and_nothing_else(tmp_path):
    reports = classes(tmp_path, 20)
    index = make_index(tmp_path, reports, [], IndexSettings())
    again = make_index(tmp_path, reports[::-1], [], IndexSettings())
    assert {s: sorted(rows) for s, rows in again.rows.items()} == {
        s: sorted(rows) for s, rows in index.rows.items()
    }
    other = make_index(tmp_path, reports, [], IndexSettings(seed=1))
    assert set(paths(other, "test")) != set(paths(index, "test"))


def test_originals_and_copies_are_split_alike(tmp_path):
    def names(folder, suffix):
        reports = reports_of(folder, *(f"a/{n}{suffix}" for n in range(20)))
        index = make_index(folder, reports, [], IndexSettings())
        return {s: sorted(p.rsplit("/", 1)[1].split(".")[0] for p in paths(index, s)) for s in
                index.rows}  # fmt: skip

    assert names(tmp_path / "originals", ".avi") == names(tmp_path / "copies", ".mp4")


@pytest.mark.parametrize("fractions", [(-0.1, 0), (0.5, 0.5), (0, 1.0)])
def test_impossible_fractions(tmp_path, fractions):
    settings = IndexSettings(*fractions)
    with pytest.raises(UserError, match="--val-fraction, --test-fraction: got"):
        make_index(tmp_path, classes(tmp_path), [], settings)


# What is left out


def test_what_is_left_out_and_why(tmp_path):
    files = [
        report(tmp_path / "good.mp4", "offset", "damaged"),
        report(tmp_path / "bad.mp4", "undecodable"),
        report(tmp_path / "mute.mp4", "no_audio", has_audio=False),
        report(tmp_path / "silent.mp4", "silent"),
        report(tmp_path / "short.mp4", seconds=0.5),
        report(tmp_path / "line\nbreak.mp4"),
    ]
    lenient = make_index(tmp_path, files, [], ALL_TRAIN)
    assert len(lenient.rows["train"]) == 4
    strict = ALL_TRAIN._replace(require_audio=True, min_sec=1.0)
    index = make_index(tmp_path, files, [], strict)
    assert paths(index, "train") == [str(tmp_path / "good.mp4")]
    assert {reason: len(found) for reason, found in index.left_out.items()} == {
        "unusable": 1,
        "without audio, or silent": 2,
        "shorter than 1 s": 1,
        "a line break in its name": 1,
    }


def test_nothing_left(tmp_path):
    with pytest.raises(UserError, match=r"no file is left for training: unusable \(1\)"):
        make_index(tmp_path, [report(tmp_path / "a.mp4", "empty")], [], ALL_TRAIN)


# Duplicates


def test_duplicates_stay_together(tmp_path):
    reports = classes(tmp_path, 20, "a")
    found = [report.path for report in reports]
    groups = [Duplicates("bytes", tuple(sorted(found[k : k + 2]))) for k in range(0, 20, 2)]
    groups.append(Duplicates("content", tuple(sorted([groups[0].paths[0], groups[1].paths[0]]))))
    index = make_index(tmp_path, reports, groups, IndexSettings(0.3, 0.3))
    split_of = {path: split for split, rows in index.rows.items() for path, _ in rows}
    for group in groups:
        assert len({split_of[path] for path in group.paths}) == 1
    assert len({split_of[path] for path in (*groups[0].paths, *groups[1].paths)}) == 1
    assert set(index.rows) == {"train", "val", "test"}
    dropped = make_index(tmp_path, reports, groups, ALL_TRAIN._replace(drop_duplicates=True))
    assert len(dropped.rows["train"]) == 9
    assert len(dropped.left_out["the same as another file"]) == 11


def test_duplicates_over_splits_and_labels_are_told(tmp_path):
    reports = reports_of(tmp_path, "train/a/1.mp4", "test/b/1.mp4", "train/b/2.mp4")
    same = Duplicates("bytes", tuple(sorted(report.path for report in reports[:2])))
    index = make_index(tmp_path, reports, [same], IndexSettings())
    text = " ".join(index.remarks)
    assert "Duplicates are in several splits (1)" in text
    assert "Duplicates have several labels (1)" in text


# Writing


def write(out, index, **options):
    return write_index(out, index, folder=out / "videos", **options)


def test_the_loader_reads_what_is_written(tmp_path):
    names = ["a b/with space 3.mp4", "a b/1.mp4", "c/ü 日本.mp4", 'c/"q", r.mp4', "c/x.mp4"]
    folder = tmp_path / "videos"
    index = make_index(folder, reports_of(folder, *names), [], ALL_TRAIN)
    written = write(tmp_path / "out", index)
    assert [path.name for path in written] == ["train.csv", "classes.txt"]
    manifest = load_manifest(tmp_path / "out", "train")
    rows = [(manifest.path(row), manifest.label(row)) for row in range(len(manifest))]
    assert rows == index.rows["train"]
    assert (tmp_path / "out" / "classes.txt").read_text() == "a b\nc\n"


def test_relative_paths_and_files_without_labels(tmp_path):
    names = ["1 2.mp4", '"3".mp4', "sub/4.mp4"]
    folder = tmp_path / "videos"
    settings = ALL_TRAIN._replace(relative=True)
    write(tmp_path, make_index(folder, reports_of(folder, *names), [], settings))
    assert (tmp_path / "train.csv").read_text() == '1 2.mp4 -1\n"""3"".mp4" -1\nsub/4.mp4 -1\n'
    assert not (tmp_path / "classes.txt").exists()
    manifest = load_manifest(tmp_path, "train", CsvFormat(str(folder)))
    assert [manifest.path(row) for row in range(3)] == [str(folder / name) for name in names]
    assert not manifest.has_labels


def test_a_new_index_replaces_the_old_one_whole(tmp_path):
    reports = classes(tmp_path / "videos")
    write(tmp_path, make_index(tmp_path / "videos", reports, [], IndexSettings()))
    assert (tmp_path / "val.csv").exists()
    write(tmp_path, make_index(tmp_path / "videos", reports, [], ALL_TRAIN))
    assert not (tmp_path / "val.csv").exists()
    assert len((tmp_path / "train.csv").read_text().splitlines()) == 30


def test_foreign_files_are_not_overwritten(tmp_path):
    index = make_index(tmp_path / "videos", classes(tmp_path / "videos"), [], ALL_TRAIN)
    own = tmp_path / "val.csv"
    own.write_text("my.mp4 1\n")
    with pytest.raises(UserError, match=r"val\.csv was not written by this command.*--overwrite"):
        write(tmp_path, index)
    assert own.read_text() == "my.mp4 1\n"
    assert not (tmp_path / "train.csv").exists()
    write(tmp_path, index, overwrite=True)
    assert not own.exists()
    (tmp_path / "train.csv").write_text("edited.mp4 0\n")
    with pytest.raises(UserError, match=r"train\.csv was not written"):
        write(tmp_path, index)
