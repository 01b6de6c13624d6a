"""A whole training sample, prepared files and the loader, against the released order of work.

A sample is 30 frames, two views of 112 pixels, one second of audio, and their preparation for the
model (StiCA's configuration). The released order is that of ``peers/released_sample.py``. Both read
the same instants of the same files; before anything is timed, their frames are compared. Also: the
parts of a sample, what a prepared copy costs and saves, each preset of it, and workers. CPU time,
one thread, interleaved. Writes ``results/sample.json``; about 3 minutes on a quiet machine.

    python benchmarks/bench_sample.py [--rounds 9] [--sizes 340x256,1080p]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
import stica  # noqa: F401
import torch
from decode.clips import SIZES, Clip, make_clip
from peers.released_sample import Sizes, decode_video, make_sample
from torch.utils.data import DataLoader, default_collate

from slowfast.config import CfgNode, load_config
from slowfast.datasets.build import build_dataset
from slowfast.datasets.decoding.reader import LOOP_FILTER_SKIPS, open_media
from slowfast.datasets.inspect.packets import find_restart
from slowfast.datasets.prepare.encode import encode_media
from slowfast.datasets.prepare.settings import EncodeSettings
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.views.functional import use_one_thread

CONFIG = "configs/StiCA/R2plus1D_pretrain.yaml"
FOLDER = Path("build/bench_decode")
PRESETS = ("ultrafast", "superfast", "veryfast", "fast")
TARGETS = {"340x256": ">= 7.6", "480p": "", "1080p": ">= 10.6", "64x48": ""}
PREPARED_TARGET, BREAK_EVEN_TARGET = ">= 18", "<= 10"
WHY_SAMPLE = (
    "{share:.0%} of ours is opening and decoding, {views:.0%} the views; if all but decoding were "
    "free, the ratio would be {bound:.1f}"
)
WHY_BREAK_EVEN = (
    "a sample of the copy saves {saved:.0f} ms; of the {all:.0f} ms of encoding, decoding and "
    "scaling the original takes {video:.0f}, reading its audio {audio:.0f}, its packets {check:.0f}"
    ", the rest is H.264, AAC and the check of the copy"
)


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, write; return what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", default="340x256,1080p", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the files that are made")
    harness.add_arguments(parser)
    args = parser.parse_args(words)
    unknown = set(args.sizes.split(",")) - set(SIZES)
    if unknown:
        parser.error(f"--sizes: unknown {', '.join(unknown)}; known: {', '.join(SIZES)}")
    use_one_thread()
    torch.set_num_threads(1)
    sizes, rounds, seconds = args.sizes.split(","), args.rounds, 10
    if args.tiny:
        sizes, rounds, seconds = ["64x48"], 1, 3
    rows, details = [], {}
    for size in sizes:
        clip = Clip(size, "h264", 250, seconds=seconds)
        found, facts = measure_size(clip, args.folder, rounds)
        rows += found
        details[size] = facts
    loader = measure_loader(
        make_clip(Clip(sizes[0], "h264", 250, seconds=seconds), args.folder), args.tiny
    )
    rows.append(loader)
    setting = {"config": CONFIG, "rounds": rounds, "threads": 1, "batch": 1}
    out = args.out or (None if args.tiny else harness.RESULTS / "sample.json")
    return harness.write_result(out, setting, rows, details=details)


class Ours:
    """Samples of one file as the trainer gets them.

    Args:
        path: The file.
        folder: A folder for its csv.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.cfg = make_config(path, folder, repeats=1)
        self.dataset = build_dataset(self.cfg.TRAIN.DATASET, self.cfg, "train")
        self.prepare = build_preprocess(self.cfg, train=True)

    def __call__(self, number: int) -> dict[str, Any]:
        """Make sample ``number``, collated alone and prepared for the model."""
        prepared: dict[str, Any] = self.prepare(default_collate([self.dataset[number, 0]]))
        return prepared

    def start_sec(self, number: int) -> float:
        """Return when the clip of a sample starts."""
        return float(self.dataset[number, 0]["clip_start_sec"][0])


def make_config(path: Path, folder: Path, repeats: int) -> CfgNode:
    """Configure StiCA's pretraining on a file, listed several times."""
    lists = folder / f"lists_{path.stem}_{repeats}"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "train.csv").write_text(f"{path.resolve()} 0\n" * repeats, encoding="utf-8")
    words = ["DATA.PATH_TO_DATA_DIR", str(lists), "DATA.DEMO_CFG", "", "NUM_GPUS", "0"]
    return load_config(CONFIG, words).cfg


