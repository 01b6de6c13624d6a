"""Checkpoints: when they are written, which are kept, and what happens to damaged ones."""

import errno

import pytest
import torch
from engine.test_trainer import CPU, assert_same_weights, run
from helpers.synthetic import synthetic_cfg

from slowfast.config import UserError
from slowfast.engine.checkpointer import Checkpointer, CheckpointError, CheckpointPolicy
from slowfast.engine.restart import Restart
from slowfast.engine.trainer import Trainer
from slowfast.utils import checkpoint as cu
from slowfast.utils.io import atomic_path
from slowfast.utils.logging import log_json_stats, read_stats

EVERY_STEP = ("TRAIN.CHECKPOINT_PERIOD", 1, "TRAIN.CHECKPOINT_PERIOD_ITERS", 1)


def positions(folder):
    return [(c.epochs_done, c.iteration) for c in cu.list_checkpoints(folder)]


def test_checkpoints_within_an_epoch_are_written_and_superseded(tmp_path, monkeypatch):
    seen = []
    original = Checkpointer._remove_old

    def spy(self):
        original(self)
        seen.append(positions(tmp_path))

    monkeypatch.setattr(Checkpointer, "_remove_old", spy)
    trainer = run(tmp_path, *EVERY_STEP)
    steps = trainer.loader.batches.steps_in(0)
    assert steps == 3
    assert seen[:4] == [[(0, 1)], [(0, 2), (0, 1)], [(1, 0), (0, 2)], [(1, 1), (1, 0)]]
    assert positions(tmp_path) == [(2, 0), (1, 2), (1, 0)]


def test_saving_does_not_change_the_run(tmp_path):
    assert_same_weights(run(tmp_path / "a"), run(tmp_path / "b", *EVERY_STEP))


def test_minutes(tmp_path):
    checkpointer = Checkpointer(tmp_path, "", CheckpointPolicy(every_min=1.0))
    assert not checkpointer.is_due_by_time()
    checkpointer._last_start -= 61
    assert checkpointer.is_due_by_time()
    checkpointer.write(cu.checkpoint_path(tmp_path, 0, 7), {"epoch": -1}, wait=True)
    assert not checkpointer.is_due_by_time()
    off = Checkpointer(tmp_path, "", CheckpointPolicy())
    off._last_start -= 1e6
    assert not off.is_due_by_time()


