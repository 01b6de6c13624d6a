"""Checks of a configuration: datasets, DATA, AUDIO, the views of TEST, and the demo set."""

from __future__ import annotations

import math
import os
from pathlib import Path

import yaml

from slowfast.config import CfgNode, ConfigValueError, Problem, register_check
from slowfast.config.load import is_demo
from slowfast.config.projects import find_missing
from slowfast.config.sections.unsupported import describe_unsupported
from slowfast.config.values import flatten
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.decoding.reader import LOOP_FILTER_SKIPS
from slowfast.datasets.views import sample_views
from slowfast.datasets.views.sample_views import AUDIO, SampleViews
from slowfast.datasets.views.transform import names_rand_augment
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file
from slowfast.utils.cores import AUTO
from slowfast.utils.env import num_local_processes
from slowfast.utils.registry import nearest

__all__ = [
    "check_audio_only",
    "check_clips",
    "check_data",
    "check_demo",
    "check_labels",
    "check_names",
    "check_quarantine",
    "check_train_views",
]

_POSITIVE = (
    *("DATA.NUM_FRAMES", "DATA.SAMPLING_RATE", "DATA.TARGET_FPS", "DATA.TRAIN_CROP_NUM_SPATIAL"),
    "DATA.TRAIN_CROP_NUM_TEMPORAL",
    *("TRAIN.BATCH_SIZE", "TEST.BATCH_SIZE", "TEST.VIEWS_PER_CHUNK"),
    *("DATA.TRAIN_CLIPS_PER_VIDEO", "DATA.FRAME_FOLDER_FPS", "AUG.NUM_SAMPLE"),
    *("AUDIO.CLIP_SEC", "LOG_PERIOD", "NUM_SHARDS", "NUM_CPU_PROCESSES"),
)
_MOST = {
    "AUDIO.CLIP_SEC": 86_400,  # a day
    "AUG.NUM_SAMPLE": 1000,
}
_MOST_THREADS = 4096
_MOST_CLIPS = 10_000  # of a video in a test; far more than any protocol has
_NOT_NEGATIVE = ("DATA.FOLD", "DATA.TRAIN_VIDEOS_PER_CLASS")
_RESERVED = ("label", "index", "valid", "view", "clip_start_sec", "clip_end_sec", "aug_seed")
_ENSEMBLES = ("sum", "max")

# What a dataset without frames cannot follow.
_AUDIO_ONLY = {
    "DATA.TRAIN_CROP_NUM_TEMPORAL": 1,
    "DATA.TRAIN_VIEWS": "clips",
    "AUG.ENABLE": False,
    "AUG.NUM_SAMPLE": 1,
}


@register_check
def check_names(cfg: CfgNode) -> list[Problem]:
    """Find names of datasets that are not registered."""
    problems = []
    for key in ("TRAIN", "TEST"):
        name = cfg[key].DATASET.lower()
        problem = find_missing(f"{key}.DATASET", DATASET_REGISTRY, name, cfg.PROJECTS)
        if cfg[key].ENABLE and problem is not None:
            unsupported = describe_unsupported(problem.key, name)
            problems.append(Problem(problem.key, unsupported) if unsupported else problem)
    return problems


@register_check
def check_audio_only(cfg: CfgNode) -> list[Problem]:
    """Find settings that an audio-only dataset cannot follow."""
    names = {cfg[key].DATASET.lower() for key in ("TRAIN", "TEST") if cfg[key].ENABLE}
    for name in sorted(names & set(DATASET_REGISTRY.names())):
        if DATASET_REGISTRY.capability(name, "audio_only") and not cfg.AUDIO.ENABLE:
            message = f"got False, but the dataset {name} is audio-only; use True."
            return [Problem("AUDIO.ENABLE", message)]
    name = cfg.TRAIN.DATASET.lower()
    if not cfg.TRAIN.ENABLE or name not in DATASET_REGISTRY:
        return []
    if DATASET_REGISTRY.capability(name, "audio_only"):
        values = flatten(cfg)
        for key, only in _AUDIO_ONLY.items():
            got = values[key]
            if got != only:
                message = f"got {got!r}, but the dataset {name} is audio-only; use {only!r}."
                return [Problem(key, message)]
    return []


