"""Multigrid training: shapes of the batches, exact resume, batch norm, evaluation, refusals."""

import itertools

import pytest
import torch
from helpers.synthetic import OVERRIDES, run, synthetic_cfg

from slowfast.cli.run_net import main
from slowfast.config import ConfigError, ConfigValueError
from slowfast.engine.trainer import Trainer
from slowfast.models.batch_norm import SplitBatchNorm3d
from slowfast.utils.checkpoint import checkpoint_path, read_checkpoint_file
from slowfast.utils.logging import read_stats

CPU = torch.device("cpu")

# 13 clips; a stage of 3 epochs with 2 frames, 2 of 4 frames, one of full clips at the end.
LONG = (
    "MULTIGRID.LONG_CYCLE True MULTIGRID.LONG_CYCLE_FACTORS [[0.5,1],[1,1]] "
    "SOLVER.LR_POLICY steps_with_relative_lrs SOLVER.STEPS [0,3] SOLVER.LRS [1,0.1] "
    "SOLVER.MAX_EPOCH 4 MULTIGRID.BN_BASE_SIZE 2 TRAIN.BATCH_SIZE 2 SOLVER.BASE_LR 0.01"
).split()
SHORT = ["MULTIGRID.SHORT_CYCLE", "True", "MULTIGRID.SHORT_CYCLE_FACTORS", "[0.75]"]


def losses(output_dir):
    stats = [s for s in read_stats(output_dir) if s["_type"] == "train_iter"]
    return {s["step"]: (s["loss"], s["lr"]) for s in stats}


def batches_of(trainer):
    """(epoch, samples, frames, side) of every batch."""
    shapes = []
    for keys in trainer.loader.batches:
        epoch, _, clip = keys[0]
        shapes.append((epoch, len(keys), *clip))
    return shapes


class Seen:
    """Records what reaches the backbone: samples, frames and side of each batch."""

    def __init__(self, trainer):
        self.shapes, self.splits = [], []
        norms = (m for m in trainer.model.modules() if isinstance(m, SplitBatchNorm3d))
        self._norm = next(norms, None)
        trainer.model.register_forward_pre_hook(self._note)

    def _note(self, _, inputs):
        batch, _, _, frames, side, _ = inputs[0]["video"].shape
        self.shapes.append((batch, frames, side))
        self.splits.append(self._norm and self._norm.num_splits)


def test_both_cycles_reach_the_model(tmp_path):
    trainer = Trainer(synthetic_cfg(tmp_path, *LONG, *SHORT), CPU)
    planned, seen = batches_of(trainer), Seen(trainer)
    trainer.train()
    assert seen.shapes == [shape[1:] for shape in planned]
    ends = [(stage.scale, stage.end) for stage in trainer.schedule.stages]
    assert ends == [(2, 3), (1, 5), (1, 6)]
    by_epoch = {
        epoch: [shape[1:] for shape in shapes]
        for epoch, shapes in itertools.groupby(planned, key=lambda shape: shape[0])
    }
    assert by_epoch[0] == by_epoch[2] == [(8, 2, 12), (4, 2, 16)]
    assert by_epoch[3] == by_epoch[5] == [(4, 4, 12), (2, 4, 16)] * 2
    assert seen.splits == [2] * 6 + [1] * 12  # 4 rows, then 2, with BN_BASE_SIZE 2
    stats = [s for s in read_stats(tmp_path) if s["_type"] == "train_iter"]
    assert [s["step"] for s in stats] == list(range(1, 19))
    assert [s["lr"] for s in stats] == pytest.approx([0.02] * 6 + [0.01] * 8 + [0.001] * 4)


def test_the_short_cycle_alone(tmp_path):
    words = [*SHORT, "TRAIN.BATCH_SIZE", 2, "SOLVER.MAX_EPOCH", 1, "MULTIGRID.EPOCH_FACTOR", 2.0]
    trainer = Trainer(synthetic_cfg(tmp_path, *words), CPU)
    seen = Seen(trainer)
    trainer.train()
    assert trainer.epoch == 2
    assert seen.shapes == [(4, 4, 12), (2, 4, 16)] * 4
    assert seen.splits == [None] * 8  # BN.NORM_TYPE holds


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "stop", [1, 6, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 5, 7, 8, 14, 15, 17))]
)
def test_a_stopped_and_resumed_run_equals_a_straight_one_bit_for_bit(tmp_path, stop, workers):
    """Inside a short cycle, at the changes of stages (6 and 14 steps), and right after them."""
    words = (*LONG, *SHORT, "DATA_LOADER.NUM_WORKERS", workers)
    straight = run(tmp_path / "straight", *words)
    run(tmp_path / "resumed", *words, until=stop)
    resumed = run(tmp_path / "resumed", *words, seed=999)
    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")
    after = resumed.model.state_dict()
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, after[name]), name


def test_checkpoints_follow_eval_freq_and_record_the_schedule(tmp_path):
    trainer = Trainer(synthetic_cfg(tmp_path, *LONG, "MULTIGRID.EVAL_FREQ", 1), CPU)
    evaluated = []
    trainer.train(lambda epochs: evaluated.append(trainer.is_due(1)) or {})
    due = [epoch + 1 for epoch, is_due in enumerate(evaluated) if is_due]
    assert due == [stage.end for stage in trainer.schedule.stages]
    saved = [done for done in range(1, 8) if checkpoint_path(tmp_path, done, 0).exists()]
    assert saved == due
    cfg = read_checkpoint_file(checkpoint_path(tmp_path, due[-1], 0))["cfg"]
    assert "DEFAULT_B: 2" in cfg
    assert f"MAX_EPOCH: {due[-1]}" in cfg