@pytest.mark.parametrize(
    ("last", "every", "kept"),
    [
        (0, 0, [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (3, 0, [9, 8, 7]),
        (3, 4, [9, 8, 7, 4]),
        (1, 0, [9, 8]),
    ],
)
def test_what_is_kept(tmp_path, last, every, kept):
    policy = CheckpointPolicy(keep_last=last, keep_every=every)
    checkpointer = Checkpointer(tmp_path, "", policy)
    for epoch in range(1, 10):
        checkpointer.write(cu.checkpoint_path(tmp_path, epoch), {"epoch": epoch - 1})
    checkpointer.finish()
    assert [epoch for epoch, _ in positions(tmp_path)] == kept
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2 * len(kept)  # with hashes


def test_the_content_is_that_of_the_moment(tmp_path):
    checkpointer = Checkpointer(tmp_path, "", CheckpointPolicy())
    weight = torch.zeros(3)
    path = cu.checkpoint_path(tmp_path, 1)
    shared = {"a": weight, "b": weight, "nested": [(weight[:2], 1)], "empty": torch.zeros(0)}
    checkpointer.write(path, shared)
    weight += 1
    checkpointer.finish()
    content = cu.read_checkpoint_file(path)
    assert content["a"].tolist() == [0, 0, 0]
    assert content["a"].data_ptr() == content["b"].data_ptr()


def damage(path, kind):
    data = bytearray(path.read_bytes())
    if kind == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(b"" if kind == "empty" else data[: -len(data) // 3 * (kind == "cut") or None])


@pytest.mark.parametrize("kind", ["empty", "cut", "flipped", "cut, no hash"])
def test_a_damaged_newest_checkpoint_is_noticed_and_the_one_before_is_used(tmp_path, kind, caplog):
    straight = run(tmp_path / "straight")
    folder = tmp_path / "damaged"
    run(folder, "TRAIN.CHECKPOINT_PERIOD", 1)
    newest = cu.list_checkpoints(folder)[0].path
    if kind == "cut, no hash":
        newest.with_name(f"{newest.name}.sha256").unlink()
    damage(newest, kind.split(",")[0])
    caplog.clear()
    with caplog.at_level("INFO"):
        again = run(folder)
    text = caplog.text
    assert f"{newest} is damaged" in text
    assert "checkpoint_epoch_00001.pyth: epoch 1" in text
    assert_same_weights(again, straight)


def test_only_damaged_checkpoints_are_not_a_new_start(tmp_path):
    run(tmp_path, "TRAIN.CHECKPOINT_PERIOD", 1)
    for checkpoint in cu.list_checkpoints(tmp_path):
        damage(checkpoint.path, "flipped")
    with pytest.raises(UserError, match=r"all 2 checkpoints .* are damaged"):
        Trainer(synthetic_cfg(tmp_path), CPU)


def test_a_full_disk(tmp_path, monkeypatch):
    original = torch.save
    written = []

    def full(content, path):
        if written:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        original(content, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        run(tmp_path, "TRAIN.CHECKPOINT_PERIOD", 1)
    assert "the newest one is" in str(caught.value)
    assert "checkpoint_epoch_00001.pyth" in str(caught.value)
    assert positions(tmp_path) == [(1, 0)]
    assert not list((tmp_path / "checkpoints").glob(".*"))
    monkeypatch.setattr(torch, "save", original)
    assert_same_weights(run(tmp_path, seed=999), run(tmp_path / "straight"))


def test_drafts_of_a_killed_process_are_removed(tmp_path):
    draft = tmp_path / "checkpoints" / ".checkpoint_epoch_00001.pyth.123.tmp"
    draft.parent.mkdir()
    draft.write_bytes(b"half")
    Trainer(synthetic_cfg(tmp_path), CPU)
    assert not draft.exists()


def test_a_draft_that_this_process_is_writing_stays(tmp_path):
    with atomic_path(tmp_path / "checkpoints" / "checkpoint_epoch_00001.pyth") as draft:
        draft.write_bytes(b"half")
        cu.remove_drafts(tmp_path)
        assert draft.exists()
    assert (tmp_path / "checkpoints" / "checkpoint_epoch_00001.pyth").read_bytes() == b"half"


def test_another_batch_size_within_an_epoch(tmp_path):
    words = ("TRAIN.BATCH_SIZE", 2)
    run(tmp_path, *words, until=2)  # 4 samples
    cfg = synthetic_cfg(tmp_path, "TRAIN.BATCH_SIZE", 4)
    assert Trainer(cfg, CPU).iteration == 1
    with pytest.raises(UserError, match=r"TRAIN.BATCH_SIZE.* has 3 samples.* after 4 samples"):
        Trainer(synthetic_cfg(tmp_path, "TRAIN.BATCH_SIZE", 3), CPU)


def test_a_torn_line_of_the_log_is_skipped(tmp_path, caplog):
    log_json_stats({"_type": "train_iter", "step": 1}, tmp_path)
    with (tmp_path / "json_stats.log").open("ab") as file:
        file.write(b'json_stats: {"_type": "train_it\xff')
    log_json_stats({"_type": "train_iter", "step": 2}, tmp_path)
    assert [s["step"] for s in read_stats(tmp_path)] == [1, 2]
    assert "1 damaged lines" in caplog.text


def test_an_error_of_the_thread_is_not_lost_when_training_ends_with_another(tmp_path, caplog):
    checkpointer = Checkpointer(tmp_path, "", CheckpointPolicy())
    checkpointer.write(tmp_path / "checkpoints" / "no.pyth", {"bad": lambda: None})
    checkpointer.close()
    assert "no.pyth could not be written" in caplog.text


def test_steps_of_different_sizes_fit_no_other_batch_size():
    assert Restart(1, 2).with_samples_per_step(4, 4, is_constant=False) == Restart(1, 2)
    assert Restart(1, 2).with_samples_per_step(4, 8) == Restart(1, 1)
    with pytest.raises(UserError, match=r"TRAIN.BATCH_SIZE"):
        Restart(1, 2).with_samples_per_step(4, 8, is_constant=False)
