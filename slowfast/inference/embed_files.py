"""Embeds the files of a folder into a ``VectorStore``: resumable, over any number of processes."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slowfast.config import ConfigValueError, UserError
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.bad_media import BadMedia
from slowfast.engine.records import hash_config, hash_state
from slowfast.inference.embeddings import FEATURES, VideoEmbedding
from slowfast.inference.frozen import FrozenModel
from slowfast.inference.listing import list_files
from slowfast.inference.load import load
from slowfast.inference.store import VectorStore, absolute_path, features_of
from slowfast.inference.video_keys import FileState, VideoKey
from slowfast.utils import distributed
from slowfast.utils.agreement import code_facts, require_same
from slowfast.utils.env import choose_device
from slowfast.utils.progress import progress
from slowfast.utils.run_lock import locked_output_dir
from slowfast.utils.stop_signals import StopSignal, noted_signals

__all__ = ["EmbedJob", "embed_files", "identify_model"]

logger = logging.getLogger(__name__)

_FORMAT = 1
_PART_VIDEOS, _PART_SEC = 256, 60.0
"""A part is written after so many videos, or so many seconds."""


class EmbedJob(NamedTuple):
    """What to embed; picklable for spawned processes.

    Attributes:
        source: Files and folders.
        weights: As for ``slowfast.load``.
        out: Folder of the vectors.
        cfg: As for ``slowfast.load``.
        overrides: As for ``slowfast.load``.
        every_sec: Length of windows; None: the clips of an evaluation.
        device: "auto", "cpu", "cuda".
        num_workers: Data workers of each process; None: by the number of cores.
        overwrite: Remove vectors of other weights or settings.
        prune: Remove vectors of files that no longer exist.
        npz: Also write vectors.npz, which needs memory for all vectors.
    """

    source: list[str]
    weights: str
    out: str
    cfg: str | None = None
    overrides: tuple[str, ...] = ()
    every_sec: float | None = None
    device: str = "auto"
    num_workers: int | None = None
    overwrite: bool = False
    prune: bool = False
    npz: bool = True


def embed_files(job: EmbedJob) -> None:
    """Embed what is new or has changed; in every process of a job.

    Raises:
        UserError: If the folder has vectors of other weights or settings, or nothing can be used.
    """
    device = job.device
    if device == "auto" and distributed.world_size() > 1:
        device = str(choose_device(-1, distributed.local_rank()))
    model = load(job.weights, cfg=job.cfg, overrides=job.overrides, device=device)
    store = VectorStore(Path(job.out).expanduser().absolute())
    if store.folder.is_file():
        raise UserError(f"-o: {job.out} is a file; name a folder for the vectors.")
    source = [absolute_path(one) for one in job.source]
    manifest = list_files(source, audio_only=model.is_audio_only)
    record = _describe(model, job, _common_root(source))
    facts = {"files": (len(manifest), manifest.digest())} | {
        name: record[name] for name in ("state", "config", "every_sec", "features")
    }
    require_same(
        facts | code_facts(["slowfast"]),
        "Give all machines the same files, weights, options and code.",
    )
    if not job.overwrite:
        _require_same(store, record)
    with _locked(store.folder):
        todo = _prepare(store, manifest, record, model, job)
        own = manifest.take(todo[distributed.rank() :: distributed.world_size()])
        bad = _write_parts(model, own, store, job)
        bad = [entry for part in distributed.gather_objects(bad) for entry in part]
        problem = ""
        if distributed.is_main_process():
            known = store.known_files().keys()
            tried = {_key(store, manifest, row) for row in todo}
            problem = _finish(store, bad, store.list_bad(bad, known - tried), len(known), job)
        problem = distributed.gather_objects(problem)[0]
    if problem:
        raise UserError(problem)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other jobs out of a folder: the main process holds its lock."""
    with contextlib.ExitStack() as stack:
        problem = ""
        if distributed.is_main_process():
            try:
                stack.enter_context(locked_output_dir(folder))
            except ConfigValueError as error:
                problem = str(error).replace("OUTPUT_DIR", "-o", 1)
        problem = distributed.gather_objects(problem)[0]
        if problem:
            raise UserError(problem)
        yield


def _prepare(
    store: VectorStore,
    manifest: Manifest,
    record: dict[str, Any],
    model: FrozenModel,
    job: EmbedJob,
) -> list[int]:
    """Make the folder ready; return the rows to embed, the same in every process."""
    todo: list[int] = []
    if distributed.is_main_process():
        if _find_difference(store.record, record):
            store.clear()
        store.create(record)
        store.repair()
        keys = [_key(store, manifest, row) for row in range(len(manifest))]
        known = store.known_files()
        todo = [
            row
            for row, key in enumerate(keys)
            if known.get(key) != FileState.of(manifest.path(row))
        ]
        changed = {keys[row] for row in todo} & set(known)
        missing = {
            key
            for key in set(known) - set(keys)
            if not os.path.lexists(Path(record["root"], key.path))
        }
        store.remove(changed | missing if job.prune else changed)
        notes = [f"{len(keys)} files, {len(keys) - len(todo)} of them done"]
        notes += [f"{len(changed)} changed"] if changed else []
        if missing:
            how = "removed" if job.prune else "kept: --prune removes them"
            notes.append(f"{len(missing)} no longer there ({how})")
        logger.info(
            "%s: %s; %s, %d process(es); into %s",
            ", ".join(job.source),
            ", ".join(notes),
            model,
            distributed.world_size(),
            store.folder,
        )
    rows: list[int] = distributed.gather_objects(todo)[0]
    return rows


def _key(store: VectorStore, manifest: Manifest, row: int) -> VideoKey:
    entry = manifest.row(row)
    return store.key_of(entry.name, entry.start_sec, entry.end_sec)