@register_check
def check_data(cfg: CfgNode) -> list[Problem]:
    """Find values of DATA, AUDIO and TEST that are out of range."""
    problems = []
    values = flatten(cfg)
    for key in _POSITIVE:
        value, most = values[key], _MOST.get(key, math.inf)
        if not 0 < value <= most:
            limit = f", at most {most}" if value > most else ""
            problems.append(Problem(key, f"got {value}, expected more than 0{limit}."))
    for key in _NOT_NEGATIVE:
        if values[key] < 0:
            problems.append(Problem(key, f"got {values[key]}, expected 0 or more."))
    audio = cfg.AUDIO
    if audio.ENABLE and 0 < audio.CLIP_SEC * audio.SAMPLE_RATE < 1:
        message = (
            f"got {audio.CLIP_SEC} s, less than one sample of audio at AUDIO.SAMPLE_RATE "
            f"{audio.SAMPLE_RATE}; use the length of a clip of frames, mostly 1 to 10 s."
        )
        problems.append(Problem("AUDIO.CLIP_SEC", message))
    problems += _check_processes(cfg)
    for name in cfg.DATA.ROW_FIELDS:
        if name in _RESERVED or name.startswith(("video", "audio")):
            message = f"got {name!r}, which a sample has already; rename the column of the csv."
            problems.append(Problem("DATA.ROW_FIELDS", message))
    problems += _check_loop_filter(cfg)
    if cfg.DATA.ON_DECODE_ERROR not in ("resample", "raise"):
        hint = nearest(cfg.DATA.ON_DECODE_ERROR, ("resample", "raise"))
        problems.append(
            Problem("DATA.ON_DECODE_ERROR", f"got {cfg.DATA.ON_DECODE_ERROR!r}. {hint}")
        )
    return problems


def _check_processes(cfg: CfgNode) -> list[Problem]:
    """Find numbers of threads, workers and batches in advance that are out of range."""
    problems = []
    if not 0 <= cfg.NUM_THREADS <= _MOST_THREADS:
        message = f"got {cfg.NUM_THREADS}, expected 0 (automatic) to {_MOST_THREADS}."
        problems.append(Problem("NUM_THREADS", message))
    workers = cfg.DATA_LOADER.NUM_WORKERS
    if workers < AUTO:
        message = f"got {workers}, expected 0 or more, or -1 for a number by the cores."
        problems.append(Problem("DATA_LOADER.NUM_WORKERS", message))
    if cfg.DATA_LOADER.PREFETCH_FACTOR < 1:
        message = f"got {cfg.DATA_LOADER.PREFETCH_FACTOR}, expected 1 or more."
        problems.append(Problem("DATA_LOADER.PREFETCH_FACTOR", message))
    return problems


def _check_loop_filter(cfg: CfgNode) -> list[Problem]:
    key, value = "DATA.SKIP_LOOP_FILTER", cfg.DATA.SKIP_LOOP_FILTER
    if value not in LOOP_FILTER_SKIPS:
        return [Problem(key, f"got {value!r}. {nearest(value, LOOP_FILTER_SKIPS)}")]
    if value != LOOP_FILTER_SKIPS[0] and cfg.DATA_LOADER.CACHE_DECODED:
        message = f"got {value!r} with DATA_LOADER.CACHE_DECODED, which is exact; use 'none'."
        return [Problem(key, message)]
    return []


@register_check
def check_train_views(cfg: CfgNode) -> list[Problem]:
    """Find settings of the training views that are invalid, or that the views ignore.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem; none for a run that only tests.
    """
    name = cfg.DATA.TRAIN_VIEWS
    if not cfg.TRAIN.ENABLE:
        return []
    if problem := find_missing("DATA.TRAIN_VIEWS", sample_views.VIEW_REGISTRY, name, cfg.PROJECTS):
        return [problem]
    if min(cfg.DATA.TRAIN_CROP_NUM_TEMPORAL, cfg.DATA.TRAIN_CROP_NUM_SPATIAL) < 1:
        return []  # reported by check_data
    try:
        views = sample_views.build_views(cfg)
    except ConfigValueError as error:
        return [error.problem]
    except ValueError as error:
        return [Problem("DATA.TRAIN_VIEWS", f"{name}: {error}")]
    longest = max((view.num_frames for view in views.views), default=0)
    if longest > cfg.DATA.NUM_FRAMES:
        message = (
            f"got {cfg.DATA.NUM_FRAMES}, but a view of DATA.TRAIN_VIEWS {name!r} has {longest} "
            f"frames; use {longest} or more."
        )
        return [Problem("DATA.NUM_FRAMES", message)]
    if views.has_audio != cfg.AUDIO.ENABLE:
        has = "include audio" if views.has_audio else "include no audio"
        message = f"got {cfg.AUDIO.ENABLE}, but the views of DATA.TRAIN_VIEWS {name!r} {has}."
        return [Problem("AUDIO.ENABLE", message)]
    return _wrong_augmentation(cfg, views)


def _wrong_augmentation(cfg: CfgNode, views: SampleViews) -> list[Problem]:
    """Find settings of AUG and MIXUP that training views do not follow; at most one problem."""
    name, aug = cfg.DATA.TRAIN_VIEWS, cfg.AUG
    transforms = [view.transform for view in views.views if view.transform is not None]
    is_augmented = any(transform.augment or transform.erasing for transform in transforms)
    is_wanted = aug.ENABLE and (names_rand_augment(aug.AA_TYPE) or aug.RE_PROB)
    if is_wanted and not is_augmented:
        message = (
            f"got True, but no view of DATA.TRAIN_VIEWS {name!r} applies RandAugment or random "
            "erasing; use False, or build its transform with build_train_transform(cfg)."
        )
        return [Problem("AUG.ENABLE", message)]
    if aug.ENABLE and aug.RE_SPLIT and aug.NUM_SAMPLE < 2:
        message = (
            "got True, which leaves the first of several clips of a video as it is, but "
            f"AUG.NUM_SAMPLE is {aug.NUM_SAMPLE}; use False."
        )
        return [Problem("AUG.RE_SPLIT", message)]
    others = sorted(set(views.fields) - {"video", AUDIO})
    if cfg.MIXUP.ENABLE and others:
        message = (
            f"got True, but DATA.TRAIN_VIEWS {name!r} also has {', '.join(others)}, and only the "
            "field video is mixed; use False."
        )
        return [Problem("MIXUP.ENABLE", message)]
    return []


