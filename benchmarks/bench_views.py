"""A multi-view test, 10 views in time times 3 in space, against one view at a time.

Ours is what ``slowfast test`` does: a sample holds several views (TEST.VIEWS_PER_CHUNK, 6 by
default), whose frames are read from one open file and scaled once for the three crops; the model
embeds the views of a sample together. PySlowFast makes 30 samples (``peers/separate_views.py``),
here embedded one by one by the same model, of a sixteenth of the work. Before anything is timed,
views and embeddings are compared. CPU time, one thread, interleaved. Writes ``results/views.json``.

    python benchmarks/bench_views.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import torch
from decode.clips import FPS, Clip, make_clip
from harness import Row
from peers.separate_views import make_view
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import default_collate

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.datasets.build import build_dataset
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.views.functional import use_one_thread
from slowfast.models.build import construct_model

OUT = harness.RESULTS / "views.json"
CONFIG = "Kinetics/R2PLUS1D_18_30f.yaml"
FOLDER = Path("build/bench_decode")
CROPS, VIEWS = 3, 30
SAMPLING = ("DATA.SAMPLING", "pyslowfast")
SMALL = (*SAMPLING, "RESNET.WIDTH_PER_GROUP", "16")
TINY = (
    *SAMPLING,
    "RESNET.WIDTH_PER_GROUP",
    "4",
    "DATA.TEST_CROP_SIZE",
    "32",
    "DATA.NUM_FRAMES",
    "8",
)
LEAST_SIMILAR = 0.99  # cosine of the mean embeddings; the scalers differ


class Ours:
    """The test of one file as the evaluator makes it.

    Args:
        path: The file.
        folder: For its csv.
        words: Overrides.
    """

    def __init__(self, path: Path, folder: Path, words: Sequence[str]) -> None:
        (folder / "test.csv").write_text(f"{path.resolve()} 0\n", encoding="utf-8")
        words = ["DATA.PATH_TO_DATA_DIR", str(folder), "NUM_GPUS", "0", *words]
        self.path, self.cfg = path, load_config(CONFIG, words, validate=False).cfg
        self.dataset = build_dataset(self.cfg.TEST.DATASET, self.cfg, "test")
        self.prepare = build_preprocess(self.cfg, train=False)
        torch.manual_seed(0)
        self.model: Any = construct_model(self.cfg).eval()

    def batches(self) -> Iterator[dict[str, Any]]:
        """Yield the samples, each collated alone and prepared for the model."""
        for index in range(len(self.dataset)):
            yield self.prepare(default_collate([self.dataset[0, index]]))

    def starts_sec(self) -> list[float]:
        """Return when the first frame of each view appears."""
        starts = [start for batch in self.batches() for start in batch["clip_start_sec"][0]]
        return [int(float(start) * FPS + 1e-3) / FPS for start in starts]

    @torch.no_grad()
    def embed(self, batches: Iterator[dict[str, Any]]) -> Tensor:
        """Embed the views and average them: (D,)."""
        views = [self.model.embed(batch)["video"] for batch in batches]
        return torch.cat([one.flatten(0, -2) for one in views]).mean(0)


class OneByOne:
    """The same views as samples of their own.

    Args:
        ours: Names the file, the configuration, the model and when views start.
    """

    def __init__(self, ours: Ours) -> None:
        self.ours, self.starts = ours, ours.starts_sec()

    def batches(self) -> Iterator[dict[str, Any]]:
        """Yield the views, each as a batch."""
        data = self.ours.cfg.DATA
        for start, place in zip(self.starts, itertools.cycle(range(CROPS)), strict=False):
            view = make_view(
                self.ours.path,
                start,
                data.NUM_FRAMES,
                data.TEST_CROP_SIZE,
                place,
                mean=data.MEAN,
                std=data.STD,
            )
            yield {"video": view[None, None]}


def check_equal(ours: Ours, plain: OneByOne) -> dict[str, float]:
    """Compare views and embeddings.

    Returns:
        The mean difference of the views in gray levels, and the cosine of the embeddings.

    Raises:
        AssertionError: If a view shows other frames or another place, or embeddings differ.
    """
    own = torch.cat([batch["video"][0] for batch in ours.batches()])
    other = torch.cat([batch["video"][0] for batch in plain.batches()])
    if own.shape != other.shape or len(own) != VIEWS:
        raise AssertionError(f"views of {tuple(own.shape)} and {tuple(other.shape)}")
    same = (own - other).abs().mean((1, 2, 3, 4))
    shifts = {
        "later frames": (own[:, :, 1:] - other[:, :, :-1]).abs().mean((1, 2, 3, 4)),
        "earlier frames": (own[:, :, :-1] - other[:, :, 1:]).abs().mean((1, 2, 3, 4)),
        "another place": (own - other.roll(1, 0)).abs().mean((1, 2, 3, 4)),
    }
    for what, differences in shifts.items():
        if bool((differences <= same).any()):
            raise AssertionError(f"a view shows {what}")
    cosine = float(F.cosine_similarity(ours.embed(ours.batches()), ours.embed(plain.batches()), 0))
    if cosine < LEAST_SIMILAR:
        raise AssertionError(f"embeddings differ: cosine {cosine:.3f}")
    levels = float(same.mean()) * 255 * float(torch.tensor(ours.cfg.DATA.STD).mean())
    return {"gray_levels": round(levels, 2), "cosine": round(cosine, 5)}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the files that are made")
    harness.add_arguments(parser)
    args = parser.parse_args(words)
    use_one_thread()
    torch.set_num_threads(1)
    size, seconds, overrides = ("64x48", 3, TINY) if args.tiny else ("340x256", 10, SMALL)
    rounds = 1 if args.tiny else args.rounds
    path = make_clip(Clip(size, "h264", 250, seconds=seconds), args.folder)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(path, Path(folder), overrides)
        at_once = Ours(path, Path(folder), (*overrides, "TEST.VIEWS_PER_CHUNK", str(VIEWS)))
    plain = OneByOne(ours)
    equal = check_equal(ours, plain)
    ways = {"ours": ours.batches, "at_once": at_once.batches, "plain": plain.batches}
    reading = {name: lambda make=make: list(make()) for name, make in ways.items()}
    testing = {
        name: lambda batches=batches: ours.embed(batches()) for name, batches in ways.items()
    }
    read_ms = harness.medians(harness.interleave(reading, rounds))
    test_ms = harness.medians(harness.interleave(testing, rounds))
    kernel = {name: kernel_share(call) for name, call in testing.items()}
    data = ours.cfg.DATA
    what = f"{VIEWS} views of {data.NUM_FRAMES} x {data.TEST_CROP_SIZE}^2, video {size}"
    width = ours.cfg.RESNET.WIDTH_PER_GROUP
    rows = [
        *make_rows(f"{what}, read", read_ms, ours.cfg.TEST.VIEWS_PER_CHUNK),
        *make_rows(
            f"{what}, read and embedded by R(2+1)D-18 of width {width}",
            test_ms,
            ours.cfg.TEST.VIEWS_PER_CHUNK,
            kernel,
        ),
    ]
    setting = {"config": CONFIG, "overrides": overrides, "rounds": rounds, "threads": 1}
    out = args.out or (None if args.tiny else OUT)
    details = {"equal": equal, "read_ms": read_ms, "test_ms": test_ms, "kernel_share": kernel}
    return harness.write_result(out, setting, rows, **details)


def kernel_share(call: Callable[[], object]) -> float:
    """Return the share of the CPU time that the kernel takes, mostly to clear pages of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    return system / max(1e-9, system + after.ru_utime - before.ru_utime)


def make_rows(
    what: str, ms: dict[str, float], chunk: int, kernel: dict[str, float] | None = None
) -> list[Row]:
    """Make a row for samples of the default number of views, and one for a single sample."""
    return [
        harness.row(
            f"{what}, {views} in a sample",
            ms[name],
            unit="CPU ms",
            peer=ms["plain"],
            peer_name="one view at a time",
            why=f"{kernel[name]:.0%} of it is the kernel's time, which clears the memory of large "
            f"feature maps; one view at a time {kernel['plain']:.0%}"
            if kernel
            else "",
        )
        for name, views in (("ours", chunk), ("at_once", VIEWS))
    ]


if __name__ == "__main__":
    main()
