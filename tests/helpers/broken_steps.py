"""Steps of the trainer whose loss or gradient is not finite."""

import contextlib
from unittest import mock

import torch

from slowfast.engine.precision import Precision, clear_gradients_unless
from slowfast.engine.step import TrainingStep


@contextlib.contextmanager
def broken(steps, kind="loss", *, is_here=lambda: True):
    """Break steps: the frames, or a gradient of finite outputs, are multiplied by a value.

    ``steps`` is a dict of step, from 0, to value; ``is_here`` says whether this process breaks.
    """
    take = TrainingStep.take

    def breaking(self, batches, progress):
        if progress.step not in steps or not is_here():
            return take(self, batches, progress)
        value = steps[progress.step]
        if kind == "gradient":
            weight = next(p for p in self.model.parameters() if p.requires_grad)
            with contextlib.closing(_Hook(weight, value)):
                return take(self, batches, progress)
        prepare = self.prepare

        def with_broken_frames(loaded):
            batch = prepare(loaded)
            return {**batch, "video": batch["video"] * value}

        with mock.patch.object(self, "prepare", with_broken_frames):
            return take(self, batches, progress)

    with mock.patch.object(TrainingStep, "take", breaking):
        yield


class _Hook:
    def __init__(self, weight, value):
        self.close = weight.register_hook(lambda gradient: gradient * value).remove


def steps_as_on_a_gpu():
    """Let the host not know whether a step is skipped."""

    def step(self, optimizer, is_finite):
        clear_gradients_unless(is_finite, optimizer)
        optimizer.step()
        return is_finite

    return mock.patch.object(Precision, "step", step)


def differing(before, after):
    """Name the tensors of two state dicts that differ."""
    assert before.keys() == after.keys()
    return [name for name, value in before.items() if not torch.equal(value, after[name])]
