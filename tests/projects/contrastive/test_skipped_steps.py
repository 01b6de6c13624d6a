"""A step that is not finite leaves no trace in statistics, moving averages, banks and queues."""

import contextlib
import copy
from unittest import mock

import pytest
from helpers.broken_steps import broken, differing, steps_as_on_a_gpu
from projects.contrastive.test_training import AUDIO, METHODS, run, words_of

from slowfast.engine.step import TrainingStep

STICA = (
    "PROJECTS ['stica'] MODEL.MODEL_NAME StiCA MODEL.LOSS_FUNC stica MODEL.POOLING avg "
    "SOLVER.BASE_LR 0.01 MODEL.HEAD stica_projection STICA.WITHIN_WEIGHT 0.0 "
    f"STICA.QUEUE_LEN 5 {AUDIO}"
).split()


def states(folder, words, steps):
    """Train; return buffers with momentum encoders, and trained parameters, after each step."""
    found, take = [], TrainingStep.take

    def taking(self, batches, progress):
        result = take(self, batches, progress)
        trained = {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}
        others = {k: v for k, v in self.model.state_dict().items() if k not in trained}
        trained.pop("prototypes.weight", None)  # SwAV normalizes them before each step
        found.append(copy.deepcopy((others, trained)))
        return result

    with mock.patch.object(TrainingStep, "take", taking):
        run(folder, *words, until=steps)
    return found


STATELESS = {"SimCLR", "GDT", "MMV"}


@pytest.mark.parametrize(
    ("method", "where"),
    [(method, "host") for method in (*METHODS, "StiCA")]
    + [(method, "device") for method in (*METHODS, "StiCA") if method not in STATELESS],
)
def test_a_skipped_step_leaves_no_trace(tmp_path, method, where):
    """The queue of ContrastiveModel is filled first, with gradients that are discarded."""
    words = STICA if method == "StiCA" else words_of(method)
    with contextlib.ExitStack() as stack:
        if where == "device":
            stack.enter_context(steps_as_on_a_gpu())
        stack.enter_context(broken({1: float("nan")}, "loss"))
        stack.enter_context(broken({2: float("inf")}, "gradient"))
        (before, weights), *after_broken = states(tmp_path, words, 3)
    for kind, (after, trained) in zip(("loss", "gradient"), after_broken, strict=True):
        assert differing(before, after) == [], kind
        if where == "host":  # on a GPU an optimizer may step with gradients of zero
            assert differing(weights, trained) == [], kind