def measure_size(clip: Clip, folder: Path, rounds: int) -> tuple[list[harness.Row], dict[str, Any]]:
    """Measure the rows of an original and of its prepared copy."""
    original, copy = make_clip(clip, folder), make_clip(clip._replace(prepared=True), folder)
    raw, prepared = Ours(original, folder), Ours(copy, folder)
    starts = [raw.start_sec(number) for number in range(rounds + 1)]
    difference = compare_frames(raw, starts[0])
    transform = _train_transform(raw)
    turn = {name: itertools.cycle(range(rounds + 1)) for name in ("raw", "prepared", "released")}

    def released() -> object:
        number = next(turn["released"])
        return make_sample(original, starts[number], Sizes(), transform, number)

    calls = {
        "raw": lambda: raw(next(turn["raw"])),
        "released": released,
        "prepared": lambda: prepared(next(turn["prepared"])),
    }
    ms = harness.medians(harness.interleave(calls, rounds))
    parts = {
        name: measure_parts(one, rounds) for name, one in (("raw", raw), ("prepared", prepared))
    }
    encode = {preset: measure_preset(original, folder, preset, rounds) for preset in PRESETS}
    encode_ms = encode[EncodeSettings().preset]["encode_cpu_ms"]
    encode_parts = measure_encode_parts(original, min(3, rounds))
    saved = ms["raw"] - ms["prepared"]
    rows = [
        _row(f"sample, {clip.size}", "raw", ms, parts, TARGETS[clip.size]),
        _row(f"sample, prepared {clip.size}", "prepared", ms, parts, PREPARED_TARGET),
        harness.row(
            f"prepared {clip.size}: size",
            copy.stat().st_size / 1024,
            unit="KiB",
            peer=original.stat().st_size / 1024,
            peer_name="original",
        ),
        harness.row(
            f"prepared {clip.size}: samples after which the copy has paid off",
            encode_ms / saved if saved > 0 else None,
            unit="samples",
            target=BREAK_EVEN_TARGET,
            why=WHY_BREAK_EVEN.format(saved=saved, all=encode_ms, **encode_parts)
            if saved > 0
            else "The copy is not faster than this original.",
        ),
    ]
    return rows, {
        "cpu_ms": {name: round(value, 2) for name, value in ms.items()},
        "frames_differ_by_gray_levels": difference,
        "parts_raw": parts["raw"],
        "parts_prepared": parts["prepared"],
        "presets": encode,
        "encode_parts": encode_parts,
        "skip_loop_filter": measure_loop_filter(original, rounds),
    }


def _row(
    what: str, name: str, ms: dict[str, float], parts: dict[str, dict[str, float]], target: str
) -> harness.Row:
    own = parts[name]
    total = sum(own.values())
    share = (own["open"] + own["video"] + own["audio"]) / total
    why = WHY_SAMPLE.format(
        share=share, views=own["views"] / total, bound=ms["released"] / ms[name] / share
    )
    return harness.row(
        what,
        ms[name],
        unit="CPU ms",
        peer=ms["released"],
        peer_name="released order, original",
        target=target,
        why=why,
    )


def compare_frames(raw: Ours, start_sec: float) -> float:
    """Compare the decoded frames of both orders; mean absolute difference in gray levels.

    The peer converts at full size, ours scales first: each frame must be nearest to the same one.
    Ours begin with the frame that is displayed at the start, the released code's with the next one.

    Raises:
        SystemExit: If they show something else.
    """
    settings = raw.dataset.settings
    with settings.open(raw.dataset.manifest.row(0)) as reader:
        ours = settings.read_frames(reader, start_sec)
    theirs = decode_video(raw.path, start_sec, len(ours))
    if theirs.shape != ours.shape:
        import cv2

        size = ours.shape[2], ours.shape[1]
        theirs = np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in theirs])
    ours, theirs = ours[1:].astype(np.int16), theirs[:-1]
    pairs = {-1: (ours[:-1], theirs[1:]), 0: (ours, theirs), 1: (ours[1:], theirs[:-1])}
    found = {shift: float(np.abs(a - b).mean()) for shift, (a, b) in pairs.items()}
    if min(found, key=lambda shift: found[shift]) != 0:
        raise SystemExit(f"{raw.path}: frames are not the same: differences by shift {found}")
    return round(found[0], 3)


def measure_parts(ours: Ours, rounds: int) -> dict[str, float]:
    """Measure the parts of a sample: CPU ms, median."""
    settings, row = ours.dataset.settings, ours.dataset.manifest.row(0)
    times: dict[str, list[float]] = {}

    def part(name: str, call: Callable[[], Any]) -> Any:
        begin = time.process_time()
        result = call()
        times.setdefault(name, []).append(1000 * (time.process_time() - begin))
        return result

    for number in range(rounds):
        start = ours.start_sec(number)
        reader = part("open", lambda: settings.open(row))
        with reader:
            part("video", lambda: settings.read_frames(reader, start))  # noqa: B023
            part("audio", lambda: settings.load_audio_clip(reader, [start]))  # noqa: B023
        sample = part("sample", lambda: ours.dataset[number, 0])  # noqa: B023
        batch = part("collate", lambda: default_collate([sample]))  # noqa: B023
        part("prepare", lambda: ours.prepare(batch))  # noqa: B023
    found = harness.medians(times)
    found["views"] = found.pop("sample") - found["open"] - found["video"] - found["audio"]
    return {name: round(value, 2) for name, value in found.items()}


