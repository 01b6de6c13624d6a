"""The loop: learning, exact resume, accumulation, stopping, and what it refuses."""

import multiprocessing
import os
import random
import re
import signal
import threading

import pytest
import torch
from helpers.chunks import spy_on_chunks
from helpers.synthetic import run, synthetic_cfg
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slowfast.config import UserError
from slowfast.engine import trainer as trainer_module
from slowfast.engine.recorder import Recorder
from slowfast.engine.step import TrainingStep
from slowfast.engine.trainer import Trainer, TrainingStoppedError
from slowfast.utils.checkpoint import (
    best_checkpoint_path,
    find_last_checkpoint,
    read_checkpoint_file,
)
from slowfast.utils.logging import read_stats
from slowfast.utils.random import seed_everything

CPU = torch.device("cpu")


def losses(output_dir):
    stats = [s for s in read_stats(output_dir) if s["_type"] == "train_iter"]
    return {s["step"]: s["loss"] for s in stats}


def weights(trainer):
    return {k: v.clone() for k, v in trainer.model.state_dict().items()}


def assert_same_weights(one, other):
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name


def start(folder, path, *words):
    folder.mkdir()
    return Trainer(synthetic_cfg(folder, "TRAIN.CHECKPOINT_FILE_PATH", path, *words), CPU)


def test_it_learns(tmp_path):
    words = ("SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.BASE_LR", 0.01)
    words += ("TRAIN.BATCH_SIZE", 12, "MODEL.DROPOUT_RATE", 0.0, "SOLVER.MAX_EPOCH", 15)
    run(tmp_path, *words)
    curve = list(losses(tmp_path).values())
    assert len(curve) == 15
    assert sum(curve[-3:]) < 0.6 * sum(curve[:3])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_stopped_and_resumed_run_equals_a_straight_one_bit_for_bit(tmp_path, stop, workers):
    words = ("DATA_LOADER.NUM_WORKERS", workers)
    straight = run(tmp_path / "straight", *words)
    run(tmp_path / "resumed", *words, until=stop)
    resumed = run(tmp_path / "resumed", *words, seed=999)
    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")
    assert_same_weights(straight, resumed)


def test_a_run_killed_without_a_checkpoint_repeats_from_the_last_one(tmp_path):
    straight = run(tmp_path / "a", "TRAIN.CHECKPOINT_PERIOD", 1)
    run(tmp_path / "b", "TRAIN.CHECKPOINT_PERIOD", 1, until=5)
    find_last_checkpoint(tmp_path / "b").unlink()  # the one of step 5; that of epoch 1 is left
    resumed = run(tmp_path / "b", "TRAIN.CHECKPOINT_PERIOD", 1, seed=999)
    assert_same_weights(straight, resumed)


@pytest.mark.parametrize("workers", [2, -1])
def test_workers_do_not_change_the_run(tmp_path, workers):
    none = run(tmp_path / "0")
    some = run(tmp_path / "some", "DATA_LOADER.NUM_WORKERS", workers)
    assert losses(tmp_path / "0") == losses(tmp_path / "some")
    assert_same_weights(none, some)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_workers_change_neither_losses_nor_weights(tmp_path, number):
    """Twenty deaths at random moments: decoding, idle, in the backward pass."""
    words = ("DATA_LOADER.NUM_WORKERS", 2, "SOLVER.MAX_EPOCH", 60)
    quiet = run(tmp_path / "quiet", *words)
    deaths, over = [], threading.Event()
    rng = random.Random(int(number))

    def kill():
        while len(deaths) < 20 and not over.wait(rng.uniform(0.05, 0.4)):
            workers = multiprocessing.active_children()
            if workers:
                victim = rng.choice(workers).pid
                os.kill(victim, number)
                deaths.append(victim)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        disturbed = run(tmp_path / "disturbed", *words)
    finally:
        over.set()
        killer.join()
    assert len(set(deaths)) >= 5
    assert losses(tmp_path / "disturbed") == losses(tmp_path / "quiet")
    assert_same_weights(quiet, disturbed)
    assert not (tmp_path / "disturbed" / "bad_media.csv").exists()


@pytest.mark.parametrize(("before", "after"), [("adamw", "sgd"), ("sgd", "adamw")])
def test_another_optimizer_cannot_resume(tmp_path, before, after):
    words = ("SOLVER.MAX_EPOCH", 2)
    run(tmp_path, *words, "SOLVER.OPTIMIZING_METHOD", before, until=2)
    with pytest.raises(UserError, match=r"SOLVER\.OPTIMIZING_METHOD has changed: the state has"):
        run(tmp_path, *words, "SOLVER.OPTIMIZING_METHOD", after)