@register_check
def check_quarantine(cfg: CfgNode) -> list[Problem]:
    """Find a quarantine list that does not exist."""
    name = cfg.DATA.QUARANTINE_FILE_PATH
    if name in ("", "auto") or Path(name).expanduser().is_file():
        return []
    message = f'no such file: {name}. Use the quarantine.csv of "slowfast check", "auto", or "".'
    return [Problem("DATA.QUARANTINE_FILE_PATH", message)]


@register_check
def check_clips(cfg: CfgNode) -> list[Problem]:
    """Find invalid numbers of clips per video of TEST."""
    problems = []
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS
    if not 1 <= views <= _MOST_CLIPS and views != -1:
        message = f"got {views}, expected 1 to {_MOST_CLIPS}, or -1 for 1, 3, 5, 7 and 10 in turn."
        problems.append(Problem("TEST.NUM_ENSEMBLE_VIEWS", message))
    counts = list(cfg.TEST.NUM_TEMPORAL_CLIPS)
    if not all(type(count) is int and 1 <= count <= _MOST_CLIPS for count in counts):
        message = f"got {counts}, expected numbers of clips per video, each 1 to {_MOST_CLIPS}."
        problems.append(Problem("TEST.NUM_TEMPORAL_CLIPS", message))
    return problems


@register_check
def check_labels(cfg: CfgNode) -> list[Problem]:
    """Find settings of labels and scores that do not fit each other.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems.
    """
    problems = []
    if cfg.DATA.ENSEMBLE_METHOD not in _ENSEMBLES:
        hint = nearest(cfg.DATA.ENSEMBLE_METHOD, _ENSEMBLES)
        problems.append(
            Problem("DATA.ENSEMBLE_METHOD", f"got {cfg.DATA.ENSEMBLE_METHOD!r}. {hint}")
        )
    if cfg.DATA.MULTI_LABEL and cfg.DATA.TRAIN_VIDEOS_PER_CLASS and cfg.TRAIN.ENABLE:
        got = cfg.DATA.TRAIN_VIDEOS_PER_CLASS
        message = f"got {got}, but with DATA.MULTI_LABEL videos have several classes; use 0."
        problems.append(Problem("DATA.TRAIN_VIDEOS_PER_CLASS", message))
    return problems


@register_check
def check_demo(cfg: CfgNode) -> list[Problem]:
    """Find uses of the demo set that are almost certainly mistakes.

    Returns:
        A problem if the demo set would be used by several processes or resume from a checkpoint of
        real data, or if training on real data would resume from a checkpoint of the demo set.
    """
    output_dir = Path(cfg.OUTPUT_DIR)
    last = find_last_checkpoint(output_dir, cfg.TASK) if cfg.TRAIN.ENABLE else None
    was_demo = _was_demo(last) if last else None
    if not is_demo(cfg.DATA):
        if not was_demo:
            return []
        message = f"{output_dir} holds checkpoints of a demo run; choose another folder."
        return [Problem("OUTPUT_DIR", message)]
    problems = []
    processes = num_local_processes(cfg.NUM_GPUS, cfg.NUM_CPU_PROCESSES) * cfg.NUM_SHARDS
    processes = max(processes, cfg.NUM_GPUS, int(os.environ.get("WORLD_SIZE", "1")))
    if processes > 1:
        message = (
            f"is empty, which would start the built-in demo set on {processes} processes. Set it "
            "to the folder of your data, or run the demo on one process (NUM_GPUS 0)."
        )
        problems.append(Problem("DATA.PATH_TO_DATA_DIR", message))
    if was_demo is False:
        message = (
            f"{output_dir} holds checkpoints of training on real data, and DATA.PATH_TO_DATA_DIR "
            "is empty: training would resume on the built-in demo set. Set "
            "DATA.PATH_TO_DATA_DIR to your data, or choose another folder."
        )
        problems.append(Problem("OUTPUT_DIR", message))
    return problems


def _was_demo(checkpoint: Path) -> bool:
    """Return whether a checkpoint was saved by a run on the demo set."""
    cfg = yaml.safe_load(str(read_checkpoint_file(checkpoint).get("cfg", "")))
    return isinstance(cfg, dict) and is_demo(cfg.get("DATA", {}))
