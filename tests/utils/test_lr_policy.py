import pytest

from slowfast.config import get_cfg
from slowfast.utils.lr_policy import get_lr_at_epoch


def _cfg(**solver):
    cfg = get_cfg()
    for key, value in {"BASE_LR": 0.4, "MAX_EPOCH": 100, **solver}.items():
        cfg.SOLVER[key] = value
    return cfg


def test_cosine():
    cfg = _cfg(COSINE_END_LR=0.1)
    got = [get_lr_at_epoch(cfg, epoch) for epoch in (0, 50, 100, 120)]
    assert got == pytest.approx([0.4, 0.25, 0.1, 0.1])
    assert get_lr_at_epoch(cfg, 100 / 3) == pytest.approx(0.1 + 0.3 * 0.75)


def test_cosine_after_warmup():
    early = _cfg(WARMUP_EPOCHS=20.0)
    late = _cfg(WARMUP_EPOCHS=20.0, COSINE_AFTER_WARMUP=True)
    assert get_lr_at_epoch(late, 20) == pytest.approx(0.4)
    assert get_lr_at_epoch(late, 60) == pytest.approx(0.2)
    assert get_lr_at_epoch(early, 20) < 0.4
    assert get_lr_at_epoch(early, 50) == pytest.approx(0.2)


def test_warmup_is_linear_and_meets_the_policy():
    cfg = _cfg(LR_POLICY="constant", WARMUP_EPOCHS=10.0, WARMUP_START_LR=0.1)
    got = [get_lr_at_epoch(cfg, epoch) for epoch in (0, 2.5, 5, 10, 60)]
    assert got == pytest.approx([0.1, 0.175, 0.25, 0.4, 0.4])
    cosine = _cfg(WARMUP_EPOCHS=10.0)
    below, above = (get_lr_at_epoch(cosine, epoch) for epoch in (10 - 1e-9, 10))
    assert below == pytest.approx(above, abs=1e-8)


def test_warmup_of_the_whole_run_is_defined():
    cfg = _cfg(MAX_EPOCH=2, WARMUP_EPOCHS=2.0, COSINE_AFTER_WARMUP=True, COSINE_END_LR=0.1)
    assert get_lr_at_epoch(cfg, 2) == pytest.approx(0.1)


def test_steps():
    cfg = _cfg(LR_POLICY="steps_with_relative_lrs", STEPS=[0, 44, 60], LRS=[1, 0.1, 0.01])
    got = [get_lr_at_epoch(cfg, epoch) for epoch in (0, 43.9, 44, 59.9, 60, 100)]
    assert got == pytest.approx([0.4, 0.4, 0.04, 0.04, 0.004, 0.004])


def test_surplus_rates_are_not_used_and_a_step_at_the_end_needs_none():
    """As in PySlowFast's stepwise and AVA YAMLs."""
    words = {"LR_POLICY": "steps_with_relative_lrs", "STEPS": [0, 44, 60]}
    plain = _cfg(**words, LRS=[1, 0.1, 0.01])
    longer = _cfg(**words, LRS=[1, 0.1, 0.01, 0.001, 0.0001])
    for epoch in (0, 43.9, 44, 60, 99.9, 100):
        assert get_lr_at_epoch(longer, epoch) == get_lr_at_epoch(plain, epoch)
    at_the_end = _cfg(LR_POLICY=words["LR_POLICY"], STEPS=[0, 44, 100], LRS=[1, 0.1])
    assert get_lr_at_epoch(at_the_end, 99.9) == get_lr_at_epoch(at_the_end, 100) == 0.4 * 0.1


def test_the_number_of_machines_scales_every_rate():
    """PySlowFast multiplies BASE_LR, WARMUP_START_LR and COSINE_END_LR by NUM_SHARDS."""
    words = {"WARMUP_EPOCHS": 10.0, "COSINE_END_LR": 0.05, "WARMUP_START_LR": 0.02}
    theirs = _cfg(**words)
    for key in ("BASE_LR", "WARMUP_START_LR", "COSINE_END_LR"):
        theirs.SOLVER[key] *= 8
    ours, off = _cfg(**words, BASE_LR_SCALE_NUM_SHARDS=True), _cfg(**words)
    ours.NUM_SHARDS = off.NUM_SHARDS = 8
    for epoch in (0, 3.5, 10, 55, 100):
        assert get_lr_at_epoch(ours, epoch) == pytest.approx(get_lr_at_epoch(theirs, epoch))
        assert get_lr_at_epoch(off, epoch) == get_lr_at_epoch(_cfg(**words), epoch)


@pytest.mark.parametrize(
    ("steps", "rates"), [([], []), ([0, 10], [1]), ([5, 10], [1, 0.1]), ([0, 20, 10], [1, 1, 1])]
)
def test_steps_and_rates_must_fit(steps, rates):
    cfg = _cfg(LR_POLICY="steps_with_relative_lrs", STEPS=steps, LRS=rates)
    with pytest.raises(ValueError, match=r"SOLVER\.STEPS: got .* SOLVER\.LRS"):
        get_lr_at_epoch(cfg, 1)


def test_unknown_policy():
    with pytest.raises(ValueError, match=r"SOLVER\.LR_POLICY: got 'linear', expected one of cos"):
        get_lr_at_epoch(_cfg(LR_POLICY="linear"), 0)


def test_the_batch_scales_every_rate():
    plain = _cfg(WARMUP_EPOCHS=10.0, COSINE_END_LR=0.05)
    scaled = _cfg(WARMUP_EPOCHS=10.0, COSINE_END_LR=0.05, BASE_BATCH_SIZE=64)
    for epoch in (0, 3, 10, 55, 100):
        whole = get_lr_at_epoch(plain, epoch)
        assert get_lr_at_epoch(scaled, epoch, 32) == pytest.approx(whole / 2)
        assert get_lr_at_epoch(plain, epoch, 32) == whole


def test_scaling_needs_the_batch():
    with pytest.raises(ValueError, match=r"SOLVER\.BASE_BATCH_SIZE: got 64"):
        get_lr_at_epoch(_cfg(BASE_BATCH_SIZE=64), 0)
