"""Cores that a process may use, and the data workers that follow from them."""

import os

import pytest

from slowfast.utils.cores import AUTO, cores_per_process, num_workers, usable_cores


def with_quota(folder, text):
    (folder / "cpu.max").write_text(text)
    return folder


def test_the_affinity_mask_limits(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5, 6, 7, 8}, raising=False)
    assert usable_cores(tmp_path) == 6
    assert usable_cores(with_quota(tmp_path, "max 100000\n")) == 6


@pytest.mark.parametrize(
    ("text", "cores"),
    [("250000 100000", 2), ("50000 100000", 1), ("900000 100000", 6), ("-1 100000", 6), ("?", 6)],
)
def test_the_quota_of_a_container_limits(monkeypatch, tmp_path, text, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert usable_cores(with_quota(tmp_path, text)) == cores


def test_the_quota_of_cgroups_version_1(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for quota, cores in (("300000\n", 3), ("-1\n", 6)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        assert usable_cores(tmp_path) == cores


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr("slowfast.utils.cores.usable_cores", lambda: 16)
    assert [cores_per_process(n) for n in (1, 3, 16, 64)] == [16, 5, 1, 1]
    assert num_workers(AUTO, processes=4, on_gpu=True) == 3


@pytest.mark.parametrize(
    ("cores", "processes", "on_gpu", "expected"),
    [
        (1, 1, False, 1),
        (2, 1, False, 1),
        (16, 1, False, 8),
        (64, 1, False, 8),
        (1, 1, True, 1),
        (8, 1, True, 7),
        (64, 8, True, 7),
        (128, 1, True, 16),
        (4, 8, True, 1),
    ],
)
def test_auto(cores, processes, on_gpu, expected):
    assert num_workers(AUTO, processes=processes, on_gpu=on_gpu, cores=cores) == expected


@pytest.mark.parametrize("number", [0, 1, 64])
def test_a_number_keeps_its_meaning(number):
    assert num_workers(number, processes=8, on_gpu=True, cores=2) == number