def _write_parts(
    model: FrozenModel, manifest: Manifest, store: VectorStore, job: EmbedJob
) -> list[BadMedia]:
    """Embed the files of this process; what is finished is written, also when it is interrupted."""
    part: list[VideoEmbedding] = []
    states: list[FileState] = []
    started = time.monotonic()

    def flush() -> None:
        nonlocal started
        with _uninterrupted():
            store.append(part, states)
            part.clear()
            states.clear()
        started = time.monotonic()

    files = {manifest.row(row).name: manifest.path(row) for row in range(len(manifest))}
    found = model.iterate(manifest, every_sec=job.every_sec, num_workers=job.num_workers)
    try:
        for video in _shown(found, len(manifest)):
            states.append(FileState.of(files[video.path]))
            part.append(video)
            if len(part) >= _PART_VIDEOS or time.monotonic() - started > _PART_SEC:
                flush()
    finally:
        del states[len(part) :]
        flush()
    return model.bad


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay signals that ask the process to end until a part is written."""
    with noted_signals() as noted:
        yield
    if noted.number:
        raise StopSignal(noted.number)


def _shown(videos: Iterator[VideoEmbedding], total: int) -> Iterator[VideoEmbedding]:
    if not distributed.is_main_process():
        return videos
    world = distributed.world_size()
    title = "embed" if world == 1 else f"embed (process 1 of {world})"
    return progress(videos, title, total, unit="videos")


def _common_root(source: list[str]) -> str:
    """Return the folder that paths are relative to."""
    folders = [path if Path(path).is_dir() else str(Path(path).parent) for path in source]
    return os.path.commonpath(folders)


def identify_model(model: FrozenModel) -> dict[str, str]:
    """Identify what decides vectors.

    Args:
        model: A model.

    Returns:
        ``state``, a hash of the weights, and ``config``, one of the configuration, in which the
        batch size does not count.
    """
    cfg = model.cfg.clone()
    cfg.defrost()
    cfg.TEST.BATCH_SIZE = 1
    return {"state": hash_state(dict(model.encoder.state_dict())), "config": hash_config(cfg)}


def _describe(model: FrozenModel, job: EmbedJob, root: str) -> dict[str, Any]:
    """Return the content of embed.json."""
    return {
        "format": _FORMAT,
        "root": root,
        "weights": _absolute(job.weights),
        "cfg": None if job.cfg is None else _absolute(job.cfg),
        "overrides": list(job.overrides),
        **identify_model(model),
        "every_sec": job.every_sec,
        "features": _dimensions(model),
        "class_names": model.class_names,
        "joint_space": model.has_joint_space,
    }


def _absolute(source: str) -> str:
    """Return a local path so that it is found from other folders; the rest as it is."""
    path = absolute_path(source)
    return path if "://" not in source and Path(path).exists() else source


def _dimensions(model: FrozenModel) -> dict[str, int]:
    """Return the dimension of each feature, from blank frames and silence."""
    audio = None
    if "audio" in model.modalities:
        num_samples = int(model.cfg.AUDIO.CLIP_SEC * model.cfg.AUDIO.SAMPLE_RATE) + 1
        audio = np.zeros(num_samples, np.float32)
    frames = None if model.is_audio_only else np.zeros((2, 64, 64, 3), np.uint8)
    dims = features_of(model.embed(frames=frames, audio=audio))  # type: ignore[arg-type]
    return {name: dims[name] for name in FEATURES if name in dims}


def _find_difference(before: dict[str, Any], record: dict[str, Any]) -> str:
    """Return the first key in which vectors of two records differ; "" if there is none."""
    keys = ("format", "root", "state", "config", "every_sec")
    return next((key for key in keys if before and before.get(key) != record[key]), "")


def _require_same(store: VectorStore, record: dict[str, Any]) -> None:
    """Check that the vectors of a folder are of the same weights and settings.

    Raises:
        UserError: If they are not.
    """
    before = store.record
    key = _find_difference(before, record)
    if not key:
        return

    def name(of: dict[str, Any]) -> str:
        if key == "state":
            return f"{of.get('weights')} ({of.get('state')})"
        if key == "config":
            words = " ".join(map(str, of.get("overrides") or [])) or "no overrides"
            return f"{of.get('cfg') or of.get('weights')} with {words} ({of.get('config')})"
        return str(of.get(key))

    what = {
        "format": "format",
        "root": "FOLDER",
        "state": "--weights",
        "config": "settings",
        "every_sec": "--every",
    }
    hint = ""
    if key == "root":
        hint = f" If the files were moved, change root in {store.folder / 'embed.json'}."
    raise UserError(
        f"-o {store.folder}: its vectors have another {what[key]}: {name(before)} there, "
        f"{name(record)} now. Choose another folder, or replace its vectors with --overwrite.{hint}"
    )


def _finish(
    store: VectorStore, bad: list[BadMedia], listed: Path | None, total: int, job: EmbedJob
) -> str:
    """Write the npz file, and say what was written; return an error or ""."""
    partial = len({entry.path for entry in bad if entry.is_partial})
    whole = len({entry.path for entry in bad if not entry.is_partial})
    if whole:
        logger.warning("%d files could not be decoded: %s", whole, listed)
    if partial:
        logger.warning("%d files could be decoded only in part: %s", partial, listed)
    if not total:
        return f"none of the {whole} files could be decoded; the reasons are in {listed}."
    written = [store.folder / "videos", store.folder / "clips"]
    written += [store.write_npz()] if job.npz else []
    logger.info(
        "%d videos: %s\nnext: slowfast search %s --query FILE",
        total,
        ", ".join(map(str, written)),
        job.out,
    )
    return ""
