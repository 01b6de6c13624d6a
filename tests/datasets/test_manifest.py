"""Manifests: compact arrays, memory-mapped, with windows and slices where there are any."""

import math
import pickle

import numpy as np
import pytest
from helpers.data_files import listed

from slowfast.datasets.annotations.manifest import Manifest, VideoRecord, share_manifest
from slowfast.datasets.fault_tolerant import FaultTolerantDataset

PLAIN = [VideoRecord("a.mp4", 1), VideoRecord("ü b.mp4", 0), VideoRecord("c.mp4")]
PARTS = [
    VideoRecord("a.mp4", 1, 2.0, 5.5),
    VideoRecord("b.mp4", 0),
    VideoRecord("s.tar", 2, 1.0, math.inf, 512, 1000),
    VideoRecord("s.tar", 2, 0.0, math.inf, 2048),
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "manifests"


def rows(manifest):
    return [manifest.row(i) for i in range(len(manifest))]


@pytest.mark.parametrize("given", [PLAIN, PARTS, PARTS[:1], PARTS[3:], []])
def test_rows_come_back_as_they_were(given, tmp_path):
    manifest = Manifest.from_rows(given, ["x", "y", "z"])
    assert rows(manifest) == given
    manifest.save(tmp_path / "m")
    opened = Manifest.open(tmp_path / "m")
    assert rows(opened) == given
    assert opened.class_names == ["x", "y", "z"]
    assert opened.digest() == manifest.digest()
    assert rows(pickle.loads(pickle.dumps(manifest))) == given


def test_arrays_that_say_nothing_are_not_kept(tmp_path):
    Manifest.from_rows(PLAIN, []).save(tmp_path / "plain")
    Manifest.from_rows(PARTS, []).save(tmp_path / "parts")
    plain, parts = ({f.stem for f in (tmp_path / n).iterdir()} for n in ("plain", "parts"))
    assert plain == {"text", "ends", "labels", "classes"}
    assert parts - plain == {"windows", "slices"}


def test_the_digest_covers_every_field():
    base = VideoRecord("a.mp4", 1, 2.0, 5.0, 64, 100)
    changes = [
        {"path": "b.mp4"},
        {"label": 2},
        {"start_sec": 1.0},
        {"end_sec": math.inf},
        {"offset": 0},
        {"size": -1},
        {"start_sec": 0.0, "end_sec": math.inf},
        {"offset": 0, "size": -1},
    ]
    given = [base, *(base._replace(**change) for change in changes)]
    assert len({Manifest.from_rows([row], []).digest() for row in given}) == len(given)


def below(folder, given=PARTS):
    """The same rows, their files in a folder."""
    return Manifest.from_rows([row._replace(path=f"{folder}/{row.path}") for row in given], [])


@pytest.mark.parametrize("given", [PLAIN, PARTS, PARTS[:1], PARTS[2:]])
def test_the_digest_does_not_say_where_the_files_are(given):
    plain = Manifest.from_rows(given, []).digest()
    for folder in ("/data/set", "/mnt/dïsk 2/sets/mine", "set", "../a"):
        assert below(folder, given).digest() == plain
    nested = [row._replace(path=f"x/{row.path}") for row in PLAIN[:1]] + PLAIN[1:]
    assert below("/a", nested).digest() == below("/b/c", nested).digest()
    assert below("/a", nested).digest() != below("/a", PLAIN).digest()


def test_only_whole_folders_are_in_common():
    first = Manifest.from_rows([VideoRecord("/a/clip_1.mp4"), VideoRecord("/a/clip_2.mp4")], [])
    second = Manifest.from_rows([VideoRecord("/a/film_1.mp4"), VideoRecord("/a/film_2.mp4")], [])
    assert first.digest() != second.digest()


def test_the_digest_covers_the_order_and_what_is_known_of_the_content():
    assert below("/a", PLAIN[::-1]).digest() != below("/a", PLAIN).digest()
    manifest, other = below("/a"), below("/a")
    other.version = "2"
    assert other.digest() != manifest.digest()
    assert other.take(range(len(PARTS))).digest() == other.digest()


def test_rows_are_named_by_their_slice():
    assert [row.name for row in PARTS] == ["a.mp4", "b.mp4", "s.tar:512+1000", "s.tar:2048+"]
    assert [row.has_window for row in PARTS] == [True, False, True, False]


def test_labels():
    assert not Manifest.from_rows(PLAIN, []).has_labels
    assert Manifest.from_rows(PLAIN[:2], []).has_labels
    assert not Manifest.from_rows([], []).has_labels


def test_some_of_the_rows():
    manifest = Manifest.from_rows(PARTS, ["x", "y", "z"])
    part = manifest.take(np.array([3, 0]))
    assert rows(part) == [PARTS[3], PARTS[0]]
    assert part.class_names == ["x", "y", "z"]
    assert part.digest() != manifest.digest()


def test_shared_by_memory_map_once(cache):
    given = [VideoRecord(f"/videos/{i:06d}.mp4", i % 7) for i in range(5000)]
    shared = share_manifest(Manifest.from_rows(given, []))
    assert shared.path(4999) == "/videos/004999.mp4"
    assert type(shared.labels).__name__ == "memmap"
    again = share_manifest(Manifest.from_rows(given, []))
    assert again.digest() == shared.digest()
    assert len(list(cache.iterdir())) == 1


def test_sets_alike_in_two_places_are_shared_apart():
    here, there = (share_manifest(below(folder)) for folder in ("/a", "/b"))
    assert here.digest() == there.digest()
    assert (here.path(0), there.path(0)) == ("/a/a.mp4", "/b/a.mp4")


def test_who_shares_first_does_not_name_the_classes_of_others():
    assert share_manifest(Manifest.from_rows(PLAIN, [])).class_names == []
    assert share_manifest(Manifest.from_rows(PLAIN, ["x", "y"])).class_names == ["x", "y"]


def test_an_unwritable_cache_is_no_obstacle(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "file"))
    assert listed(share_manifest(Manifest.from_rows(PLAIN, []))) == [
        (row.path, row.label) for row in PLAIN
    ]
    assert "kept in memory" in caplog.text


def test_the_digest_of_a_dataset_of_plain_files_stays_as_it_was():
    class WithManifest:
        manifest = Manifest.from_rows(PLAIN, [])

        def __len__(self):
            return 3

    guarded = FaultTolerantDataset(WithManifest(), policy="drop", seed=0)
    assert guarded.manifest.digest() == "8d615a79e4d0f3a7"
    assert FaultTolerantDataset([1, 2], policy="drop", seed=0).manifest is None
