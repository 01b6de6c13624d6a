"""Processes that would leave out different files stop with a message instead of waiting forever."""

from pathlib import Path

import pytest
import torch.distributed as dist
from helpers.data_files import data_cfg, touch

from slowfast.config import UserError
from slowfast.datasets.annotations.quarantine import QUARANTINE, QuarantinedFile, write_quarantine
from slowfast.datasets.loader import construct_eval_loader, construct_train_loader

pytestmark = pytest.mark.distributed


def check_lists(folder, *, differ):
    """Quarantine a file, on the second machine only if ``differ``; build both loaders."""
    rank = dist.get_rank()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOWFAST_CACHE", str(folder / f"cache{rank}"))
        return _build_loaders(folder, rank, is_listed=bool(rank or not differ))


def _build_loaders(folder, rank, *, is_listed):
    cfg = data_cfg(folder / "videos", "NUM_GPUS", 0, "TRAIN.BATCH_SIZE", 2, "NUM_CPU_PROCESSES", 2)
    if is_listed:
        bad = QuarantinedFile(str(folder / "videos" / "train" / "a" / "0.mp4"))
        write_quarantine(folder / f"report{rank}" / QUARANTINE, folder / "videos", [bad])
    answers = []
    for build in (construct_train_loader, lambda cfg: construct_eval_loader(cfg, "val")):
        try:
            answers.append(len(build(cfg).dataset))
        except UserError as error:
            answers.append(str(error))
    return answers


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        touch(tmp_path / "videos" / "train" / "a" / f"{number}.mp4")
        touch(tmp_path / "videos" / "val" / "a" / f"{number}.mp4")
    return Path(tmp_path)


def check_same(folder):
    return check_lists(folder, differ=False)


def check_other(folder):
    return check_lists(folder, differ=True)


def test_the_same_list_on_all_machines(two_ranks, folder):
    assert two_ranks.run(check_same, folder) == [[5, 6], [5, 6]]


def test_a_list_on_one_machine_only(two_ranks, folder):
    for train, val in two_ranks.run(check_other, folder):
        lines = train.splitlines()
        assert lines[1].startswith("  train split, files: 6 on rank 0 (")
        assert "; 5 on rank 1 (" in lines[1]
        assert "one list in DATA.QUARANTINE_FILE_PATH that all of them read" in lines[-1]
        assert val == 6