@pytest.mark.parametrize(
    ("rows", "difference"),
    [
        (("a.mp4 0", "b.mp4 1"), "3 clips before, 2 now"),
        (("a.mp4 0", "b.mp4 1", "c.mp4 2", "d.mp4 2"), "3 clips before, 4 now"),
        (("a.mp4 0", "b.mp4 1", "e.mp4 2"), "3 clips as before, but other files"),
        (("a.mp4 0", "b.mp4 2", "c.mp4 1"), "3 clips as before, but other files, labels"),
        (("b.mp4 1", "a.mp4 0", "c.mp4 2"), "3 clips as before, but other files, labels or order"),
    ],
)
def test_another_train_split_cannot_resume(tmp_path, rows, difference):
    def trainer(folder, *lines):
        folder.mkdir(exist_ok=True)
        (folder / "train.csv").write_text("".join(f"{line}\n" for line in lines))
        for line in lines:
            (folder / line.split()[0]).touch()
        words = ("TRAIN.DATASET", "kinetics", "DATA.PATH_TO_DATA_DIR", str(folder))
        words += ("TRAIN.BATCH_SIZE", 1, "DATA.NUM_FRAMES", 4, "SOLVER.MAX_EPOCH", 3)
        return Trainer(synthetic_cfg(tmp_path, *words), CPU)

    before = ("a.mp4 0", "b.mp4 1", "c.mp4 2")
    first = trainer(tmp_path / "data", *before)
    first.epoch, first.iteration = 1, 1
    first.save(wait=True)
    with pytest.raises(UserError, match=rf"PATH_TO_DATA_DIR: .*{difference}") as caught:
        trainer(tmp_path / "data", *rows)
    assert "TRAIN.CHECKPOINT_EPOCH_RESET" in str(caught.value)
    assert trainer(tmp_path / "moved", *before).iteration == 1  # the same files elsewhere


def test_settings_of_the_optimizer_that_changed_are_applied_and_said(tmp_path, caplog):
    words = ("SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.MAX_EPOCH", 2)
    run(tmp_path, *words, until=2)
    with caplog.at_level("INFO"):
        changed = run(tmp_path, *words, "SOLVER.WEIGHT_DECAY", 0.5, "SOLVER.BETAS", [0.5, 0.6])
    group = changed.optimizer.param_groups[0]
    assert (group["weight_decay"], tuple(group["betas"])) == (0.5, (0.5, 0.6))
    assert "weight_decay 0.0001 -> 0.5" in caplog.text
    assert "-> (0.5, 0.6)" in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((False, "auto"), (True, "bf16"), "in float32, this run computes in bfloat16"),
        ((True, "bf16"), (False, "auto"), "in bfloat16, this run computes in float32"),
        ((True, "bf16"), (True, "bf16"), ""),
    ],
)
def test_resuming_in_another_precision_is_said(tmp_path, caplog, before, after, said):
    def words(mixed, dtype):
        return ("TRAIN.MIXED_PRECISION", mixed, "TRAIN.MIXED_PRECISION_DTYPE", dtype)

    run(tmp_path, *words(*before), until=2)
    resumed = run(tmp_path, *words(*after), until=3)
    assert resumed.steps_done == 3
    assert said in caplog.text if said else "this run computes in" not in caplog.text


def test_float16_skips_steps_that_overflow_and_goes_on(tmp_path):
    """The first loss scale is far too large for float16, on purpose."""
    words = ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_PRECISION_DTYPE", "fp16", "LOG_PERIOD", 1)
    trainer = run(tmp_path, *words, "SOLVER.MAX_EPOCH", 8)
    first = trainer.precision.scaler
    assert first.get_scale() < 2.0**16
    stats = [s for s in read_stats(tmp_path) if s["_type"] == "train_iter"]
    assert all(s["loss"] > 0 for s in stats)
    assert all(value.isfinite().all() for value in weights(trainer).values())


def test_accumulation_averages_gradients(tmp_path):
    """Without batch statistics and dropout, two batches of 2 make the step of one batch of 4."""
    words = ("MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0)
    one = run(tmp_path / "one", *words, until=2)
    two = run(
        tmp_path / "two", *words, "TRAIN.BATCH_SIZE", 2, "SOLVER.ACCUMULATE_STEPS", 2, until=2
    )
    assert two.steps_per_epoch == one.steps_per_epoch == 3
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, atol=1e-5, rtol=1e-4)


