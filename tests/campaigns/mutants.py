"""Damaged media files: the checker, training's and evaluation's decoding, within bounds and alike.

    python tests/campaigns/mutants.py               600 mutants
    python tests/campaigns/mutants.py --full        10,000 mutants

Each trial damages 50 files of eight containers in 50 ways, and reads each in a process of its own
memory limit: ``inspect_media`` at all levels, then the training and the evaluation dataset. Counted
as uncaught: a crash, a hang (20 s), a gigabyte of memory, any error but MediaError. Counted as
silent: a file in which the full check finds no damage and that
training cannot read, and the reverse.
"""

from __future__ import annotations

import random
import resource
import struct
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import av
from campaigns.common import Campaign, Trial, run_campaign
from helpers.media_files import Audio, Video, write_media

from slowfast.config import get_cfg
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.audio_dataset import build_audio_dataset
from slowfast.datasets.decoding.file import Beat, MediaError
from slowfast.datasets.inspect import LEVELS
from slowfast.datasets.inspect.checker import inspect_media
from slowfast.datasets.inspect.report import MediaReport
from slowfast.datasets.prepare.workers import TaskResult, run_tasks
from slowfast.datasets.video_dataset import build_video_dataset

PER_TRIAL = 50
LIMIT_SEC, LIMIT_MB = 20.0, 1000
WALL_SEC = 120.0  # of a process that others slow down; what hangs without computing
EPOCHS, VIEWS = 6, 4
ANNOUNCED = frozenset({"damaged", "truncated", "undecodable", "restarts", "audio_covers_little"})
"""Problems that say that some clips may not be read."""