def measure_loop_filter(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Read windows as with each DATA.SKIP_LOOP_FILTER: CPU ms, and the error in gray levels."""
    starts = np.random.default_rng(0).uniform(0.2, 1.5, rounds + 1)
    turns = {mode: itertools.cycle(starts) for mode in LOOP_FILTER_SKIPS}

    def read(mode: str, start_sec: float) -> np.ndarray:
        with open_media(path, skip_loop_filter=mode) as reader:
            return reader.read_video(start_sec + np.arange(30) / 30)

    calls = {m: lambda m=m: read(m, next(turns[m])) for m in LOOP_FILTER_SKIPS}
    ms = harness.medians(harness.interleave(calls, rounds))
    exact = read(LOOP_FILTER_SKIPS[0], starts[0]).astype(np.int16)
    found = {}
    for mode in LOOP_FILTER_SKIPS:
        error = np.abs(read(mode, starts[0]) - exact)
        found[mode] = {
            "cpu_ms": round(ms[mode], 2),
            "mean_error": round(float(error.mean()), 3),
            "largest_error": int(error.max()),
        }
    return found


def measure_preset(original: Path, folder: Path, preset: str, rounds: int) -> dict[str, float]:
    """Encode a copy with a preset: what it costs, its size, and what a sample of it costs."""
    path = folder / f"{original.stem}_{preset}.mp4"
    settings = EncodeSettings(preset=preset)
    repeats = min(3, rounds)
    encode = [
        harness.measure(lambda: encode_media(original, path, settings, lambda: None))[0]
        for _ in range(repeats)
    ]
    sample, numbers = Ours(path, folder), itertools.count()
    times = harness.interleave({"sample": lambda: sample(next(numbers))}, rounds)
    return {
        "encode_cpu_ms": round(min(encode), 1),
        "kib": path.stat().st_size // 1024,
        "sample_cpu_ms": round(statistics.median(times["sample"]), 2),
    }


def measure_encode_parts(original: Path, repeats: int) -> dict[str, float]:
    """Measure what encoding a copy begins with: CPU ms, the least."""
    side, rate = EncodeSettings().short_side, EncodeSettings().audio_rate_hz

    def video() -> None:
        with open_media(original) as reader:
            for _ in reader.iter_video(short_side=side):
                pass

    def audio() -> None:
        with open_media(original) as reader:
            start, end = reader.audio_extent_sec
            reader.read_audio(start, round((end - start) * rate), rate)

    calls = {"video": video, "audio": audio, "check": lambda: find_restart(original, lambda: None)}
    times = harness.interleave(calls, repeats)
    return {name: round(min(values), 1) for name, values in times.items()}


def _train_transform(ours: Ours) -> Any:
    """Return what samples the parameters of the views."""
    from slowfast.datasets.views.sample_views import build_views

    return next(view.transform for view in build_views(ours.cfg).views if view.transform)


class _Samples(torch.utils.data.Dataset[Any]):
    """The samples of an epoch, for torch's loader."""

    def __init__(self, dataset: Any, count: int) -> None:
        self.dataset, self.count = dataset, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index, 0]


def measure_loader(path: Path, tiny: bool) -> harness.Row:
    """Time batches of two workers and of one, in turn; wall ms per sample, starting left out."""
    batch, counted = (2, 2) if tiny else (8, 8)
    ours = Ours(path, path.parent)
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for workers in (1, 2) if tiny else (1, 2, 2, 1):
        dataset = _Samples(ours.dataset, batch * (counted + 2 * workers))
        loader = DataLoader(
            dataset, batch, num_workers=workers, worker_init_fn=_start_worker, prefetch_factor=2
        )
        batches = iter(loader)
        for _ in range(workers):
            next(batches)
        begin = time.perf_counter()
        for _ in range(counted):
            next(batches)
        speeds[workers].append(1000 * (time.perf_counter() - begin) / (counted * batch))
    return harness.row(
        "loader, two workers against one (2 cores)",
        statistics.median(speeds[2]),
        unit="wall ms per sample",
        peer=statistics.median(speeds[1]),
        peer_name="one worker",
        target=">= 1.8",
        why="Needs two idle cores.",
    )


def _start_worker(_: int) -> None:
    use_one_thread()


if __name__ == "__main__":
    main()