def test_a_signal_stops_cleanly_and_the_run_goes_on(tmp_path, monkeypatch):
    straight = run(tmp_path / "straight")
    take = TrainingStep.take

    def interrupted(self, batches, progress):
        result = take(self, batches, progress)
        if progress.step == 1:
            for process in (os.getpid(), *(w.pid for w in multiprocessing.active_children())):
                os.kill(process, signal.SIGTERM)  # as a scheduler does: the whole group
        return result

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "take", interrupted)
        with pytest.raises(TrainingStoppedError, match="after 2 steps; a checkpoint is") as stopped:
            run(tmp_path / "stopped", "DATA_LOADER.NUM_WORKERS", 2)
    assert stopped.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert find_last_checkpoint(tmp_path / "stopped").name == (
        "checkpoint_epoch_00000_iter_00000002.pyth"
    )
    resumed = run(tmp_path / "stopped", seed=999)
    assert_same_weights(straight, resumed)


def validation(number=0, at=0):
    """A validation with a value for each epoch; a signal arrives in that of one epoch."""

    def validate(epoch):
        seen.append(epoch)
        if epoch == at:
            signal.raise_signal(number)
        return {"top1_acc": (0.5, 0.25, 0.75)[epoch - 1]}

    seen = []
    return validate, seen


def validations(output_dir):
    keys = ("epoch", "step", "top1_acc", "min_top1_err")
    stats = [s for s in read_stats(output_dir) if s["_type"] == "val_epoch"]
    return [tuple(s[key] for key in keys) for s in stats]


VALIDATED = [("1/3", 3, 0.5, 50.0), ("2/3", 6, 0.25, 50.0), ("3/3", 9, 0.75, 25.0)]


@pytest.mark.parametrize("period", [1, 0])
@pytest.mark.parametrize("is_best", [False, True])
def test_a_signal_in_the_validation_loses_nothing(tmp_path, period, is_best):
    words = ("SOLVER.MAX_EPOCH", 3, "TRAIN.EVAL_PERIOD", 1, "TRAIN.CHECKPOINT_PERIOD", period)
    words += ("TEST.BEST_CHECKPOINT", is_best)
    cfg = synthetic_cfg(tmp_path, *words)
    validate, seen = validation(signal.SIGUSR1, at=2)
    seed_everything(cfg.RNG_SEED)
    with pytest.raises(TrainingStoppedError, match="SIGUSR1 in the validation after epoch 2"):
        Trainer(cfg, CPU).train(validate)
    assert find_last_checkpoint(tmp_path).name == "checkpoint_epoch_00002.pyth"
    validate, seen = validation()
    resumed = Trainer(cfg, CPU)
    resumed.train(validate)
    assert seen == [2, 3]
    assert validations(tmp_path) == VALIDATED
    assert_same_weights(run(tmp_path / "straight", "SOLVER.MAX_EPOCH", 3), resumed)
    assert best_checkpoint_path(tmp_path).exists() == is_best


def test_a_validation_that_was_killed_is_done_when_the_run_resumes(tmp_path):
    words = ("SOLVER.MAX_EPOCH", 3, "TRAIN.EVAL_PERIOD", 1, "TRAIN.CHECKPOINT_PERIOD", 1)
    cfg = synthetic_cfg(tmp_path, *words)

    def killed(epoch):
        if epoch == 3:
            raise MemoryError
        return validation()[0](epoch)

    with pytest.raises(MemoryError):
        Trainer(cfg, CPU).train(killed)
    last = Trainer(cfg, CPU)
    assert (last.is_finished, last.awaits_validation) == (True, True)
    validate, seen = validation()
    last.train(validate)
    assert (seen, validations(tmp_path)) == ([3], VALIDATED)
    assert not Trainer(cfg, CPU).awaits_validation  # the log has it


def test_a_signal_at_the_end_of_training_is_not_forgotten(tmp_path):
    def after_epoch(epoch):
        trainer._noted.number = signal.SIGTERM  # while the last checkpoint is written
        return {}

    trainer = Trainer(synthetic_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1), CPU)
    with pytest.raises(TrainingStoppedError, match="SIGTERM when training was complete"):
        trainer.train(after_epoch)
    assert Trainer(synthetic_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1), CPU).is_finished


