"""The multigrid schedule against its reference, for PySlowFast's three YAMLs and random ones."""

import random

import pytest
from reference import multigrid as reference

from slowfast.config import ConfigValueError, get_cfg
from slowfast.utils.lr_policy import get_lr_at_epoch
from slowfast.utils.multigrid import BatchShape, ClipShape, MultigridSchedule, at_shape

# What PySlowFast's YAMLs of these names set.
KINETICS = {
    "TRAIN.BATCH_SIZE": 64,
    "DATA.NUM_FRAMES": 32,
    "SOLVER.STEPS": [0, 94, 154, 196],
    "SOLVER.MAX_EPOCH": 239,
    "SOLVER.BASE_LR": 0.1,
    "SOLVER.WARMUP_EPOCHS": 34.0,
    "SOLVER.WARMUP_START_LR": 0.01,
}
SSV2 = {
    "TRAIN.BATCH_SIZE": 16,
    "DATA.NUM_FRAMES": 64,
    "SOLVER.STEPS": [0, 14, 18],
    "SOLVER.MAX_EPOCH": 22,
    "SOLVER.BASE_LR": 0.03,
    "SOLVER.WARMUP_EPOCHS": 0.19,
    "SOLVER.WARMUP_START_LR": 0.0001,
}
CHARADES = {
    **SSV2,
    "SOLVER.STEPS": [0, 41, 49],
    "SOLVER.MAX_EPOCH": 57,
    "SOLVER.BASE_LR": 0.0375,
    "SOLVER.WARMUP_EPOCHS": 4.0,
}
YAMLS = {"kinetics": KINETICS, "ssv2": SSV2, "charades": CHARADES}
LRS = [1, 0.1, 0.01, 0.001, 0.0001, 0.00001]
BOTH = {"MULTIGRID.LONG_CYCLE": True, "MULTIGRID.SHORT_CYCLE": True}


def make_cfg(values):
    cfg = get_cfg()
    policy = {"SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.LRS": LRS}
    cfg.merge_from_list([word for item in ({**policy, **values}).items() for word in item])
    return cfg


def reference_of(cfg):
    short = cfg.MULTIGRID.SHORT_CYCLE_FACTORS if cfg.MULTIGRID.SHORT_CYCLE else []
    return reference.stages_of(
        cfg.DATA.NUM_FRAMES,
        cfg.DATA.TRAIN_CROP_SIZE,
        cfg.SOLVER.STEPS,
        cfg.SOLVER.MAX_EPOCH,
        cfg.MULTIGRID.LONG_CYCLE_FACTORS,
        short,
        cfg.MULTIGRID.EPOCH_FACTOR,
    )


def compare(cfg):
    """Compare every epoch; return the table of stages: epochs, B, T, S, lr."""
    schedule, rows = MultigridSchedule.from_cfg(cfg), reference_of(cfg)
    resolved = schedule.resolve(cfg)
    found = [[s.step, s.scale, *s.clip, s.end] for s in schedule.stages]
    assert found == rows
    assert rows[-1][-1] == resolved.SOLVER.MAX_EPOCH
    solver, table, begin = cfg.SOLVER, [], 0
    for number, (_, batch, frames, side, end) in enumerate(rows):
        for epoch in range(begin, end):
            *_, base = schedule.batches(epoch)
            assert base == BatchShape(batch, ClipShape(frames, side))
            sizes = [shape.scale for shape in schedule.batches(epoch)]
            factors = schedule.short_factors
            assert sizes == reference.batch_sizes(batch, side, cfg.DATA.TRAIN_CROP_SIZE, factors)
            is_last = number == len(rows) - 1 and epoch == end - 1
            due = schedule.is_due(epoch + 1, 10) or is_last
            assert due == reference.evaluates(rows, epoch, cfg.MULTIGRID.EVAL_FREQ)
            for at in (epoch, epoch + 0.5):
                wanted = reference.lr_of(
                    rows,
                    solver.GAMMA,
                    solver.BASE_LR,
                    at,
                    solver.WARMUP_EPOCHS,
                    solver.WARMUP_START_LR,
                )
                assert get_lr_at_epoch(resolved, at) == pytest.approx(wanted, rel=1e-12)
        batch_size = batch * cfg.TRAIN.BATCH_SIZE
        table.append((begin, end, batch_size, frames, side, resolved.SOLVER.LRS[number]))
        begin = end
    return table


@pytest.mark.parametrize("name", YAMLS)
@pytest.mark.parametrize("short", [True, False])
def test_it_equals_the_reference(name, short):
    compare(make_cfg({**YAMLS[name], **BOTH, "MULTIGRID.SHORT_CYCLE": short}))


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_the_reference_for_any_other_setting(seed):
    rng = random.Random(seed)
    steps = [0, *sorted(rng.sample(range(3, 60), rng.randint(1, 4)))]
    values = {
        "DATA.NUM_FRAMES": rng.choice([8, 16, 30, 32]),
        "DATA.TRAIN_CROP_SIZE": rng.choice([112, 160, 224]),
        "SOLVER.STEPS": steps,
        "SOLVER.MAX_EPOCH": steps[-1] + rng.randint(1, 20),
        "SOLVER.GAMMA": rng.choice([0.1, 0.5]),
        "MULTIGRID.EPOCH_FACTOR": rng.choice([0.7, 1.0, 1.5, 2.0]),
        "MULTIGRID.EVAL_FREQ": rng.randint(1, 5),
        "MULTIGRID.LONG_CYCLE_FACTORS": [[0.25, 0.7], [0.5, 0.8], [1, 1]][rng.randint(0, 1) :],
        "MULTIGRID.SHORT_CYCLE_FACTORS": [0.4, 0.6],
    }
    compare(make_cfg({**BOTH, **values}))


