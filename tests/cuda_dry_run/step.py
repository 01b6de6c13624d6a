"""Runs steps of the trainer for a YAML on the pretended GPU.

    python -m cuda_dry_run.step StiCA/R2plus1D_pretrain.yaml [... .yaml] [--ranks 4]
                                [--set KEY VALUE ...]

prints one line of JSON for each YAML: what happened in the last step.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

import slowfast.engine.registrations  # noqa: F401
from cuda_dry_run.pretend import pretend_cuda
from cuda_dry_run.watch import Watch, watched
from slowfast.config import CfgNode, load_config
from slowfast.datasets.loader import samples_per_batch
from slowfast.datasets.views.sample_views import sample_shapes
from slowfast.engine import trainer as trainer_module
from slowfast.engine.trainer import Trainer
from slowfast.utils import distributed

STEPS = 2  # the first one may fill caches
SETTINGS = (
    *("DATA.PATH_TO_DATA_DIR", "unused", "LOG_MODEL_INFO", False, "TRAIN.AUTO_RESUME", False),
    *("TRAIN.CHECKPOINT_FILE_PATH", "", "LOG_PERIOD", 1000, "NUM_GPUS", 1, "NUM_SHARDS", 1),
    *("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_PRECISION_DTYPE", "bf16"),
    *("TENSORBOARD.ENABLE", False, "TRAIN.BATCH_SIZE", 8),
)


class Batches:
    """In the place of the data loader: batches of an epoch that never ends."""

    manifest = None
    num_files = 5000

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg
        self.dataset = self
        self.batches = SimpleNamespace(steps_in=lambda _: 100, steps_before=lambda _: 0)

    def __len__(self) -> int:
        return self.num_files

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while True:
            yield collated(self.cfg)


def collated(cfg: CfgNode) -> dict[str, Tensor]:
    """Make a batch as the data loader returns it: on the CPU, frames of uint8, waveforms."""
    size = samples_per_batch(cfg)
    numbers = torch.tensor(range(size))
    batch = {"label": numbers % 2, "index": numbers, "aug_seed": torch.tensor(range(size))}
    if cfg.DATA.MULTI_LABEL:
        batch["label"] = torch.zeros(size, cfg.MODEL.NUM_CLASSES)
    for field, (views, *shape) in (sample_shapes(cfg) or {}).items():
        if field == "audio":
            samples = round(cfg.AUDIO.CLIP_SEC * cfg.AUDIO.SAMPLE_RATE)
            batch["audio"] = torch.zeros(size, views, samples)
            batch["audio_valid"] = torch.ones(size, views, dtype=torch.bool)
        elif shape:
            frames, side = shape
            batch[field] = torch.zeros(size, views, frames, side, side, 3, dtype=torch.uint8)
        else:
            batch[field] = torch.zeros(size, views, dtype=torch.int64)
    return batch


def with_values(name: str) -> Any:
    """Let a constructor that the trainer calls make tensors with values, which it may read."""
    construct = getattr(trainer_module, name)

    def really(*args: Any, **kwargs: Any) -> nn.Module:
        with unset_fake_temporarily():
            return construct(*args, **kwargs)

    return mock.patch.object(trainer_module, name, really)


def dry_run(name: str, watch: Watch, words: tuple[Any, ...] = (), ranks: int = 1) -> dict[str, Any]:
    """Run steps of a YAML.

    Args:
        name: The YAML, below configs/.
        watch: Sees every step.
        words: KEY VALUE ..., after ``SETTINGS``.
        ranks: Processes that this one pretends to have; each gets the same rows.

    Returns:
        ``events`` [kind, operator, place, count] and ``launched`` operators of the last step, and
        ``seconds``.
    """
    began = time.perf_counter()
    device = torch.device("cuda", 0)
    with (
        tempfile.TemporaryDirectory() as folder,
        with_values("construct_model"),
        with_values("build_preprocess"),
        mock.patch.object(trainer_module, "construct_train_loader", Batches),
        mock.patch.object(trainer_module, "distribute", lambda model, _: model),
        mock.patch.object(distributed, "world_size", return_value=ranks),
        mock.patch.object(distributed, "_all_gather", lambda x: torch.cat([x] * ranks)),
        mock.patch.object(distributed, "all_reduce_sum", lambda x: x.detach() * ranks),
        mock.patch.object(distributed, "gather_objects", lambda item: [item] * ranks),
        FakeTensorMode(allow_non_fake_inputs=True),
    ):
        words = (*SETTINGS, "OUTPUT_DIR", folder, *words)
        cfg = load_config(name, [str(word) for word in words], validate=False).cfg
        trainer = Trainer(cfg, device)
        trainer.model.forward = watched(watch, trainer.model.forward)
        trainer.step.criterion = watched(watch, trainer.step.criterion)
        trainer.model.train()
        trainer.recorder.start_epoch(0, trainer.steps_per_epoch)
        batches = iter(trainer.loader)
        for _ in range(STEPS):
            watch.events.clear()
            watch.launched.clear()
            trainer.recorder.start_iteration()
            with watch:
                losses, rows = trainer.step.take(batches, trainer.progress())
                trainer.iteration += 1
                trainer.recorder.end_iteration(0, trainer.iteration, losses, 0.1, rows)
    return {
        "name": name,
        "events": [[*event, count] for event, count in sorted(watch.events.items())],
        "launched": dict(watch.launched),
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    """Print the result of each YAML as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[])
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    pretend_cuda()
    for name in options.names:
        watch = Watch()
        try:
            result = dry_run(name, watch, tuple(options.set), options.ranks)
        except Exception:
            events = [[*event, count] for event, count in sorted(watch.events.items())]
            result = {"name": name, "error": traceback.format_exc(), "events": events}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
    # A thread of torch's autograd engine, for the pretended GPU, may still free objects, which
    # aborts the process if the interpreter ends meanwhile.
    os._exit(0)


if __name__ == "__main__":
    main()
