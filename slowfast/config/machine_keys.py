"""Groups of keys: of the machine and its paths, which do not affect a result; of training."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["changes_training", "is_machine_key", "is_path_key", "is_training_key"]

_MACHINE = (
    *("NUM_*", "SHARD_ID", "DIST*", "DATA_LOADER.*", "TENSORBOARD.*", "REPORT.*", "*LOG_*"),
    *("DEVICE.*", "TRAIN.CHECKPOINT_PERIOD_*", "TRAIN.CHECKPOINT_KEEP_*"),
)
_PATHS = ("*_DIR", "*.PATH_PREFIX", "*FILE_PATH", "*.SAVE_RESULTS_PATH", "*.PATH_TO_*")
_TRAINING = (
    *("SOLVER.*", "AUG.*", "MIXUP.*", "MULTIGRID.*", "AUDIO.SPECAUG.*", "AUDIO.VOLUME_JITTER"),
    *("TRAIN.DATASET", "TRAIN.BATCH_SIZE", "TRAIN.EVAL_*", "TRAIN.AUTO_RESUME", "TRAIN.MAX_STEPS"),
    *("TRAIN.CHECKPOINT_PERIOD", "TRAIN.CHECKPOINT_EPOCH_RESET", "TRAIN.KILL_*"),
    *("DATA.TRAIN_*", "DATA.RANDOM_FLIP", "DATA.SSL_*", "DATA.COLOR_RND_GRAYSCALE"),
    *("DATA.TIME_DIFF_PROB", "MODEL.LOSS_FUNC", "MODEL.FP16_ALLREDUCE"),
)
_NOT_OF_TRAINING = (
    *("TEST.*", "PROBE.*", "TRAIN.*", "DATA.TEST_*", "TASK", "PROJECTS", "OUTPUT_DIR"),
)
_BUT_OF_TRAINING = ("TRAIN.DATASET", "TRAIN.BATCH_SIZE", "TRAIN.MIXED_PRECISION")
# A network may be built for the crop of training, and a single test crop has its scale.
_ALSO_TESTING = ("DATA.TRAIN_CROP_SIZE", "DATA.TRAIN_JITTER_SCALES")


def is_machine_key(key: str) -> bool:
    """Return whether a key is about processes, devices, data loading or logging.

    Args:
        key: A dotted key.

    Returns:
        Whether the result of a run does not depend on the value, but for rounding.
    """
    return any(fnmatchcase(key, pattern) for pattern in _MACHINE)


def is_path_key(key: str) -> bool:
    """Return whether a key is a path, which may differ between machines.

    Args:
        key: A dotted key.

    Returns:
        Whether the value is a path.
    """
    return any(fnmatchcase(key, pattern) for pattern in _PATHS)


def is_training_key(key: str) -> bool:
    """Return whether only training reads a key.

    Args:
        key: A dotted key.

    Returns:
        Whether a run without TRAIN.ENABLE does not depend on the value.
    """
    return key not in _ALSO_TESTING and any(fnmatchcase(key, pattern) for pattern in _TRAINING)


def changes_training(key: str) -> bool:
    """Return whether a training depends on a key, as far as a key alone can tell.

    Args:
        key: A dotted key.

    Returns:
        False for keys of the machine, of paths, of tests, and of when to evaluate and save.
    """
    is_free = any(fnmatchcase(key, pattern) for pattern in _NOT_OF_TRAINING)
    is_free = is_free and key not in _BUT_OF_TRAINING
    return not (is_free or is_machine_key(key) or is_path_key(key))
