"""Tar shards against loose files: listing, and reading clips with a warm and a cold page cache.

The same mp4 files are read from a folder per class and in place from WebDataset tars (nothing is
unpacked). First the frames and the audio of every clip are checked to be equal; then both are read
in turn, in the same random order, A B A B. Wall-clock time counts here, as storage is waited for;
CPU time is next to it. Cold: the files are dropped from the page cache before each round, as far as
the system allows without being root. On a network file system put --folder there.

    python benchmarks/bench_shards.py [--clips 600] [--repeats 7] [--folder DIR] [--tiny]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np

from slowfast.datasets.annotations.layouts import load_manifest
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.decoding.clip_reader import open_row
from slowfast.datasets.demo.generator import DemoSpec, class_names, generate_demo
from slowfast.datasets.views.functional import use_one_thread
from slowfast.utils.cores import usable_cores

SHARD_BYTES = 64 * 2**20
TINY_CLIPS, TINY_REPEATS = 20, 2
SHORT_SIDE, RATE_HZ, FRAMES, FPS = 36, 16000, 16, 15.0


def main() -> None:
    """Measure, print, write."""
    args = parse_arguments()
    use_one_thread()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        os.environ["SLOWFAST_CACHE"] = str(folder / "cache")
        sets = make_sets(folder, args.clips)
        listing = {name: time_listing(root) for name, root in sets.items()}
        manifests = {name: load_manifest(root, "train") for name, root in sets.items()}
        orders = same_order(manifests, sets["tars"])
        check_equal(manifests, orders)
        rows = []
        for cache in ("warm", "cold"):
            times = read_in_turn(manifests, orders, sets, cache == "cold", args.repeats)
            for number, unit in enumerate(("CPU ms", "wall ms")):
                ours, loose = (
                    statistics.median(pair[number] for pair in times[name]) / args.clips
                    for name in ("tars", "loose")
                )
                rows.append(
                    harness.row(
                        f"a clip from a tar shard, {cache} page cache, {unit.split()[0]} time",
                        ours,
                        unit=unit,
                        peer=loose,
                        peer_name="loose files",
                        target=">= 0.95",
                        why="the same bytes, read in place, from a local disk; a file system on "
                        "which opening a file is slow was not measured (--folder)",
                    )
                )
        setting = {
            "clips": args.clips,
            "repeats": args.repeats,
            "bytes": sum(file.stat().st_size for file in files_of(sets["loose"])),
            "files": {name: len(files_of(root)) for name, root in sets.items()},
        }
    harness.write_result(args.out, setting, rows, listing_sec=listing)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=600, help="a multiple of 10")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each")
    parser.add_argument("--folder", type=Path, help="where the files are made (default: /tmp)")
    harness.add_arguments(parser)
    args = parser.parse_args()
    if args.tiny:
        args.clips, args.repeats = TINY_CLIPS, TINY_REPEATS
    elif args.out is None:
        args.out = harness.RESULTS / "shards.json"
    return args


def make_sets(folder: Path, clips: int) -> dict[str, Path]:
    """Make the clips once, as loose files and in tars."""
    spec = DemoSpec(num_train_per_class=clips // 10, num_test_per_class=1)
    loose = generate_demo(
        folder / "loose", spec, num_workers=usable_cores() if clips > TINY_CLIPS else 0
    )
    files = sorted((loose / "train").rglob("*.mp4"))
    np.random.default_rng(0).shuffle(files)  # shards hold clips of all classes, as they should
    tars = folder / "tars"
    tars.mkdir()
    shard, size = 0, 0
    out = tarfile.open(tars / "train-000.tar", "w")  # noqa: SIM115
    for file in files:
        if size > SHARD_BYTES:
            out.close()
            shard, size = shard + 1, 0
            out = tarfile.open(tars / f"train-{shard:03d}.tar", "w")  # noqa: SIM115
        key = f"{file.parent.name}_{file.stem}"
        out.add(file, f"{key}.mp4")
        text = folder / "cls"
        text.write_text(file.parent.name, encoding="utf-8")
        out.add(text, f"{key}.cls")
        size += file.stat().st_size
    out.close()
    (tars / "classes.txt").write_text("\n".join(class_names(spec)) + "\n", encoding="utf-8")
    return {"loose": loose, "tars": tars}


def files_of(root: Path) -> list[Path]:
    """List the files of a set."""
    return [file for file in sorted(root.rglob("*")) if file.is_file() and "test" not in file.parts]


def time_listing(root: Path) -> dict[str, float]:
    """Time the list of the files without and with its cached index, in seconds."""
    times = {}
    for name in ("first", "again"):
        start = time.perf_counter()
        load_manifest(root, "train")
        times[name] = round(time.perf_counter() - start, 4)
    return times


def same_order(manifests: dict[str, Manifest], tars: Path) -> dict[str, list[int]]:
    """Return the rows of each set in one random order of clips."""
    places = {}
    for file in tars.glob("*.tar"):
        with tarfile.open(file) as shard:
            places |= {(str(file), m.offset_data): Path(m.name).stem for m in shard.getmembers()}
    keys: dict[str, dict[str, int]] = {name: {} for name in manifests}
    for row in range(len(manifests["loose"])):
        path = Path(manifests["loose"].row(row).path)
        keys["loose"][f"{path.parent.name}_{path.stem}"] = row
    for row in range(len(manifests["tars"])):
        record = manifests["tars"].row(row)
        keys["tars"][places[record.path, record.offset]] = row
    order = sorted(keys["loose"])
    np.random.default_rng(1).shuffle(order)
    return {name: [of[key] for key in order] for name, of in keys.items()}


def check_equal(manifests: dict[str, Manifest], orders: dict[str, list[int]]) -> None:
    """Check that both sets give the same labels, frames and audio."""
    for one, other in zip(orders["loose"], orders["tars"], strict=True):
        rows = manifests["loose"].row(one), manifests["tars"].row(other)
        (frames, audio), (frames2, audio2) = (read(row) for row in rows)
        same = np.array_equal(frames, frames2) and np.array_equal(audio, audio2)
        if not same or rows[0].labels != rows[1].labels:
            raise SystemExit(f"{rows[1].name} differs from {rows[0].name}")


def read(row: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read the frames and the audio of a clip in the middle of a file."""
    with open_row(row) as reader:
        first, last = reader.video_extent_sec
        start = first + 0.25 * (last - first)
        frames = reader.read_video(start + np.arange(FRAMES) / FPS, short_side=SHORT_SIDE)
        audio, _ = reader.read_audio(start, round(FRAMES / FPS * RATE_HZ), RATE_HZ)
    return frames, audio


def read_in_turn(
    manifests: dict[str, Manifest],
    orders: dict[str, list[int]],
    sets: dict[str, Path],
    is_cold: bool,
    repeats: int,
) -> dict[str, list[tuple[float, float]]]:
    """Read all clips from both sets in turn; CPU and wall milliseconds of each round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sets}
    for number in range(-1, repeats):  # the first round warms up
        for name in sorted(sets, reverse=number % 2 == 1):
            if is_cold:
                drop_from_cache(files_of(sets[name]))
            rows = [manifests[name].row(row) for row in orders[name]]
            took = harness.measure(lambda rows=rows: [read(row) for row in rows])
            if number >= 0:
                times[name].append(took)
    return times


def drop_from_cache(files: list[Path]) -> None:
    """Ask the system to drop files from its page cache."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    main()
