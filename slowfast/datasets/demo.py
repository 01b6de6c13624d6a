"""The built-in demo set: real mp4 files, made once, kept in a cache folder.

``SPLIT/CLASS/NUMBER.mp4`` below a folder whose name is a fingerprint of the specification and of
the generator's source, so that a changed generator never meets its old files. See ``demo_plan`` for
what the clips show.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from slowfast.datasets import demo_picture, demo_plan, demo_sound
from slowfast.datasets.demo_picture import FRAMES_PER_SEC, render_picture
from slowfast.datasets.demo_plan import DemoSpec, class_events, plan_clip
from slowfast.datasets.demo_sound import SAMPLE_RATE_HZ, render_sound

__all__ = [
    "DemoSpec",
    "class_names",
    "demo_cache_dir",
    "fingerprint",
    "generate_demo",
    "spec_from_cfg",
]

logger = logging.getLogger(__name__)

_RECORD = "demo_set.json"  # written last: a folder without it is not whole
_STALE_SEC = 3600.0  # an unfinished folder of that age belongs to a run that was killed
_VIDEO_OPTIONS = {"preset": "veryfast", "crf": "20", "threads": "1"}
_VIDEO_GOP = 12
_AUDIO_OPTIONS = {"aac_coder": "fast"}  # four times faster than the default search
_AUDIO_BIT_RATE = 48000

Progress = Callable[[int, int], None]


class _Job(NamedTuple):
    """One file to make; ``path`` is relative to the set's folder."""

    split: str
    class_name: str
    index: int
    path: Path


def demo_cache_dir() -> Path:
    """Return the folder for what is made once: ``$SLOWFAST_CACHE``, else ``~/.cache/slowfast``."""
    override = os.environ.get("SLOWFAST_CACHE")
    return Path(override).expanduser() if override else Path.home() / ".cache" / "slowfast"


def class_names(spec: DemoSpec) -> list[str]:
    """Return the names of the ten classes, sorted: a name's rank is its label."""
    return sorted(class_events(spec))


def spec_from_cfg(cfg: Any) -> DemoSpec:
    """Read the section ``DEMO_SET`` of the configuration.

    Args:
        cfg: The configuration tree. ``NUISANCE: False`` switches off every nuisance (space, time,
            colour, background, noise); ``SYNC: False`` also the sharing of tempo and size.

    Returns:
        The specification of the set.

    Raises:
        ValueError: If a split would be empty.
    """
    section = cfg.DEMO_SET
    for key in ("NUM_TRAIN_PER_CLASS", "NUM_TEST_PER_CLASS"):
        if section[key] < 1:
            raise ValueError(
                f"DEMO_SET.{key}: got {section[key]}, expected at least 1 clip of each class."
            )
    return DemoSpec(
        num_train_per_class=section.NUM_TRAIN_PER_CLASS,
        num_test_per_class=section.NUM_TEST_PER_CLASS,
        seed=section.SEED,
        order_classes=section.ORDER_CLASSES,
        sync=section.SYNC,
        shared_instance=section.SYNC,
        nuisance_space=section.NUISANCE,
        nuisance_time=section.NUISANCE,
        nuisance_colour=section.NUISANCE,
        nuisance_background=section.NUISANCE,
        noise=section.NUISANCE,
    )


def fingerprint(spec: DemoSpec) -> str:
    """Return 12 hexadecimal digits that name the specification and the generator's source."""
    digest = hashlib.sha256(repr(sorted(dataclasses.asdict(spec).items())).encode())
    for module in (demo_plan, demo_picture, demo_sound):
        digest.update(Path(module.__file__).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:12]


