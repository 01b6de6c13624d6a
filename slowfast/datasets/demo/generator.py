"""The built-in demo set: real mp4 files, made once and kept in a cache folder.

``SPLIT/CLASS/NUMBER.mp4`` below a folder whose name is a fingerprint of the specification and of
the generator's source, so that a changed generator never meets its old files. ``demo_plan`` says
what the clips show, ``render_video`` and ``render_audio`` render them.

Legend: T frames, H and W pixels, N samples of an audio.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from slowfast.config import CfgNode, ConfigValueError
from slowfast.datasets.demo.render_audio import SAMPLE_RATE_HZ, render_audio
from slowfast.datasets.demo.render_video import FRAMES_PER_SEC, render_video
from slowfast.datasets.demo.scene_spec import DemoSpec, class_events, plan_clip
from slowfast.utils.registry import nearest
from slowfast.utils.stop_signals import start_resource_tracker

__all__ = [
    "DemoSpec",
    "class_names",
    "encode_clip",
    "fingerprint",
    "generate_demo",
    "spec_from_cfg",
]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_RECORD = "demo_set.json"  # written last
_SOURCES = ("generator.py", "scene_spec.py", "render_video.py", "render_audio.py")
_DRAFT_PREFIX = ".demo-"
_STALE_SEC = 24 * 3600.0  # a draft of that age belongs to a run that was killed
_CHUNK = 8  # clips that a worker process takes at a time

# One thread and no macroblock tree, which on frames this small depends on what was in memory
# before: the same frames must give the same bytes.
_VIDEO_OPTIONS = {"preset": "veryfast", "crf": "24", "threads": "1", "x264-params": "mbtree=0"}
_VIDEO_GOP = 12
_AUDIO_OPTIONS = {"aac_coder": "fast"}  # a quarter of the default's time
_AUDIO_BIT_RATE = 48000


class _Job(NamedTuple):
    """One file to make; ``path`` is relative to the set's folder."""

    split: str
    class_name: str
    number: int
    path: Path


def class_names(spec: DemoSpec) -> list[str]:
    """List the classes in the order of their labels."""
    return sorted(class_events(spec))


NUISANCES = {
    "space": "nuisance_space",
    "time": "nuisance_time",
    "color": "nuisance_color",
    "background": "nuisance_background",
    "noise": "noise",
}
"""What DEMO_SET.VARIATION may list, and the switch of DemoSpec that it is."""


def spec_from_cfg(cfg: CfgNode) -> DemoSpec:
    """Read the section DEMO_SET of the configuration.

    Args:
        cfg: The configuration; ``VARIATION`` lists what varies, of ``NUISANCES``.

    Returns:
        The specification of the set.

    Raises:
        UserError: If a split would be empty, or a nuisance is unknown.
    """
    section = cfg.DEMO_SET
    for key in ("NUM_TRAIN_PER_CLASS", "NUM_TEST_PER_CLASS"):
        if section[key] < 1:
            raise ConfigValueError(
                f"DEMO_SET.{key}", f"got {section[key]}; expected at least 1 clip of each class."
            )
    if section.SEED < 0:
        raise ConfigValueError("DEMO_SET.SEED", f"got {section.SEED}; expected 0 or more.")
    unknown = sorted(set(section.VARIATION) - set(NUISANCES))
    if unknown:
        raise ConfigValueError(
            "DEMO_SET.VARIATION",
            f"unknown nuisance '{unknown[0]}'. {nearest(unknown[0], NUISANCES)}",
        )
    return DemoSpec(
        num_train_per_class=section.NUM_TRAIN_PER_CLASS,
        num_test_per_class=section.NUM_TEST_PER_CLASS,
        seed=section.SEED,
        order_classes=section.ORDER_CLASSES,
        shared_audio_classes=section.SHARED_AUDIO_CLASSES,
        sync=section.SYNC,
        shared_instance=section.INSTANCE_CUE,
        **{switch: name in section.VARIATION for name, switch in NUISANCES.items()},
    )