def test_checkpoints_in_pyslowfasts_layout(tmp_path):
    run(tmp_path, "TRAIN.CHECKPOINT_PERIOD", 1)
    names = sorted(p.name for p in (tmp_path / "checkpoints").glob("*.pyth"))
    assert names == ["checkpoint_epoch_00001.pyth", "checkpoint_epoch_00002.pyth"]
    content = read_checkpoint_file(tmp_path / "checkpoints" / names[-1])
    assert content["epoch"] == 1  # 0-based number of the last whole epoch
    assert {"model_state", "optimizer_state", "scaler_state", "cfg"} <= set(content)
    assert not any(key.startswith("module.") for key in content["model_state"])


def test_the_rate_follows_the_fractional_epoch(tmp_path):
    run(tmp_path, "SOLVER.WARMUP_EPOCHS", 1.0, "SOLVER.WARMUP_START_LR", 0.0)
    rates = [s["lr"] for s in read_stats(tmp_path) if s["_type"] == "train_iter"]
    assert rates[0] == 0.0
    assert rates[1] == pytest.approx(rates[2] / 2, rel=1e-3)


def test_precise_bn_and_mixed_precision_run(tmp_path):
    trainer = run(
        *(tmp_path, "BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 2),
        *("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_PRECISION_DTYPE", "bf16"),
    )
    assert trainer.precision.is_mixed
    assert all(torch.isfinite(v).all() for v in weights(trainer).values() if v.is_floating_point())


PRECISE = ("BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 2, "MODEL.DROPOUT_RATE", 0.5)


@pytest.mark.parametrize(
    ("checkpoints", "evaluations", "until", "expected"),
    [
        (1, 2, 0, "bn save val " * 3),  # at each checkpoint, also where nothing is evaluated
        (0, 2, 0, "val bn val bn save val"),
        (0, 0, 0, "val val bn save val"),  # the last epoch is always saved
        (0, 0, 4, "val bn save"),  # in mid-epoch
    ],
)
def test_statistics_are_computed_before_checkpoint_and_validation(
    tmp_path, monkeypatch, checkpoints, evaluations, until, expected
):
    events = []
    save, update = Trainer.save, trainer_module.update_bn_stats
    monkeypatch.setattr(
        trainer_module, "update_bn_stats", lambda *a: (events.append("bn"), update(*a))
    )
    monkeypatch.setattr(
        Trainer, "save", lambda self, **extra: (events.append("save"), save(self, **extra))
    )
    words = ("SOLVER.MAX_EPOCH", 3, "TRAIN.CHECKPOINT_PERIOD", checkpoints)
    words += ("TRAIN.EVAL_PERIOD", evaluations, "TRAIN.MAX_STEPS", until)
    trainer = Trainer(synthetic_cfg(tmp_path, *PRECISE, *words), CPU)
    trainer.train(lambda epoch: events.append("val") or {})
    assert events == expected.split()
    saved = read_checkpoint_file(find_last_checkpoint(tmp_path))
    for name, value in weights(trainer).items():
        assert torch.equal(value, saved["model_state"][name]), name


def test_precise_statistics_do_not_change_training(tmp_path):
    run(tmp_path / "plain", "SOLVER.MAX_EPOCH", 3, "MODEL.DROPOUT_RATE", 0.5)
    run(tmp_path / "precise", "SOLVER.MAX_EPOCH", 3, *PRECISE)
    run(tmp_path / "resumed", "SOLVER.MAX_EPOCH", 3, *PRECISE, until=4)
    resumed = run(tmp_path / "resumed", "SOLVER.MAX_EPOCH", 3, *PRECISE, seed=999)
    assert losses(tmp_path / "plain") == losses(tmp_path / "precise")
    assert losses(tmp_path / "resumed") == losses(tmp_path / "precise")
    straight = read_checkpoint_file(find_last_checkpoint(tmp_path / "precise"))["model_state"]
    for name, value in weights(resumed).items():
        assert torch.equal(value, straight[name]), name


def test_fine_tuning_starts_at_epoch_zero_with_the_weights(tmp_path):
    source = run(tmp_path / "a")
    path = find_last_checkpoint(tmp_path / "a")
    words = ("TRAIN.CHECKPOINT_EPOCH_RESET", True, "MODEL.NUM_CLASSES", 5)
    trainer = start(tmp_path / "b", path, *words)
    assert trainer.steps_done == 0
    key = "backbone.layer1.0.conv1.0.weight"
    assert torch.equal(weights(trainer)[key], weights(source)[key])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("MODEL.NUM_CLASSES", 5), r"its momentum_buffer \(3, 32\) belongs to .* \(5, 32\)"),
        (("MODEL.DETACH_FINAL_FC", True), r"it is of \d+ parameters, the model trains 2"),
    ],
)
def test_an_optimizer_state_that_does_not_fit(tmp_path, words, reason):
    run(tmp_path / "a")
    path = find_last_checkpoint(tmp_path / "a")
    expected = rf"state of .* does not fit \({reason}.*set TRAIN.CHECKPOINT_EPOCH_RESET True"
    with pytest.raises(UserError, match=expected):
        start(tmp_path / "b", path, *words)


