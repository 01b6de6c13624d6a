"""Time to read a random second of video with its audio: this project, its peers, FFmpeg's limit.

Files are made first (build/bench_decode, about 40 MB). Each reader runs in a process of its own, on
one thread, opens the file for every window, and returns frames of a short side of 256 pixels, uint8
RGB, and one second of audio, 24 kHz mono. A reader is timed on a file only if it returns the right
frames. Readers take turns window by window. Interrupted, the same command continues with the next
file. Writes ``results/decode.json``, ``.md`` and ``.png``.

    make bench-decode                          # installs the peers, too
    python benchmarks/bench_decode.py [--sizes 340x256] [--codecs h264] [--again]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
from decode import limit
from decode.check import Reference
from decode.clips import CODECS, FPS, SIZES, Clip, make_clip
from decode.readers import OURS, PACKAGES, READERS, Reader, use_one_thread
from decode.report import make_rows, plot, write_table
from decode.window import Window

FOLDER = Path("build/bench_decode")
SHORT_SIDE = 256
GOPS = (12, 250)
ROUNDS, CHECKED = 7, 2
TINY = Clip("64x48", "h264", 12, seconds=3)


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Make the files, measure what is not measured yet, write; return what was written."""
    args = parse_arguments(words)
    use_one_thread()
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes its settings to the terminal,
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # OpenCV each frame that it cannot decode
    clips = [TINY] if args.tiny else choose_clips(args.sizes.split(","), args.codecs.split(","))
    rounds = 2 if args.tiny else args.rounds
    setting = {
        "rounds": rounds,
        "window_frames": FPS,
        "short_side": SHORT_SIDE,
        "audio_hz": 24000,
        "threads": 1,
        "unit": "median CPU ms per window",
    }
    files = measure_all(clips, rounds, args)
    readers = {name: _reader_name(name) for name in READERS}
    content = {"files": files, "readers": readers}
    out = args.out or (None if args.tiny else harness.RESULTS / "decode.json")
    content = harness.write_result(out, setting, make_rows(files), **content)
    if out is not None:
        write_table(content, out.with_suffix(".md"))
        with contextlib.suppress(ModuleNotFoundError):  # matplotlib is of the extra [report]
            plot(content, out.with_suffix(".png"))
    return content


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="340x256,480p,1080p", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--codecs", default=",".join(CODECS), help="default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="windows of each file")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the files that are made")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    harness.add_arguments(parser)
    args = parser.parse_args(words)
    for option, known in (("sizes", SIZES), ("codecs", CODECS)):
        unknown = set(getattr(args, option).split(",")) - set(known)
        if unknown:
            parser.error(f"--{option}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    return args


def choose_clips(sizes: Sequence[str], codecs: Sequence[str]) -> list[Clip]:
    """List the files: all codecs and GOPs; at 1080p, where each takes long, GOP 12 of H.264 only.

    ``prepare_data`` makes the same copy of every codec, so one per size is read.
    """
    clips = []
    for size in sizes:
        for codec in codecs:
            gops = GOPS if size != "1080p" or codec == "h264" else GOPS[-1:]
            clips += [Clip(size, codec, gop) for gop in gops]
        clips.append(Clip(size, codecs[0], GOPS[-1], prepared=True))
    return clips


def measure_all(clips: Sequence[Clip], rounds: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure each file, or take its numbers from an interrupted or earlier run."""
    known_file = args.folder / f"measured_{rounds}.json"
    known: dict[str, Any] = {}
    if known_file.exists() and not (args.again or args.tiny):
        known = json.loads(known_file.read_text(encoding="utf-8"))
    readers = [Reader(name) for name in READERS]
    versions = {name: _reader_name(name) for name in READERS}
    files: dict[str, Any] = {}
    try:
        for clip in clips:
            found, path = known.get(clip.name), make_clip(clip, args.folder)
            versions["bytes"] = str(path.stat().st_size)
            if found is None or found["versions"] != versions:
                facts = measure_file(clip, path, readers, rounds)
                known[clip.name] = found = facts | {"versions": dict(versions)}
                if not args.tiny:
                    known_file.write_text(json.dumps(known), encoding="utf-8")
            files[clip.name] = {k: v for k, v in found.items() if k != "versions"}
            print(f"{clip.name}: {describe(found)}", flush=True)
    finally:
        for reader in readers:
            reader.close()
    return files


def describe(facts: dict[str, Any]) -> str:
    """Put the results of a file into one line."""
    texts = []
    for name, own in facts["readers"].items():
        number = own.get("cpu_ms")
        texts.append(f"{READERS[name]} {own['problem'] if number is None else f'{number:.1f}'}")
    return ", ".join([*texts, f"limit {facts['limit_cpu_ms']}"])


def measure_file(clip: Clip, path: Path, readers: Sequence[Reader], rounds: int) -> dict[str, Any]:
    """Check all readers on a file, then time those that pass in turn, window by window."""
    windows = sample_windows(clip, rounds, *_output_size(path))
    reference = Reference(path, windows[:CHECKED])
    results: dict[str, dict[str, Any]] = {}
    for reader in readers:
        results[reader.name] = check(reader, path, windows[:CHECKED], reference)
    able = [reader for reader in readers if not results[reader.name]["problem"]]
    times: dict[str, list[Any]] = {reader.name: [] for reader in able}
    limits = []
    for number, window in enumerate(windows):
        for reader in able if number % 2 == 0 else able[::-1]:
            times[reader.name].append(reader.time(path, window))
        if limit.is_installed():
            limits.append(limit.time_limit(path, window))
    for reader in able:
        own = times[reader.name]
        memory = reader.memory_mib(path, windows[0])
        results[reader.name] |= {
            "cpu_ms": round(statistics.median(t.cpu_ms for t in own), 2),
            "wall_ms": round(statistics.median(t.wall_ms for t in own), 2),
            "memory_mib": None if memory is None else round(memory, 1),
            "all_cpu_ms": [round(t.cpu_ms, 2) for t in own],
        }
    whole, start = (
        (statistics.median(column) for column in zip(*limits, strict=True))
        if (limits)
        else (None, None)
    )
    return {
        "size": clip.size,
        "codec": clip.codec,
        "gop": clip.gop,
        "prepared": clip.prepared,
        "kib": path.stat().st_size // 1024,
        "output": [windows[0].width, windows[0].height],
        "windows_start_sec": [round(window.start_sec, 3) for window in windows],
        "readers": results,
        "limit_cpu_ms": None if whole is None else round(whole - start, 2),
        "limit_start_cpu_ms": None if start is None else round(start, 2),
    }


def check(
    reader: Reader, path: Path, windows: Sequence[Window], reference: Reference
) -> dict[str, Any]:
    """Compare the output of a reader; the worst of the windows counts."""
    if reader.problem:
        return {"problem": reader.problem}
    facts: dict[str, Any] = {}
    for window in windows:
        try:
            found = reference.compare(window, *reader.read(path, window))
        except RuntimeError as error:
            return {"problem": f"cannot read it ({error})"}
        if not facts or found["problem"]:
            facts = found
        if found["problem"]:
            break
    return facts


def sample_windows(clip: Clip, rounds: int, width: int, height: int) -> list[Window]:
    """Sample the windows of a file, the same in every run; none touches the end."""
    rng = np.random.default_rng(0)
    starts = rng.integers(2, clip.num_frames - FPS - 2, rounds)
    return [Window(int(first), FPS, FPS, width, height) for first in starts]


def _output_size(path: Path) -> tuple[int, int]:
    """Scale a file's size to the short side that is wanted; never up."""
    import av

    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        width, height = context.width, context.height
    factor = min(1.0, SHORT_SIDE / min(width, height))
    return int(width * factor + 0.5), int(height * factor + 0.5)


def _reader_name(name: str) -> str:
    """Return the name of a reader with its version."""
    package = {**PACKAGES, "pyav": "av", "opencv": "opencv-python-headless"}.get(name)
    version = harness.package_version(package) if package else None
    return f"{READERS[name]} {version}" if version and name != OURS else READERS[name]


if __name__ == "__main__":
    main()
