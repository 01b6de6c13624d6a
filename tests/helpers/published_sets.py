"""Tiny Kinetics-400, UCF-101 and HMDB-51 with layouts, names and codecs as published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from helpers.media_files import Audio, Video, write_media

_XVID = {"g": "12", "b": "200k", "bf": "2"}  # MPEG-4 with B-frames, which AVI stores without PTS
_MP3 = Audio("libmp3lame", rate=44100, options={}, seconds=1.2)
FOLDS = (1, 2, 3)

KINETICS = {
    "train": {
        "abseiling": {"-0-P2FqK7uc": 10, "_4YTwq0-73Y": 126, "0347ZoDXyP0": 95, "SILENTxxxxx": 4},
        "air drumming": {"---QUuC4vJs": 84, "--nQbRBEz2s": 104, "2cPLjY5AWXU": 0, "DAMAGEDxxxx": 7},
    },
    "val": {"abseiling": {"-3B32lodo2M": 59}, "air drumming": {"_dbcJuKJQNs": 40}},
    "test": {"": {"-0aBcDeFgHi": 2, "zzBcDeFgHiJ": 20}},
}
"""Split -> class -> id and start second. Ids may begin with a dash; "test" has no labels."""


def make_kinetics400(root: Path) -> Path:
    """Write ``SPLIT/CLASS/ID_START_END.mp4`` and ``annotations/SPLIT.csv``.

    One file is silent, one is damaged, and one that the csv lists has disappeared.
    """
    for split, classes in KINETICS.items():
        lines = ["youtube_id,time_start,time_end,split"]
        if split != "test":
            lines = ["label,youtube_id,time_start,time_end,split,is_cc"]
        for name, videos in classes.items():
            label = f'"{name}"' if " " in name else name
            for video, start in videos.items():
                window = f"{video},{start},{start + 10},{split}"
                lines.append(f"{label},{window},0" if name else window)
                path = root / split / name / f"{video}_{start:06d}_{start + 10:06d}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                if video.startswith("DAMAGED"):
                    path.write_bytes(b"\x00" * 2000)
                    continue
                track = Video(ticks=range(36), size=(96, 72), flash=start % 36)
                audio = [] if video.startswith("SILENT") else [Audio(seconds=1.2)]
                write_media(path, track, *audio)
        if split == "train":
            lines.append("abseiling,GONExxxxxxx,3,13,train,0")
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root


def make_ucf101(root: Path) -> Path:
    """Write ``UCF-101`` and ``ucfTrainTestlist``; three classes have videos."""
    names = ["ApplyEyeMakeup", "HandstandPushups", "YoYo"]
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    others = [f"Action{number:03d}" for number in range(98)]
    _write_lines(lists / "classInd.txt", (f"{i} {c}" for i, c in enumerate(names + others, 1)))
    videos: dict[int, list[str]] = {}
    for label, name in enumerate(names, 1):
        # The files of one class spell its name in another way than its folder.
        stem = name.replace("stand", "Stand")
        for group in FOLDS:
            path = root / "UCF-101" / name / f"v_{stem}_g{group:02d}_c01.avi"
            _write_avi(path, fps=25, has_audio=label == 1)
            videos.setdefault(group, []).append(f"{name}/{path.name} {label}")
    for fold in FOLDS:  # a group is tested in one fold
        train = [line for group in FOLDS if group != fold for line in videos[group]]
        _write_lines(lists / f"trainlist{fold:02d}.txt", train)
        _write_lines(lists / f"testlist{fold:02d}.txt", (x.split()[0] for x in videos[fold]))
    return root


def make_hmdb51(root: Path) -> Path:
    """Write ``CLASS/video.avi`` and ``testTrainMulti_7030_splits``; two classes have videos."""
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    stems = {
        "brush_hair": "April_09_brush_hair_u_nm_np1_ba_goo_{}.avi",
        "ride_bike": "#437_How_To_Ride_A_Bike!_ride_bike_f_cm_np1_ba_med_{}.avi",
    }
    for name, stem in stems.items():
        files = [stem.format(number) for number in range(4)]
        for file in files:
            _write_avi(root / name / file, fps=30, has_audio=False)
        for fold in FOLDS:  # 1: train, 2: test, 0: neither
            marks = {fold: 2, 0: 0}
            lines = (f"{file} {marks.get(number, 1)} " for number, file in enumerate(files))
            _write_lines(lists / f"{name}_test_split{fold}.txt", lines)
    for name in (f"action_{number:02d}" for number in range(49)):
        for fold in FOLDS:
            _write_lines(lists / f"{name}_test_split{fold}.txt", ["unused.avi 0 "])
    return root


def _write_avi(path: Path, fps: int, *, has_audio: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    video = Video("mpeg4", options=_XVID, ticks=range(36), fps=fps, size=(80, 60))
    write_media(path, video, *([_MP3] if has_audio else []))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\r\n" for line in lines), newline="")