# First epoch, end, B, T, S, learning rate relative to BASE_LR.
KINETICS_TABLE = [
    (0, 73, 512, 8, 158, 8),
    (73, 110, 256, 16, 158, 4),
    (110, 142, 128, 16, 224, 2),
    (142, 158, 64, 32, 224, 1),
    (158, 205, 512, 8, 158, 0.8),
    (205, 228, 256, 16, 158, 0.4),
    (228, 248, 128, 16, 224, 0.2),
    (248, 259, 64, 32, 224, 0.1),
    (259, 291, 512, 8, 158, 0.08),
    (291, 308, 256, 16, 158, 0.04),
    (308, 322, 128, 16, 224, 0.02),
    (322, 329, 64, 32, 224, 0.01),
    (329, 358, 64, 32, 224, 0.01),  # 0.001 in its second half
]


def test_the_table_of_the_kinetics_yaml():
    cfg = make_cfg({**KINETICS, **BOTH})
    for row, wanted in zip(compare(cfg), KINETICS_TABLE, strict=True):
        assert row == pytest.approx(wanted)
    resolved = MultigridSchedule.from_cfg(cfg).resolve(cfg)
    multigrid = resolved.MULTIGRID
    assert (multigrid.DEFAULT_B, multigrid.DEFAULT_T, multigrid.DEFAULT_S) == (64, 32, 224)
    assert (resolved.SOLVER.STEPS[-1], resolved.SOLVER.MAX_EPOCH) == (343, 358)
    assert resolved.SOLVER.LRS[-2:] == pytest.approx([0.01, 0.001])


def test_the_short_cycle_alone_stretches_the_epochs():
    cfg = make_cfg({**SSV2, "MULTIGRID.SHORT_CYCLE": True})
    schedule = MultigridSchedule.from_cfg(cfg)
    resolved = schedule.resolve(cfg)
    assert (resolved.SOLVER.STEPS, resolved.SOLVER.MAX_EPOCH) == ([0, 21, 27], 33)
    assert resolved.SOLVER.LRS == LRS
    assert [(shape.scale, shape.clip.crop_size) for shape in schedule.batches(0)] == [
        (4, 112),
        (2, 158),
        (1, 224),
    ]
    assert [schedule.is_due(done, 2) for done in (1, 2, 3, 4)] == [False, True, False, True]


def test_without_multigrid_nothing_changes():
    cfg = make_cfg(SSV2)
    schedule = MultigridSchedule.from_cfg(cfg)
    assert schedule.resolve(cfg) is cfg
    assert schedule.batches(3) == (BatchShape(1, None),)
    assert schedule.clip_shapes() == set()
    assert [schedule.is_due(done, 2) for done in (1, 2)] == [False, True]
    assert not schedule.is_due(2, 0)


@pytest.mark.parametrize(
    ("per_process", "expected"),
    [(8, [(False, 8), (False, 4), (False, 2), (False, 1)]), (2, [(False, 2), (False, 1)])],
)
def test_batch_norm_sees_the_same_number_of_samples(per_process, expected):
    schedule = MultigridSchedule.from_cfg(make_cfg({**KINETICS, **BOTH}))
    starts = [0, *(stage.end for stage in schedule.stages)]
    found = [schedule.batch_norm(epoch, per_process) for epoch in starts]
    assert found[: len(expected)] == expected
    if per_process == 2:
        assert found[2:4] == [(True, 1), (True, 1)]  # 4 and 2 samples


def test_splits_divide_the_batch():
    schedule = MultigridSchedule.from_cfg(make_cfg({**KINETICS, **BOTH}))
    last = schedule.stages[-1].end - 1
    assert schedule.batch_norm(last, 28) == (False, 2)  # 3 splits of 28 are not possible
    assert schedule.batch_norm(last, 13) == (False, 1)


def test_clips_of_a_shape():
    cfg = make_cfg({**KINETICS, **BOTH, "DATA.SAMPLING_RATE": 2})
    at = at_shape(cfg, ClipShape(8, 112))
    assert (at.DATA.NUM_FRAMES, at.DATA.TRAIN_CROP_SIZE) == (8, 112)
    assert at.DATA.TRAIN_JITTER_SCALES == [128, 320]  # 256 x 112 / 224
    assert at.MULTIGRID.LONG_CYCLE_SAMPLING_RATE == 8  # 2 x 32 / 8
    full = at_shape(cfg, ClipShape(32, 224))
    assert full.DATA == cfg.DATA
    assert full.MULTIGRID.LONG_CYCLE_SAMPLING_RATE == 2
    assert at_shape(make_cfg(KINETICS), ClipShape(32, 112)).MULTIGRID.LONG_CYCLE_SAMPLING_RATE == 0


def test_a_rescaled_configuration_is_not_rescaled_again():
    cfg = make_cfg({**SSV2, **BOTH})
    resolved = MultigridSchedule.from_cfg(cfg).resolve(cfg)
    with pytest.raises(ConfigValueError, match="rescaled"):
        MultigridSchedule.from_cfg(resolved)