def test_weights_of_another_architecture_are_refused(tmp_path):
    run(tmp_path / "a")
    path = find_last_checkpoint(tmp_path / "a")
    words = ("MODEL.MODEL_NAME", "X3D", "MODEL.ARCH", "x3d", "TRAIN.CHECKPOINT_EPOCH_RESET", True)
    with pytest.raises(
        UserError, match=r"TRAIN.CHECKPOINT_FILE_PATH: no key of the checkpoint matches"
    ):
        start(tmp_path / "b", path, *words)


EXPLODES = ("SOLVER.BASE_LR", 50.0, "TRAIN.KILL_LOSS_EXPLOSION_FACTOR", 1.5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("SOLVER.BASE_LR", 1e20), r"the loss is (nan|inf).*Lower SOLVER.BASE_LR"),
        (EXPLODES, r"(KILL_LOSS_EXPLOSION_FACTOR|the loss is)"),
        (
            ("TRAIN.BATCH_SIZE", 64),
            r"TRAIN.BATCH_SIZE: one step uses 64 clips.*use TRAIN.BATCH_SIZE \d+ or less",
        ),
    ],
)
def test_what_stops_a_run(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, *words)


def test_another_architecture_cannot_resume(tmp_path):
    run(tmp_path, until=1)
    with pytest.raises(UserError, match=r"AUTO_RESUME: .* does not fit this model"):
        run(tmp_path, "RESNET.WIDTH_PER_GROUP", 8)


def test_a_run_of_the_original_is_not_resumed(tmp_path):
    trainer = run(tmp_path / "ours", until=1)
    theirs = tmp_path / "theirs" / "checkpoints" / "checkpoint_epoch_00001.pyth"
    theirs.parent.mkdir(parents=True)
    state = {key.removeprefix("backbone."): v for key, v in trainer.model.state_dict().items()}
    content = {"epoch": 0, "model_state": state, "cfg": "BN: {}\n"}
    torch.save({**content, "optimizer_state": trainer.optimizer.state_dict()}, theirs)
    with pytest.raises(UserError, match=r"OUTPUT_DIR: .* of the original PySlowFast") as caught:
        run(tmp_path / "theirs")
    assert f"TRAIN.CHECKPOINT_FILE_PATH {theirs}" in str(caught.value)


def test_epochs_are_logged_as_in_pyslowfast(tmp_path):
    trainer = run(tmp_path, "TENSORBOARD.ENABLE", True)
    stats = [s for s in read_stats(tmp_path) if s["_type"] == "train_epoch"]
    wanted = {"epoch", "dt", "dt_data", "dt_net", "eta", "lr", "gpu_mem", "RAM", "loss", "top1_err"}
    assert wanted <= set(stats[0])
    assert re.match(r"[\d.]+/[\d.]+G$", stats[0]["RAM"])
    assert 0.05 < float(stats[0]["RAM_peak"].removesuffix("G")) < 100
    recorder = Recorder(trainer.cfg, 1, CPU)
    for accuracy in (0.25, 0.75, 0.5):
        recorder.end_validation(1, 3, {"top1_acc": accuracy, "top5_acc": 1.0})
    recorder.close()
    last = read_stats(tmp_path)[-1]
    assert (last["_type"], last["top1_acc"]) == ("val_epoch", 0.5)
    assert (last["top1_err"], last["min_top1_err"]) == (50.0, 25.0)
    assert (last["top5_err"], last["min_top5_err"]) == (0.0, 0.0)
    written = b"".join(p.read_bytes() for p in (tmp_path / "runs-synthetic").glob("events.*"))
    for tag in ("Train/loss", "Train/lr", "Train/Top1_err", "Val/Top1_err", "Val/Top5_err"):
        assert tag.encode() in written, tag