def fingerprint(spec: DemoSpec) -> str:
    """Name a set by what its files depend on: the specification and the generator's source."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(spec), sort_keys=True).encode())
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:12]


def generate_demo(
    root: Path,
    spec: DemoSpec,
    *,
    num_workers: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Generate the demo set below ``root`` if it does not exist.

    The files are written to a hidden folder next to the final one, which is renamed at the end:
    other processes see the complete set or none. If two processes generate it at once, the first
    one wins.

    Args:
        root: Folder that holds the sets, created if missing.
        spec: What the set is like.
        num_workers: Processes that render and encode; 0 works in this one.
        progress: Called as ``progress(files done, files in all)`` after each file.

    Returns:
        The folder of the set, which has the folders ``train`` and ``test``.

    Raises:
        OSError: If ``root`` cannot be written.
    """
    final = root / f"demo-{fingerprint(spec)}"
    jobs = list(_jobs(spec))
    if _is_whole(final, jobs):
        return final
    root.mkdir(parents=True, exist_ok=True)
    _remove_stale(root)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT_PREFIX, dir=root))
    try:
        _make_files(draft, spec, jobs, num_workers, progress or (lambda done, total: None))
        record = {"spec": dataclasses.asdict(spec), "classes": class_events(spec)}
        (draft / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        draft.chmod(0o755)  # a temporary folder is closed to other users
        _put_in_place(draft, final, jobs)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return final


def _jobs(spec: DemoSpec) -> Iterator[_Job]:
    """List the files of the set."""
    for split, count in (("train", spec.num_train_per_class), ("test", spec.num_test_per_class)):
        for name in class_names(spec):
            for number in range(count):
                yield _Job(split, name, number, Path(split, name, f"{number:04d}.mp4"))


def _is_whole(folder: Path, jobs: list[_Job]) -> bool:
    """Say whether every file of the set is in ``folder``."""
    return (folder / _RECORD).is_file() and all((folder / job.path).is_file() for job in jobs)


def _remove_stale(root: Path) -> None:
    """Remove the drafts of runs that were killed."""
    for folder in root.glob(f"{_DRAFT_PREFIX}*"):
        try:
            age_sec = time.time() - folder.stat().st_mtime
        except FileNotFoundError:
            continue  # its owner has just finished
        if age_sec > _STALE_SEC:
            shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(draft: Path, final: Path, jobs: list[_Job]) -> None:
    """Rename a finished draft, or keep what another process has finished meanwhile."""
    if final.exists() and not _is_whole(final, jobs):
        logger.warning("%s lacks files and is replaced.", final)
        shutil.rmtree(final)
    try:
        draft.rename(final)
    except OSError:
        if not _is_whole(final, jobs):
            raise


def _make_files(
    folder: Path, spec: DemoSpec, jobs: list[_Job], num_workers: int, report: Progress
) -> None:
    """Render and encode all files, in worker processes if they can be had."""
    for parent in {job.path.parent for job in jobs}:
        (folder / parent).mkdir(parents=True)
    done = 0
    if num_workers > 0:
        try:
            for _ in _map_processes(folder, spec, jobs, num_workers):
                done += 1
                report(done, len(jobs))
        except BrokenProcessPool:
            # Workers start by importing the main script, which one typed in or without a main
            # guard does not survive.
            logger.warning("Worker processes cannot be started; the demo set takes longer.")
    for index in range(done, len(jobs)):
        _make_file(folder, spec, jobs[index])
        report(index + 1, len(jobs))


def _map_processes(
    folder: Path, spec: DemoSpec, jobs: list[_Job], num_workers: int
) -> Iterator[None]:
    """Make files in worker processes; yields after each, in order."""
    # Spawned, not forked: a fork of a process with threads (torch, OpenCV) can hang.
    start_resource_tracker()
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        folders, specs = [folder] * len(jobs), [spec] * len(jobs)
        yield from pool.map(_make_file, folders, specs, jobs, chunksize=_CHUNK)


def _make_file(folder: Path, spec: DemoSpec, job: _Job) -> None:
    """Render and encode one file."""
    plan = plan_clip(spec, job.split, job.class_name, job.number)
    encode_clip(folder / job.path, render_video(plan), render_audio(plan))


def encode_clip(path: Path, video: NDArray[np.uint8], audio: NDArray[np.float32]) -> None:
    """Write H.264 and AAC into an mp4 file.

    Args:
        path: The file to write.
        video: uint8 (T, H, W, 3), RGB, at ``FRAMES_PER_SEC``; H and W even.
        audio: float32 (N,) in [-1, 1], at ``SAMPLE_RATE_HZ``.
    """
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SEC, options=_VIDEO_OPTIONS)
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = _VIDEO_GOP
        track = container.add_stream(
            "aac", rate=SAMPLE_RATE_HZ, layout="mono", options=_AUDIO_OPTIONS
        )
        track.bit_rate = _AUDIO_BIT_RATE
        samples = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        samples.sample_rate, samples.time_base = SAMPLE_RATE_HZ, Fraction(1, SAMPLE_RATE_HZ)
        samples.pts = 0
        container.mux(track.encode(samples))
        for pixels in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
        container.mux(track.encode(None))
