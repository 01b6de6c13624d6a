"""The sentence about the bottleneck, on synthetic logs."""

import re

import pytest
from helpers.runs import train_records

from slowfast.config import get_cfg
from slowfast.config.load import flatten
from slowfast.visualization.report.bottleneck import Timing, explain, measure


def config(**keys):
    values = flatten(get_cfg())
    return values | {key.replace("__", "."): value for key, value in keys.items()}


def sentence(wait, copy=0.0, *, on_gpu=True, cores=16, processes=1, **keys):
    found = explain(
        Timing(1.0, wait, copy, 64.0),
        config(**keys),
        on_gpu=on_gpu,
        cores=cores,
        processes=processes,
    )
    known = flatten(get_cfg())
    for key in re.findall(r"\b[A-Z_]+\.[A-Z_]+|\bNUM_GPUS\b", found.sentence):
        assert key in known, key
    for key, value in found.changes.items():
        assert key in found.sentence
        assert str(value) in found.sentence
        assert "auto" in (value, known[key]) or type(value) is type(known[key])
    return found.kind, found.sentence


@pytest.mark.parametrize(
    ("keys", "cure"),
    [
        ({"DATA_LOADER__NUM_WORKERS": 0}, "Set DATA_LOADER.NUM_WORKERS to 16; it is 0"),
        (
            {"DATA_LOADER__NUM_WORKERS": 2},
            "Raise DATA_LOADER.NUM_WORKERS from 2 to 16: the machine has 16 cores for 1 training "
            "process.",
        ),
        (
            {"DATA_LOADER__NUM_WORKERS": 16, "DATA__DECODING_SHORT_SIZE": 0},
            "Set DATA.DECODING_SHORT_SIZE to 320, what the crops need; it decodes frames at full",
        ),
        (
            {"DATA_LOADER__NUM_WORKERS": 16, "DATA__DECODING_SHORT_SIZE": 720},
            "Set DATA.DECODING_SHORT_SIZE to 320, what the crops need; it is 720.",
        ),
        (
            {"DATA_LOADER__NUM_WORKERS": 16},
            "slowfast prepare. For a small dataset, set DATA_LOADER.CACHE_DECODED True.",
        ),
        (
            {"DATA_LOADER__NUM_WORKERS": 16, "DATA_LOADER__CACHE_DECODED": True},
            "slowfast prepare, or use more CPU cores (DATA_LOADER.NUM_WORKERS is 16).",
        ),
    ],
)
def test_loader(keys, cure):
    kind, text = sentence(0.62, **keys)
    assert kind == "loader"
    assert text.startswith("The data loader is the bottleneck: 62 % of the time is spent waiting")
    assert cure in text


def test_no_more_workers_than_the_model_needs():
    def text(needed, **keys):
        timing = Timing(1.0, 0.5, 0.0, 64.0)
        settings = {"on_gpu": True, "cores": 16, "processes": 1, "needed_workers": needed}
        found = explain(timing, config(**keys), **settings)
        return found.sentence, found.changes

    assert text(5, DATA_LOADER__NUM_WORKERS=2)[1] == {"DATA_LOADER.NUM_WORKERS": 5}
    assert text(40, DATA_LOADER__NUM_WORKERS=2)[1] == {"DATA_LOADER.NUM_WORKERS": 16}
    sentence, changes = text(3, DATA_LOADER__NUM_WORKERS=4)  # more workers do not help
    assert "slowfast prepare" in sentence
    assert changes == {"DATA_LOADER.CACHE_DECODED": True}
    # -1 is 15 of the 16 cores.
    assert text(None, DATA_LOADER__NUM_WORKERS=-1)[1] == {"DATA_LOADER.NUM_WORKERS": 16}


def test_cores_are_shared_by_the_processes_of_a_machine():
    _, text = sentence(0.5, processes=4, DATA_LOADER__NUM_WORKERS=2)
    assert "from 2 to 4: the machine has 16 cores for 4 training processes." in text
    _, text = sentence(0.5, cores=None, DATA_LOADER__NUM_WORKERS=0)
    assert "Set DATA_LOADER.NUM_WORKERS to 4" in text


@pytest.mark.parametrize(
    ("keys", "on_gpu", "cure"),
    [
        ({}, False, "It runs on the CPU: set NUM_GPUS to use a GPU."),
        ({}, False, "Without one, try TRAIN.MIXED_PRECISION auto, or lower DATA.TRAIN_CROP_SIZE"),
        ({"TRAIN__MIXED_PRECISION": "auto"}, False, "Without one, lower DATA.TRAIN_CROP_SIZE"),
        ({}, True, "Set TRAIN.MIXED_PRECISION True."),
        (
            {"TRAIN__MIXED_PRECISION": True, "MODEL__CHANNELS_LAST": False},
            True,
            "Try MODEL.CHANNELS_LAST True.",
        ),
        ({"TRAIN__MIXED_PRECISION": True}, True, "raise TRAIN.BATCH_SIZE (64)"),
        (
            {"TRAIN__MIXED_PRECISION": True, "MODEL__CHANNELS_LAST": True},
            True,
            "raise TRAIN.BATCH_SIZE (64)",
        ),
        ({"MODEL__ACT_CHECKPOINT": True}, True, "MODEL.ACT_CHECKPOINT computes activations twice"),
        ({"SOLVER__GRAD_CACHE_CHUNK": 8}, True, "SOLVER.GRAD_CACHE_CHUNK 8 embeds each clip twice"),
    ],
)
def test_compute(keys, on_gpu, cure):
    kind, text = sentence(0.03, 0.02, on_gpu=on_gpu, **keys)
    assert kind == "compute"
    assert "95 % of the time (0.95 s of each iteration) is computation" in text
    assert "3 % of the time is spent waiting for data" in text
    assert cure in text


def test_copy():
    kind, text = sentence(0.05, 0.4, DATA_LOADER__PIN_MEMORY=False)
    assert kind == "copy"
    assert "take 40 % of the time. Set DATA_LOADER.PIN_MEMORY True." in text
    assert "DATA.TRAIN_CROP_SIZE (224)" in sentence(0.05, 0.4)[1]


def test_nothing_alone():
    kind, text = sentence(0.2)
    assert kind == "none"
    assert "A faster loader can save at most 20 %." in text


def test_shares_are_of_wall_clock_time_and_the_first_record_is_warm_up():
    records = [r for r in train_records(wait=0.6, copy=0.1) if r["_type"] == "train_iter"]
    records[0] |= {"dt": 100.0, "share_wait": 0.0}
    records[1] |= {"dt": 14.0, "share_wait": 0.2, "share_copy": 0.3}  # as long as the other 28
    timing = measure(records, config())
    assert timing.wait == pytest.approx(0.4)
    assert timing.copy == pytest.approx(0.2)
    assert timing.compute == pytest.approx(0.4)
    assert timing.iteration == 0.5
    assert timing.samples_per_sec == 64 / 0.5


def test_logs_of_earlier_versions_have_medians_only():
    records = [
        {k: v for k, v in r.items() if not k.startswith("share_")}
        for r in train_records(wait=0.3, copy=0.1)
        if r["_type"] == "train_iter"
    ]
    timing = measure(records, config(MULTIGRID__LONG_CYCLE=True))
    assert timing.copy is None
    assert timing.wait == pytest.approx(0.4)
    assert timing.samples_per_sec is None  # the batch size changes
    assert measure([], config()) is None
