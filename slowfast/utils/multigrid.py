"""The multigrid schedule: clip shape, batch size and learning rate of each epoch (Wu et al., 2020).

The long cycle trains in stages: many short, small clips first, the full clips of the configuration
last, in each step of the learning rate. The short cycle varies the crop from step to step. Numbers
are those of PySlowFast's ``MultigridSchedule``. The schedule is a pure function of the
configuration; the sampler, the datasets and the training loop ask it.

Legend: T frames, S side of the crop in pixels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from slowfast.config import CfgNode, ConfigValueError

__all__ = ["BatchShape", "ClipShape", "MultigridSchedule", "Stage", "at_shape"]


class ClipShape(NamedTuple):
    """Shape of a training clip.

    Attributes:
        num_frames: T.
        crop_size: S.
    """

    num_frames: int
    crop_size: int


class BatchShape(NamedTuple):
    """Shape of a batch.

    Attributes:
        scale: Number of samples relative to TRAIN.BATCH_SIZE.
        clip: Shape of a clip; None: that of the configuration.
    """

    scale: int
    clip: ClipShape | None


class Stage(NamedTuple):
    """Epochs of the long cycle that have the same shape.

    Attributes:
        step: Index in SOLVER.STEPS.
        scale: Number of samples of a batch relative to TRAIN.BATCH_SIZE.
        clip: Shape of a clip.
        end: The epoch after the last one.
    """

    step: int
    scale: int
    clip: ClipShape
    end: int


@dataclass(frozen=True, kw_only=True)
class MultigridSchedule:
    """Shapes, learning rate steps and evaluation epochs of a training.

    Attributes:
        clip: The full clip: DATA.NUM_FRAMES, DATA.TRAIN_CROP_SIZE.
        steps: SOLVER.STEPS, without multigrid.
        max_epoch: SOLVER.MAX_EPOCH, without multigrid.
        gamma: SOLVER.GAMMA.
        long_factors: Factors on T and S of each stage; empty: no long cycle.
        short_factors: Factors on the full S in the short cycle; empty: no short cycle.
        epoch_factor: MULTIGRID.EPOCH_FACTOR.
        bn_base_size: MULTIGRID.BN_BASE_SIZE.
        eval_freq: MULTIGRID.EVAL_FREQ.
    """

    clip: ClipShape
    steps: tuple[int, ...]
    max_epoch: int
    gamma: float = 0.1
    long_factors: tuple[tuple[float, float], ...] = ()
    short_factors: tuple[float, ...] = ()
    epoch_factor: float = 1.5
    bn_base_size: int = 8
    eval_freq: int = 3

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> MultigridSchedule:
        """Read the schedule.

        Args:
            cfg: The configuration as it was loaded, not the result of ``resolve``.

        Returns:
            The schedule; if both cycles are off, one of constant shape.

        Raises:
            ConfigValueError: If the configuration is that of a run, which is rescaled already.
        """
        multigrid = cfg.MULTIGRID
        if multigrid.DEFAULT_B:
            raise ConfigValueError(
                "MULTIGRID.DEFAULT_B",
                f"got {multigrid.DEFAULT_B}, expected 0: this configuration is that of a run, with "
                "rescaled SOLVER.STEPS. Use the one that the run was started with (config.yaml).",
            )
        return cls(
            clip=ClipShape(cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE),
            steps=tuple(cfg.SOLVER.STEPS),
            max_epoch=cfg.SOLVER.MAX_EPOCH,
            gamma=cfg.SOLVER.GAMMA,
            long_factors=tuple((t, s) for t, s in multigrid.LONG_CYCLE_FACTORS)
            if multigrid.LONG_CYCLE
            else (),
            short_factors=tuple(multigrid.SHORT_CYCLE_FACTORS) if multigrid.SHORT_CYCLE else (),
            epoch_factor=multigrid.EPOCH_FACTOR,
            bn_base_size=multigrid.BN_BASE_SIZE,
            eval_freq=multigrid.EVAL_FREQ,
        )

    @property
    def is_on(self) -> bool:
        """Whether a cycle is on."""
        return bool(self.long_factors or self.short_factors)

    @functools.cached_property
    def stages(self) -> list[Stage]:
        """The stages of the long cycle, in order; empty without it.

        A stage has a share of its step's epochs in proportion to its mean batch, so that all stages
        of a step have as many iterations. The last stage, after the last of ``steps``, has full
        clips, and the same saving of iterations.
        """
        if not self.long_factors:
            return []
        shapes = [self.base_shape(*factors) for factors in self.long_factors]
        means = [self._mean_scale(clip) for _, clip in shapes]
        parts = [
            (step, shape, (last - first) * mean / sum(means))
            for step, (first, last) in enumerate(pairwise(self.steps))
            for shape, mean in zip(shapes, means, strict=True)
        ]
        saving = sum(means) / len(means)
        final = (self.max_epoch - self.steps[-1]) / saving * means[-1]
        parts.append((len(self.steps) - 1, shapes[-1], final))
        stretch = self.max_epoch * self.epoch_factor / sum(epochs for *_, epochs in parts)
        stages, total = [], 0.0
        for step, (scale, clip), epochs in parts:
            total += epochs * stretch
            stages.append(Stage(step, scale, clip, round(total)))
        return stages

    @property
    def starts(self) -> list[int]:
        """The first epoch of each stage; [0] without a long cycle."""
        return [0, *(stage.end for stage in self.stages[:-1])]

    def batches(self, epoch: int) -> tuple[BatchShape, ...]:
        """Return the shapes of consecutive steps of an epoch, which repeat until its end.

        Args:
            epoch: The epoch, from 0.

        Returns:
            At least one shape; that of the stage is the last one.
        """
        if not self.is_on:
            return (BatchShape(1, None),)
        scale, clip = self._base(epoch)
        return (*self.short_cycle(scale, clip), BatchShape(scale, clip))

    def clip_shapes(self) -> set[ClipShape]:
        """Return all shapes of clips in the training; empty if no cycle is on."""
        shapes = {shape.clip for epoch in self.starts for shape in self.batches(epoch)}
        return {clip for clip in shapes if clip is not None}

    def is_due(self, epochs_done: int, period: int) -> bool:
        """Return whether to evaluate, or to save, after an epoch.

        Args:
            epochs_done: Completed epochs.
            period: TRAIN.EVAL_PERIOD or TRAIN.CHECKPOINT_PERIOD; 0: never. In the long cycle
                MULTIGRID.EVAL_FREQ replaces it.

        Returns:
            True if it is due.
        """
        if period <= 0:
            return False
        begin = 0
        for stage in self.stages:
            if epochs_done <= stage.end:
                spacing = (stage.end - begin) // self.eval_freq + 1
                return (stage.end - epochs_done) % spacing == 0
            begin = stage.end
        return epochs_done % period == 0

    def batch_norm(self, epoch: int, batch_size: int) -> tuple[bool, int]:
        """Return which samples share batch norm statistics in the long cycle.

        Args:
            epoch: The epoch, from 0.
            batch_size: Samples of a process in a batch of the configuration.

        Returns:
            Whether to synchronize over processes, and the number of splits of a process's batch:
            the largest divisor of the batch that leaves at least ``bn_base_size`` samples to each.
        """
        rows = batch_size * self._base(epoch)[0]
        most = rows // self.bn_base_size
        splits = max((n for n in range(1, most + 1) if rows % n == 0), default=1)
        return rows < self.bn_base_size, splits

    def resolve(self, cfg: CfgNode) -> CfgNode:
        """Write what the schedule implies into a configuration, as PySlowFast does.

        Args:
            cfg: The configuration that the schedule was read from.

        Returns:
            A copy with the SOLVER.STEPS, LRS and MAX_EPOCH of the training, and with
            MULTIGRID.DEFAULT_B, DEFAULT_T and DEFAULT_S; ``cfg`` itself if no cycle is on.
        """
        if not self.is_on:
            return cfg
        cfg = cfg.clone()
        cfg.defrost()
        solver, multigrid = cfg.SOLVER, cfg.MULTIGRID
        if self.stages:
            ends = [stage.end for stage in self.stages]
            lrs = [self.gamma**stage.step * stage.scale for stage in self.stages]
            # The first half of the last stage continues with the learning rate before it.
            solver.STEPS = [0, *ends[:-1], (ends[-2] + ends[-1]) // 2]
            solver.LRS = [*lrs[:-1], lrs[-2], lrs[-1]]
            solver.MAX_EPOCH = ends[-1]
        else:
            solver.STEPS = [int(step * self.epoch_factor) for step in self.steps]
            solver.MAX_EPOCH = int(self.max_epoch * self.epoch_factor)
        multigrid.DEFAULT_B, (multigrid.DEFAULT_T, multigrid.DEFAULT_S) = (
            cfg.TRAIN.BATCH_SIZE,
            self.clip,
        )
        cfg.freeze()
        return cfg

    def describe(self, epoch: int) -> str:
        """Describe the shapes of an epoch for the log."""
        shapes = self.batches(epoch)
        frames = self._base(epoch)[1].num_frames
        sides = ", ".join(
            f"{shape.scale} x TRAIN.BATCH_SIZE at {shape.clip.crop_size} pixels"
            for shape in shapes
            if shape.clip is not None
        )
        return f"clips of {frames} frames, {sides}"

    def base_shape(self, t_factor: float, s_factor: float) -> tuple[int, ClipShape]:
        """Return scale and clip of a stage: a batch has as many pixels as a full one.

        Args:
            t_factor: Factor on T.
            s_factor: Factor on S.
        """
        clip = ClipShape(
            round(self.clip.num_frames * t_factor), round(self.clip.crop_size * s_factor)
        )
        return self._scale(*clip), clip

    def short_cycle(self, scale: int, base: ClipShape) -> list[BatchShape]:
        """Return the other crops of the short cycle; their batches have as many pixels.

        Args:
            scale: Scale of the stage.
            base: Clip of the stage.
        """
        shapes = []
        for factor in self.short_factors:
            side = factor * self.clip.crop_size
            clip = ClipShape(base.num_frames, round(side))
            shapes.append(BatchShape(scale * round((base.crop_size / side) ** 2), clip))
        return shapes

    def _base(self, epoch: int) -> tuple[int, ClipShape]:
        """Return scale and clip of an epoch's stage."""
        if not self.stages:
            return 1, self.clip
        stage = next((stage for stage in self.stages if epoch < stage.end), self.stages[-1])
        return stage.scale, stage.clip

    def _scale(self, num_frames: int, side: float) -> int:
        full = self.clip.num_frames * self.clip.crop_size**2
        pixels = num_frames * side**2
        return round(full / pixels) if pixels else 0

    def _mean_scale(self, base: ClipShape) -> float:
        """Return the mean batch of a stage relative to the full one, over its short cycle."""
        sides = [self.clip.crop_size * factor for factor in self.short_factors]
        scales = [self._scale(base.num_frames, side) for side in (*sides, base.crop_size)]
        return sum(scales) / len(scales)


def at_shape(cfg: CfgNode, clip: ClipShape) -> CfgNode:
    """Return the configuration of the clips of one shape.

    Smaller crops are taken at smaller scales, too, and clips of fewer frames may be as long as full
    ones: their sampling rate is random, up to MULTIGRID.LONG_CYCLE_SAMPLING_RATE.

    Args:
        cfg: The configuration of the full clip.
        clip: The shape.

    Returns:
        A copy with other values in DATA and MULTIGRID.LONG_CYCLE_SAMPLING_RATE.
    """
    full = ClipShape(cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
    cfg = cfg.clone()
    cfg.defrost()
    data = cfg.DATA
    data.NUM_FRAMES, data.TRAIN_CROP_SIZE = clip
    low, high = data.TRAIN_JITTER_SCALES
    data.TRAIN_JITTER_SCALES = [round(low * clip.crop_size / full.crop_size), high]
    if cfg.MULTIGRID.LONG_CYCLE:
        longest = data.SAMPLING_RATE * (full.num_frames // clip.num_frames)
        cfg.MULTIGRID.LONG_CYCLE_SAMPLING_RATE = longest
    cfg.freeze()
    return cfg
