"""Augmentation of classifiers, in training only: RandAugment, random erasing, mixup and cutmix."""

from fvcore.common.config import CfgNode


def add_config(cfg: CfgNode) -> None:
    """Add AUG and MIXUP.

    Args:
        cfg: The tree to add to.
    """
    _add_aug(cfg)
    _add_mixup(cfg)


def _add_aug(cfg: CfgNode) -> None:
    cfg.AUG = CfgNode()
    # Apply AA_TYPE (or COLOR_JITTER) and random erasing to training clips, the same to all frames.
    cfg.AUG.ENABLE = False
    # Clips in a batch for each of its TRAIN.BATCH_SIZE videos: the same frames, augmented
    # independently (repeated augmentation). Learning rates do not scale with it. Acts without
    # AUG.ENABLE, too.
    cfg.AUG.NUM_SAMPLE = 1
    # RandAugment: "rand" and options, separated by dashes. m: magnitude, 0 to 10 (10 if missing);
    # n: number of operations (2), each applied with probability 0.5; mstd: standard deviation of
    # the magnitude (0); inc1: operations get stronger with the magnitude; w0: choose operations
    # with timm's weights, without repetition. Empty: none.
    cfg.AUG.AA_TYPE = "rand-m9-mstd0.5-inc1"
    # Largest relative change of brightness, contrast and saturation; only if AA_TYPE is empty and
    # DATA.SSL_COLOR_JITTER is False. None or 0: none.
    cfg.AUG.COLOR_JITTER = 0.4
    # Interpolation of rotation, shear and translation: "bilinear", "bicubic", or "random" for one
    # of the two per operation.
    cfg.AUG.INTERPOLATION = "bicubic"
    # Probability that random erasing replaces a box of the crop, in all frames of a clip.
    cfg.AUG.RE_PROB = 0.25
    # Content of the box: "const" (DATA.MEAN), "rand" (one random color) or "pixel" (noise), with
    # mean DATA.MEAN and standard deviation DATA.STD. The same for all frames.
    cfg.AUG.RE_MODE = "pixel"
    # Largest number of boxes; the number is sampled from 1 to RE_COUNT and divides their area.
    cfg.AUG.RE_COUNT = 1
    # Leave the first of the NUM_SAMPLE clips of a video without random erasing.
    cfg.AUG.RE_SPLIT = False


def _add_mixup(cfg: CfgNode) -> None:
    cfg.MIXUP = CfgNode()
    # Mix each batch with itself in reverse order, by mixup or cutmix, and smooth its labels.
    cfg.MIXUP.ENABLE = False
    # The share of a clip is sampled from Beta(ALPHA, ALPHA) in mixup, and from
    # Beta(CUTMIX_ALPHA, CUTMIX_ALPHA) in cutmix. 0: without mixup, or without cutmix.
    cfg.MIXUP.ALPHA = 0.8
    cfg.MIXUP.CUTMIX_ALPHA = 1.0
    # Probability that a batch is mixed. Labels are smoothed in any case.
    cfg.MIXUP.PROB = 1.0
    # Probability of cutmix for a mixed batch, if both are in use.
    cfg.MIXUP.SWITCH_PROB = 0.5
    # Label smoothing: this share of a label is spread evenly over all classes.
    cfg.MIXUP.LABEL_SMOOTH_VALUE = 0.1
