"""Shares of time in the log, and the file of warnings."""

import logging

import pytest

from slowfast.utils import meters
from slowfast.utils.logging import setup_logging
from slowfast.utils.meters import IterationTimer


@pytest.fixture
def clock(monkeypatch):
    """A time that only passes when a test says so."""
    now = [100.0]
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def iteration(timer, clock, wait):
    timer.start()
    with timer.part("wait"):
        clock(wait)
    with timer.part("copy"):
        clock(0.5)
    timer.data_ready()
    clock(1.0)
    timer.stop()


def test_shares_show_what_medians_hide(clock):
    timer = IterationTimer(5)
    for wait in (0, 0, 0, 0, 12.5):  # workers deliver in bursts
        iteration(timer, clock, wait)
    record = timer.record()
    assert record["dt_data"] == 0.5
    assert record["dt"] == 1.5
    assert record["share_wait"] == pytest.approx(12.5 / 20)
    assert record["share_copy"] == pytest.approx(2.5 / 20)


def test_time_between_records_counts_once(clock):
    timer = IterationTimer(5)
    iteration(timer, clock, 1.0)
    timer.record()
    clock(1000.0)  # validation, a checkpoint
    iteration(timer, clock, 0.0)
    clock(0.5)  # the GPU finishes before the record
    assert timer.record()["share_wait"] == 0.0
    iteration(timer, clock, 1.5)
    assert timer.record()["share_wait"] == pytest.approx(0.5)


def test_without_parts_there_are_no_shares(clock):
    timer = IterationTimer(5)
    timer.start()
    clock(1.0)
    timer.stop()
    assert set(timer.record()) == {"dt", "dt_data", "dt_net"}


def test_warnings_have_a_file_of_their_own(tmp_path):
    setup_logging(tmp_path)
    logger = logging.getLogger("slowfast.test")
    logger.info("fine")
    assert not (tmp_path / "warnings.log").exists()
    logger.warning("careful: %d", 3)
    setup_logging()  # closes the files
    assert "careful: 3" in (tmp_path / "warnings.log").read_text(encoding="utf-8")
    assert "fine" not in (tmp_path / "warnings.log").read_text(encoding="utf-8")
    assert "fine" in (tmp_path / "stdout.log").read_text(encoding="utf-8")
