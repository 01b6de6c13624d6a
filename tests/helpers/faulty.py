"""A project whose dataset fails on one rank, as FAULT_RANK and FAULT_KIND in the environment say.

Imported as ``PROJECTS ['helpers.faulty']``; the dataset is ``faulty``, ``synthetic`` otherwise.
"""

import os
import time

from helpers.synthetic import Synthetic, synthetic

from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.utils import distributed

EPOCH = 1


class Faulty(Synthetic):
    """Noise, until the second epoch."""

    def __getitem__(self, key):
        kind = os.environ.get("FAULT_KIND", "")
        if kind and key[0] == EPOCH and distributed.rank() == int(os.environ["FAULT_RANK"]):
            if kind == "stuck":
                time.sleep(3600)
            if kind == "diverged":
                distributed.gather_objects("one collective more than the others")
            if kind == "error":
                raise ValueError("an error of one rank")
        return super().__getitem__(key)


def faulty(cfg, split):
    dataset = synthetic(cfg, split)
    if split == "train":
        dataset.__class__ = Faulty
        # Data that differs between machines.
        dataset.length += int(os.environ.get("FAULT_ROWS", "0"))
    return dataset


def add_config(cfg):
    """Make this module a project."""


if "faulty" not in DATASET_REGISTRY:
    DATASET_REGISTRY.register(faulty)