def test_histograms_of_weights_and_gradients_of_each_epoch(tmp_path):
    keys = ("TENSORBOARD.ENABLE", True, "TENSORBOARD.MODEL_VIS.ENABLE", True)
    plain = run(tmp_path / "plain", *keys)
    trainer = run(tmp_path / "full", *keys, "TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS", True)
    events = EventAccumulator(str(tmp_path / "full" / "runs-synthetic"), {"histograms": 0})
    events.Reload()
    tags = set(events.Tags()["histograms"])
    names = [name.replace(".", "/") for name, _ in trainer.model.named_parameters()]
    assert tags == {f"{kind}/{name}" for kind in ("Weights", "Gradients") for name in names}
    found = events.Histograms(f"Weights/{names[0]}")
    assert [event.step for event in found] == [3, 6]  # the last step of both epochs
    for one, other in zip(plain.model.parameters(), trainer.model.parameters(), strict=True):
        assert torch.equal(one, other)
    events = EventAccumulator(str(tmp_path / "plain" / "runs-synthetic"))
    events.Reload()
    assert events.Tags()["histograms"] == []


def test_what_is_logged(tmp_path):
    run(tmp_path, until=3)
    text = (tmp_path / "json_stats.log").read_text(encoding="utf-8").splitlines()
    assert all(re.match(r"json_stats: \{.*\}$", line) for line in text)
    first = read_stats(tmp_path)[0]
    wanted = {"_type", "epoch", "iter", "dt", "dt_data", "dt_net", "eta", "loss", "lr", "grad_norm"}
    assert wanted <= set(first)
    assert first["epoch"] == "1/2"
    assert first["iter"] == "1/3"


def test_the_mean_of_an_epoch_says_which_steps_it_is_of(tmp_path, caplog):
    caplog.set_level("INFO")
    recorder = Recorder(synthetic_cfg(tmp_path), 9, CPU)
    for done in (0, 1, 3):
        recorder.start_epoch(0, 3, done=done)
        for iteration in range(done + 1, 4):
            recorder.start_iteration()
            recorder.end_iteration(0, iteration, {"loss": torch.tensor(0.5)}, 0.1)
        recorder.end_epoch(1)
    lines = [line for line in caplog.text.splitlines() if "epoch 1/2 done" in line]
    assert [line.split("epoch 1/2 done")[1] for line in lines] == [
        ": mean loss 0.5000",
        ": mean loss of its last 2 steps 0.5000",
        " before the run was resumed",
    ]


def test_the_audio_of_each_loaded_batch_is_watched(tmp_path, monkeypatch):
    watched = []
    monkeypatch.setattr(Recorder, "watch_audio", lambda self, batch: watched.append(batch))
    trainer = run(tmp_path, "SOLVER.ACCUMULATE_STEPS", 2, "TRAIN.BATCH_SIZE", 2, until=2)
    assert [len(batch["index"]) for batch in watched] == [2] * 4
    assert trainer.steps_done == 2


def test_training_without_any_audio_is_noticed_once(tmp_path, caplog):
    recorder = Recorder(synthetic_cfg(tmp_path), 100, CPU)
    silent, one = torch.zeros(20, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool)
    for _ in range(8):
        recorder.watch_audio({"audio_valid": silent})
    assert caplog.text.count("none of the first 80 clips has audio") == 1
    caplog.clear()
    recorder = Recorder(synthetic_cfg(tmp_path), 100, CPU)
    for valid in (silent, one, silent, silent, silent, silent):
        recorder.watch_audio({"audio_valid": valid})
    recorder.watch_audio({"video": silent})
    assert not caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [0, 2])
def test_a_compiled_run_learns_the_same_and_its_checkpoint_has_the_same_names(
    tmp_path, monkeypatch, chunk
):
    """Without a compiler: what is traced is run by torch's own kernels."""
    compiled = []

    def compile_eagerly(function, **kwargs):
        compiled.append(function)
        return original(function, backend="eager", **kwargs)

    original = torch.compile
    monkeypatch.setattr(torch, "compile", compile_eagerly)
    words, sizes = ("SOLVER.GRAD_CACHE_CHUNK", chunk), spy_on_chunks(monkeypatch)
    plain = run(tmp_path / "plain", *words)
    assert compiled == []
    other = run(tmp_path / "compiled", *words, "DEVICE.COMPILE", True)
    assert len(compiled) == 2  # the model, and the model with its loss
    assert set(sizes) == ({chunk} if chunk else set())
    assert losses(tmp_path / "compiled") == losses(tmp_path / "plain")
    assert_same_weights(plain, other)