def test_precise_batch_norm_uses_the_shape_of_the_stage(tmp_path):
    words = (*LONG, *SHORT, "BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 1)
    trainer = Trainer(synthetic_cfg(tmp_path, *words, "MULTIGRID.EVAL_FREQ", 1), CPU)
    seen = Seen(trainer)
    trainer.train()
    assert seen.shapes[6] == (4, 2, 16)  # after the three epochs of the first stage


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("MULTIGRID.EVAL_FREQ", 0, "at least 1"),
        ("MULTIGRID.BN_BASE_SIZE", 0, "at least 1"),
        ("MULTIGRID.EPOCH_FACTOR", 0.0, "more than 0"),
        ("MULTIGRID.LONG_CYCLE_FACTORS", "[]", "pairs of factors"),
        ("MULTIGRID.LONG_CYCLE_FACTORS", "[[0.5],[1,1]]", "pairs of factors"),
        ("MULTIGRID.LONG_CYCLE_FACTORS", "[[0.5,0],[1,1]]", "pairs of factors"),
        ("MULTIGRID.LONG_CYCLE_FACTORS", "[[0.1,1],[1,1]]", "0 frames"),
        ("MULTIGRID.SHORT_CYCLE_FACTORS", "[]", "factors on DATA.TRAIN_CROP_SIZE"),
        ("MULTIGRID.SHORT_CYCLE_FACTORS", "[-1]", "factors on DATA.TRAIN_CROP_SIZE"),
        ("MULTIGRID.SHORT_CYCLE_FACTORS", "[2.0]", "0 times the batch"),
        ("MULTIGRID.DEFAULT_B", 64, "a run sets it itself"),
        ("MULTIGRID.DEFAULT_T", 8, "a run sets it itself"),
        ("MULTIGRID.DEFAULT_S", 224, "a run sets it itself"),
        ("MULTIGRID.LONG_CYCLE_SAMPLING_RATE", 8, "a run sets it itself"),
        ("SOLVER.GAMMA", 0.0, "more than 0"),
        ("SOLVER.LR_POLICY", "cosine", "steps_with_relative_lrs"),
        ("SOLVER.STEPS", "[0]", "at least two ascending epochs"),
        ("SOLVER.STEPS", "[0,4]", "at least two ascending epochs"),
        ("MULTIGRID.EPOCH_FACTOR", 0.1, "leaves 0 epochs"),
    ],
)
def test_wrong_values_are_refused_at_load(tmp_path, key, value, says):
    with pytest.raises(ConfigError) as caught:
        synthetic_cfg(tmp_path, *LONG, *SHORT, key, value)
    assert {(p.key, says in p.message) for p in caught.value.problems} == {(key, True)}
    synthetic_cfg(tmp_path, *LONG, *SHORT, key, value, "TRAIN.ENABLE", False)  # only a test


def test_an_audio_only_dataset_is_refused(tmp_path):
    words = ("TRAIN.DATASET", "esc50", "AUDIO.ENABLE", True, "DATA.FOLD", 1)
    with pytest.raises(ConfigError, match="audio-only and has no frames"):
        synthetic_cfg(tmp_path, *SHORT, *words)


def test_a_dataset_without_variants_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.synthetic.MultigridSchedule.clip_shapes", lambda self: set())
    cfg = synthetic_cfg(tmp_path, *LONG)
    monkeypatch.undo()
    trainer = Trainer.__new__(Trainer)
    monkeypatch.setattr("helpers.synthetic.Synthetic.__setattr__", _without_variants)
    with pytest.raises(ConfigValueError, match="clips of one shape only"):
        trainer.__init__(cfg, CPU)


def _without_variants(self, name, value):
    object.__setattr__(self, name, {} if name == "variants" else value)


def test_too_few_clips_for_the_largest_batch(tmp_path):
    with pytest.raises(ConfigValueError, match=r"one step uses 16 clips.*largest of MULTIGRID"):
        Trainer(synthetic_cfg(tmp_path, *LONG, *SHORT, "TRAIN.BATCH_SIZE", 4), CPU)


def test_a_model_with_position_embeddings_is_refused(tmp_path):
    words = ("MODEL.ARCH", "mvit", "MODEL.MODEL_NAME", "MViT")
    with pytest.raises(ConfigError, match="position embeddings for clips of one shape"):
        synthetic_cfg(tmp_path, *SHORT, *words)


def test_the_clips_of_all_stages_are_tried_before_training(tmp_path, capsys):
    config = tmp_path / "x.yaml"
    config.write_text("PROJECTS: [stica]\n", encoding="utf-8")
    options = [*OVERRIDES.split(), *LONG, "OUTPUT_DIR", str(tmp_path), "DATA.NUM_FRAMES", "16"]
    options += ["MODEL.FEATURE_AUG", "feature_crop", "DATA.TRAIN_CROP_SIZE", "64"]
    assert main(["--cfg", str(config), *options]) == 2
    message = capsys.readouterr().err
    assert "MULTIGRID.LONG_CYCLE: got True, but clips of 8 frames and 64 pixels fail" in message
    assert "FEATURE_CROP.TIME_LARGE" in message