def generate_demo(
    root: Path,
    spec: DemoSpec,
    *,
    num_workers: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Make the set below ``root``, unless it is there already.

    The files are made in a temporary folder next to the final one, which is then renamed: another
    process sees the whole set or none, and of two that make it at once the first wins.

    Args:
        root: Folder that holds the sets, such as ``demo_cache_dir()``; made if missing.
        spec: What the set is like.
        num_workers: Processes that render and encode; 0 works in this one.
        progress: Called as ``progress(files done, files in all)`` after every file.

    Returns:
        The folder of the set, with the folders ``train`` and ``test`` in it.

    Raises:
        OSError: If the folder cannot be written.
    """
    final = root / f"demo-{fingerprint(spec)}"
    jobs = list(_jobs(spec))
    if _is_whole(final, jobs):
        return final
    root.mkdir(parents=True, exist_ok=True)
    _remove_stale(root)
    draft = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=root))
    try:
        _make_files(draft, spec, jobs, num_workers, progress)
        record = {"spec": dataclasses.asdict(spec), "classes": class_events(spec)}
        (draft / _RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
        draft.chmod(0o755)  # mkdtemp makes folders that nobody else may read
        _put_in_place(draft, final, jobs)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return final


def _jobs(spec: DemoSpec) -> Iterator[_Job]:
    """List the files of the set."""
    for split, count in (("train", spec.num_train_per_class), ("test", spec.num_test_per_class)):
        for name in class_names(spec):
            for index in range(count):
                yield _Job(split, name, index, Path(split, name, f"{index:04d}.mp4"))


def _is_whole(folder: Path, jobs: list[_Job]) -> bool:
    """Say whether every file of the set is in ``folder``."""
    return (folder / _RECORD).is_file() and all((folder / job.path).is_file() for job in jobs)


def _remove_stale(root: Path) -> None:
    """Remove what killed runs have left behind."""
    for folder in root.glob(".demo-*"):
        try:
            if time.time() - folder.stat().st_mtime > _STALE_SEC:
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            continue  # its owner has just finished


def _put_in_place(draft: Path, final: Path, jobs: list[_Job]) -> None:
    """Rename the finished folder; keep the one that is there if another process was faster."""
    if final.exists() and not _is_whole(final, jobs):
        logger.warning("%s lacks files: it is made anew.", final)
        final.rename(Path(tempfile.mkdtemp(prefix=".demo-broken-", dir=final.parent)) / "old")
    try:
        draft.rename(final)
    except OSError:
        if not _is_whole(final, jobs):
            raise


def _make_files(
    folder: Path, spec: DemoSpec, jobs: list[_Job], num_workers: int, progress: Progress | None
) -> None:
    """Render and encode all jobs, here or in worker processes."""
    report = progress or (lambda done, total: None)
    for parent in {job.path.parent for job in jobs}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    if num_workers == 0:
        for done, job in enumerate(jobs, start=1):
            _make_file(folder, spec, job)
            report(done, len(jobs))
        return
    # Spawned, not forked: the caller may run threads (torch, OpenCV), which a fork would break.
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        folders, specs = [folder] * len(jobs), [spec] * len(jobs)
        made = pool.map(_make_file, folders, specs, jobs, chunksize=8)
        for done, _ in enumerate(made, start=1):
            report(done, len(jobs))


def _make_file(folder: Path, spec: DemoSpec, job: _Job) -> None:
    """Render and encode one clip."""
    plan = plan_clip(spec, job.split, job.class_name, job.index)
    encode_clip(folder / job.path, render_picture(plan), render_sound(plan))


def encode_clip(path: Path, video: NDArray[np.uint8], sound: NDArray[np.float32]) -> None:
    """Write H.264 and AAC into an mp4 file.

    Args:
        path: The file to write.
        video: uint8 (T, H, W, 3), RGB, at ``FRAMES_PER_SEC``.
        sound: float32 (N,) in [-1, 1], at ``SAMPLE_RATE_HZ``.
    """
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("libx264", rate=FRAMES_PER_SEC, options=_VIDEO_OPTIONS)
        picture.height, picture.width = video.shape[1:3]
        picture.pix_fmt = "yuv420p"
        picture.codec_context.gop_size = _VIDEO_GOP
        track = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono", options=_AUDIO_OPTIONS)
        track.bit_rate = _AUDIO_BIT_RATE
        samples = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        samples.sample_rate = SAMPLE_RATE_HZ
        samples.pts, samples.time_base = 0, Fraction(1, SAMPLE_RATE_HZ)
        container.mux(track.encode(samples))
        for pixels in video:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(picture.encode(None))
        container.mux(track.encode(None))