_V = Video(ticks=range(45), size=(96, 64))
_MPEG4 = _V._replace(codec="mpeg4", options={"bf": "2", "g": "12"})
_A = Audio(seconds=1.5)
SEEDS: dict[str, tuple[tuple[Video | Audio, ...], dict[str, str]]] = {
    "plain.mp4": ((_V, _A), {}),
    "fragments.mp4": ((_MPEG4, _A._replace(rate=16000)), {"movflags": "frag_keyframe+empty_moov"}),
    "video.mkv": ((_V, _A._replace(codec="libopus", rate=48000, options={})), {}),
    "video.webm": (
        (
            _V._replace(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
            _A._replace(codec="libopus", rate=48000, options={}),
        ),
        {},
    ),
    "video.avi": ((_MPEG4, _A._replace(codec="libmp3lame", options={})), {}),
    "video.ts": ((_V, _A), {}),
    "video.flv": ((_V, _A), {}),
    "audio.ogg": ((_A._replace(codec="libopus", rate=48000, seconds=4.0, options={}),), {}),
    "audio.mp3": ((_A._replace(codec="libmp3lame", seconds=4.0, options={}),), {}),
    "audio.wav": ((_A._replace(codec="pcm_s16le", rate=16000, seconds=4.0, options={}),), {}),
}

_MP4 = b"mvhd tkhd mdhd stts stsz stco stsc ctts stss elst avc1 mp4v mp4a esds avcC trun tfhd tfdt"
_TAGS = {
    ".mp4": (*_MP4.split(), b"mehd", b"trex", b"hdlr", b"pasp", b"moof", b"moov", b"mdat"),
    ".avi": (b"avih", b"strh", b"strf", b"idx1", b"movi", b"LIST", b"00dc", b"01wb"),
    ".ogg": (b"OggS", b"OpusHead"),
    ".wav": (b"RIFF", b"fmt ", b"data"),
    ".ts": (b"\x00\x00\x01\xe0", b"\x00\x00\x01\xc0", b"\x47\x40", b"\x47\x41"),
    ".flv": (b"FLV", b"onMetaData", b"duration", b"width", b"height", b"audiosamplerate"),
    ".mp3": (b"\xff\xfb", b"Xing", b"Info", b"LAME", b"ID3"),
}
_EBML = (
    b"\x44\x89 \x2a\xd7\xb1 \xb0 \xba \xb5 \x9f \x63\xa2 \xe7 \x53\xab \x53\xac \xb3 \xf1"
    b" \x23\xe3\x83 \x54\xb0 \x54\xba \x56\xaa \x56\xbb \x1f\x43\xb6\x75 \x16\x54\xae\x6b \xa3"
)
_TAGS[".mkv"] = _TAGS[".webm"] = tuple(_EBML.split())
_NUMBERS = (0, 1, 2, 255, 999, 4096, 0x7FFF, 0x8000, 0xFFFF, 10**6, 2**24 - 1, 2**28)
_EXTREMES = (*_NUMBERS, 2**31 - 1, 2**31, 2**32 - 1, 192000, 2**40, 2**62, 2**63, 2**64 - 1)
_FLOATS = (0.0, -1.0, 1e-9, 0.5, 96000.5, 1e6, 4e9, 1e30, float("inf"), float("nan"))


def mutate(data: bytes, suffix: str, other: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Damage the content of a file; returns it and how."""
    out = bytearray(data)
    kind = rng.choices(
        ("field", "header", "payload", "cut", "splice", "fill", "move"), (60, 26, 16, 12, 8, 14, 10)
    )[0]
    place, size = rng.randrange(len(out)), rng.choice((1, 4, 16, 188, 1000, 8000))
    if kind == "field":
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _change_field(out, suffix, rng)
    elif kind in ("header", "payload"):
        low, high = (0, min(2048, len(out))) if kind == "header" else (len(out) // 20, len(out))
        for _ in range(rng.choice((1, 1, 4, 16, 64, 256))):
            out[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del out[rng.choice((place, min(place, 4096), len(out) - min(place, 2000))) :]
    elif kind == "splice":
        out[min(place, 8192) :] = other[rng.randrange(len(other)) :]
    elif kind == "fill":
        size = min(size, len(out) - place)
        out[place : place + size] = rng.choice((b"\x00", b"\xff")) * size
    elif rng.random() < 0.3:
        del out[place : place + size]
    else:
        out[place:place] = rng.choice((rng.randbytes(size), bytes(out[place : place + size])))
    return bytes(out), kind


def _change_field(out: bytearray, suffix: str, rng: random.Random) -> None:
    """Write an extreme number behind one of the names that the container gives its fields."""
    tag = rng.choice(_TAGS[suffix])
    places = [at for at in range(len(out)) if out.startswith(tag, at)]
    if not places:
        return
    at = rng.choice(places) + len(tag) + rng.choice((0, 0, 1, 2, 4, 2 * rng.randrange(40)))
    if rng.random() < 0.15:
        value = struct.pack(rng.choice((">d", ">f")), min(rng.choice(_FLOATS), 3e38))
    else:
        width = rng.choice((1, 2, 4, 4, 8))
        number = rng.choice(_EXTREMES) % 256**width
        order = "little" if suffix in (".avi", ".wav", ".ogg") else "big"
        value = number.to_bytes(width, order)  # type: ignore[arg-type]
    if at + len(value) <= len(out):
        out[at : at + len(value)] = value


class Reading(NamedTuple):
    """What became of a mutant: the report, and of each clip its error or ""."""

    report: MediaReport
    clips: list[str]
    peak_mb: int
    cpu_sec: float


def read(path: str, beat: Beat) -> Reading:
    """Check a file and load its clips as training and evaluation do."""
    resource.setrlimit(resource.RLIMIT_AS, (5 << 30, 5 << 30))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts again
    start = time.process_time()
    report = [inspect_media(path, level=level) for level in LEVELS][-1]
    clips = []
    for dataset, key in _clips(path, report):
        try:
            dataset[key]
            clips.append("")
        except MediaError as error:
            clips.append(error.reason)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return Reading(report, clips, int(peak.split()[1]) // 1024, time.process_time() - start)


def _clips(path: str, report: MediaReport) -> list[tuple[Any, tuple[int, int]]]:
    train, test = _datasets(path, audio_only=Path(path).name.startswith("audio"))
    return [(train, (epoch, 0)) for epoch in range(EPOCHS)] + [(test, (0, 0))]


def _datasets(path: str, *, audio_only: bool) -> tuple[Any, Any]:
    cfg = get_cfg()
    cfg.AUDIO.ENABLE, cfg.AUDIO.CLIP_SEC = True, 0.5
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TRAIN_CROP_SIZE = 8, 1, 32
    cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TEST_CROP_SIZE = [32, 40], 32
    cfg.TEST.NUM_ENSEMBLE_VIEWS = cfg.TEST.VIEWS_PER_CHUNK = VIEWS
    manifest = Manifest.from_rows([VideoRecord(path)], [])
    build = build_audio_dataset if audio_only else build_video_dataset
    return build(cfg, manifest, "train"), build(cfg, manifest, "test")


def evaluate(result: TaskResult) -> tuple[str, str]:
    """Return "uncaught", "silent" or "", and why."""
    if result.code:
        return "uncaught", f"{result.code}: {result.reason}"
    report, clips, peak_mb, cpu_sec = result.value
    if peak_mb > LIMIT_MB:
        return "uncaught", f"{peak_mb} MB"
    if cpu_sec > LIMIT_SEC:
        return "uncaught", f"{cpu_sec:.0f} s"
    failed = [clip for clip in clips if clip]
    raised = [p.reason for p in report.problems if p.code == "unreadable" and "Error" in p.reason]
    if raised:
        return "uncaught", raised[0]
    if report.is_usable and report.video is None and "audio" not in Path(report.path).name:
        return "", ""  # a video without video: quarantined with a reason of its own
    if not report.is_usable and not failed:
        return "silent", f"check: {report.problems[0].reason}; training reads all {len(clips)}"
    if failed and report.is_usable and not report.codes & ANNOUNCED:
        return "silent", f"check finds no damage; training lost {len(failed)} clips: {failed[0]}"
    return "", ""


def prepare(folder: Path, seed: int) -> tuple[Path, int]:
    """Write the files that are damaged."""
    seeds = folder / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    for name, (tracks, options) in SEEDS.items():
        if not (seeds / name).exists():
            write_media(seeds / name, *tracks, options=options)
    return folder, seed


def trial(prepared: tuple[Path, int], number: int, count: int = PER_TRIAL) -> Trial:
    """Damage and read ``count`` files; those that fail are kept in the folder ``failed``."""
    folder, seed = prepared
    made, failed = folder / "made", folder / "failed"
    for place in (made, failed):
        place.mkdir(exist_ok=True)
    contents = {name: (folder / "seeds" / name).read_bytes() for name in sorted(SEEDS)}
    kinds: dict[str, str] = {}
    for index in range(count):
        rng = random.Random(f"{seed}/{number}/{index}")
        name = sorted(SEEDS)[index % len(SEEDS)]
        other = contents[rng.choice(sorted(SEEDS))]
        data, kind = mutate(contents[name], Path(name).suffix, other, rng)
        path = made / f"{Path(name).stem}_{number:04d}_{index:02d}{Path(name).suffix}"
        path.write_bytes(data)
        kinds[str(path)] = kind
    result, whys = Trial(inputs=count), []
    tasks = run_tasks(read, kinds, num_processes=2, timeout_sec=WALL_SEC)
    peak = 0
    for done in tasks:
        verdict, why = evaluate(done)
        peak = max(peak, done.value.peak_mb if done.value else 0)
        path = Path(done.task)
        if verdict:
            setattr(result, verdict, getattr(result, verdict) + 1)
            whys.append(f"{path.name} ({kinds[done.task]}): {why}")
            path.replace(failed / path.name)
        else:
            path.unlink()
    result.why, result.facts = "; ".join(whys), {"peak_mb": peak}
    return result


def _conclude(facts: list[dict[str, Any]]) -> str:
    return f"at most {max((fact['peak_mb'] for fact in facts), default=0)} MB per file"


CAMPAIGN = Campaign(
    "mutants",
    "Media files of eight containers, damaged at random and in their fields; the check of every "
    "level, training's and evaluation's decoding: no crash, no hang over 20 s of CPU "
    "time, under 1 GB, and the same verdict",
    sample=12,
    full=200,
    prepare=prepare,
    trial=trial,
    load="2 processes",
    conclude=_conclude,
)

if __name__ == "__main__":
    av.logging.set_level(None)
    sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))
