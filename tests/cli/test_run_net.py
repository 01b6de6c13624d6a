"""The whole command on data without files: exit status, messages, what it leaves behind."""

import json

import pytest
import torch
from helpers.data_files import write
from helpers.synthetic import OVERRIDES

from slowfast.cli.run_net import main


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("TASK: ''\n", encoding="utf-8")
    return str(path)


def command(config, tmp_path, *words):
    out = ["OUTPUT_DIR", str(tmp_path / "out")]
    return ["--cfg", config, *OVERRIDES.split(), *out, *[str(w) for w in words]]


def test_train_and_test(config, tmp_path):
    assert main(command(config, tmp_path, "TRAIN.EVAL_BEFORE", True)) == 0
    out = tmp_path / "out"
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert set(results["top1_acc"]) == {"before", "after", "chance"}
    for name in ("config.yaml", "stdout.log", "json_stats.log", "curves.png"):
        assert (out / name).stat().st_size > 0
    log = (out / "stdout.log").read_text(encoding="utf-8")
    assert "top1_acc" in log
    first, *_ = log.splitlines()
    assert "train and test " in first
    assert str(out) in first
    end = log.split(f"written to {out}: ")[1]
    assert end.startswith("checkpoints/checkpoint_epoch_00002.pyth, ")
    assert f"slowfast embed FOLDER --weights {out} -o vectors" in end
    assert [name for name in ("results.json", "curves.png") if name not in end] == []


def test_another_recipe_in_the_folder_of_a_run_is_told(config, tmp_path, capsys):
    """A finished run is refused, an unfinished one continues with a warning, both name the keys."""
    out = tmp_path / "out"
    assert main(command(config, tmp_path, "TEST.ENABLE", False)) == 0
    saved = (out / "config.yaml").read_bytes()
    capsys.readouterr()
    same = ("TEST.BATCH_SIZE", 3, "LOG_PERIOD", 7, "TRAIN.CHECKPOINT_PERIOD", 9)
    assert main(command(config, tmp_path, *same)) == 0
    assert "training is already done (2 epochs)" in (text := capsys.readouterr().out)
    assert "other settings" not in text
    saved = (out / "config.yaml").read_bytes()
    other = ("DATA.NUM_FRAMES", 6, "SOLVER.WEIGHT_DECAY", 0.25)
    assert main(command(config, tmp_path, *other)) == 2
    text = capsys.readouterr().err
    assert f"OUTPUT_DIR: {out} holds a training that is done (2 epochs), with other" in text
    assert "DATA.NUM_FRAMES: " in text
    assert " -> 6" in text
    assert "SOLVER.WEIGHT_DECAY: 0.0001 -> 0.25" in text
    assert (out / "config.yaml").read_bytes() == saved
    assert main(command(config, tmp_path, "RESNET.WIDTH_PER_GROUP", 8, "SOLVER.MAX_EPOCH", 3)) == 2
    assert "does not fit this model" in capsys.readouterr().err
    assert (out / "config.yaml").read_bytes() == saved
    more = ("SOLVER.WEIGHT_DECAY", 0.25, "SOLVER.MAX_EPOCH", 3)
    assert main(command(config, tmp_path, *more)) == 0
    text = capsys.readouterr().out
    assert f"{out} was trained with other settings so far, and continues with those" in text
    assert "    SOLVER.MAX_EPOCH: 2 -> 3\n    SOLVER.WEIGHT_DECAY: 0.0001 -> 0.25\n" in text
    assert b"WEIGHT_DECAY: 0.25" in (out / "config.yaml").read_bytes()


def test_several_numbers_of_clips_are_one_test_each(config, tmp_path):
    """TEST.NUM_TEMPORAL_CLIPS replaces NUM_ENSEMBLE_VIEWS; each test is as if it were run alone."""
    words = ("TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", "random")
    both = ("TEST.NUM_TEMPORAL_CLIPS", "[1, 2]", "TEST.SAVE_RESULTS_PATH", "scores.csv")
    assert main(command(config, tmp_path, *words, *both)) == 0
    path = tmp_path / "out" / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    assert {"top1_acc_1_views", "top1_acc_2_views"} <= set(results)
    assert "top1_acc" not in results
    assert set(results["details"]) == {"classification_1_views", "classification_2_views"}
    for count in (1, 2):
        assert (tmp_path / "out" / f"{count}_views" / "predictions.csv").is_file()
        assert (tmp_path / "out" / f"scores_{count}_views.csv").is_file()
    records = {r["metric"]: r for r in results["records"]}
    path.unlink()
    assert main(command(config, tmp_path, *words, "TEST.NUM_ENSEMBLE_VIEWS", 2)) == 0
    (alone,) = (
        r
        for r in json.loads(path.read_text(encoding="utf-8"))["records"]
        if r["metric"] == "top1_acc"
    )
    assert records["top1_acc_2_views"] == {**alone, "metric": "top1_acc_2_views"}


def test_a_test_alone_is_not_refused_for_what_only_training_reads(config, tmp_path, capsys):
    words = ("SOLVER.LR_POLICY", "x", "AUG.ENABLE", True, "MULTIGRID.LONG_CYCLE", True)
    words += ("SOLVER.STEPS", "[3]", "TRAIN.DATASET", "imagenet", "TRAIN.BATCH_SIZE", 0)
    words += ("DATA.TRAIN_JITTER_SCALES_RELATIVE", "[3.0]", "MODEL.LOSS_FUNC", "multi_mse")
    random = ("TEST.CHECKPOINT_FILE_PATH", "random")
    assert main(command(config, tmp_path, "TRAIN.ENABLE", False, *random, *words)) == 0
    log = (tmp_path / "out" / "stdout.log").read_text(encoding="utf-8")
    (line,) = (line for line in log.splitlines() if "TRAIN.ENABLE is False" in line)
    assert all(key in line for key in ("SOLVER.LR_POLICY", "TRAIN.BATCH_SIZE", "MODEL.LOSS_FUNC"))
    assert main(command(config, tmp_path, *words)) == 2
    assert "SOLVER.LR_POLICY" in capsys.readouterr().err


def test_a_value_without_effect_is_said_once(config, tmp_path):
    words = ("DATA.DECODING_BACKEND", "torchvision", "SOLVER.MAX_EPOCH", 1)
    assert main(command(config, tmp_path, *words)) == 0
    log = (tmp_path / "out" / "stdout.log").read_text(encoding="utf-8")
    assert log.count("no effect: DATA.DECODING_BACKEND 'torchvision' (PyAV decodes") == 1


def test_a_linear_probe_starts_from_the_pretraining_in_the_same_folder(config, tmp_path, capsys):
    """As in PySlowFast: TASK ssl, then TASK ssl_eval... in one OUTPUT_DIR."""
    linear = ("TASK", "ssl_eval_x", "MODEL.DETACH_FINAL_FC", True, "SOLVER.MAX_EPOCH", 1)
    assert main(command(config, tmp_path, *linear)) == 2
    assert "has no checkpoint of TASK ssl. Name a checkpoint" in capsys.readouterr().err
    assert main(command(config, tmp_path, "TASK", "ssl", "SOLVER.MAX_EPOCH", 1)) == 0
    assert main(command(config, tmp_path, *linear)) == 0
    log = (tmp_path / "out" / "stdout.log").read_text(encoding="utf-8")
    assert "ssl_checkpoint_epoch_00001.pyth" in log
    folder = tmp_path / "out" / "checkpoints"
    states = [
        torch.load(folder / f"{task}_checkpoint_epoch_00001.pyth")["model_state"]
        for task in ("ssl", "ssl_eval_x")
    ]
    assert all(
        torch.equal(value, states[1][key])
        for key, value in states[0].items()
        if key.startswith("backbone.") and key.endswith("weight")
    )


def test_again_trains_nothing(config, tmp_path, capsys):
    assert main(command(config, tmp_path)) == 0
    before = (tmp_path / "out" / "json_stats.log").read_text(encoding="utf-8")
    assert main(command(config, tmp_path)) == 0
    after = (tmp_path / "out" / "json_stats.log").read_text(encoding="utf-8")
    added = after.removeprefix(before).splitlines()
    assert [json.loads(x.removeprefix("json_stats: "))["split"] for x in added] == ["test_final"]
    assert "training is already done" in capsys.readouterr().out


def test_validation_during_training(config, tmp_path):
    words = ("TRAIN.EVAL_PERIOD", 1, "TENSORBOARD.ENABLE", True, "TEST.ENABLE", False)
    assert main(command(config, tmp_path, *words)) == 0
    lines = (tmp_path / "out" / "json_stats.log").read_text(encoding="utf-8").splitlines()
    validation = [line for line in lines if '"val_epoch"' in line]
    assert len(validation) == 2
    assert '"top1_acc"' in validation[0]
    assert list((tmp_path / "out" / "runs-synthetic").glob("events.*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["TRAIN.BATCH_SIZ", "3"], "Did you mean 'TRAIN.BATCH_SIZE'?"),
        (["MODEL.ARCH", "r2plus1d18"], "Did you mean 'r2plus1d_18'?"),
        (["MODEL.POOLING", "transformer", "PROJECTS", "[]"], "belongs to the project stica"),
        (["MODEL.MODEL_NAME", "StiCA", "PROJECTS", "[]"], "add PROJECTS: ['stica']"),
        (["TRAIN.DATASET", "kinetiks"], "Did you mean 'kinetics'?"),
        (["TEST.PROTOCOLS", "['classificaton']"], "Did you mean 'classification'?"),
        (["TEST.CHECKPOINT_FILE_PATH", "none.pyth"], "checkpoint not found: none.pyth"),
        (["TEST.NUM_SPATIAL_CROPS", "2"], "TEST.NUM_SPATIAL_CROPS"),
        (["SOLVER.LR_POLICY", "cosin"], "Did you mean 'cosine'?"),
        (["TRAIN.BATCH_SIZE", "0"], "TRAIN.BATCH_SIZE: got 0, expected more than 0"),
        (["TRAIN.ENABLE", "False"], "nothing to test"),
    ],
)
def test_a_users_mistake_is_one_message_and_status_2(config, tmp_path, words, message, capsys):
    assert main(command(config, tmp_path, "SOLVER.MAX_EPOCH", 1, *words)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_all_problems_of_all_layers_at_once(config, tmp_path, capsys):
    words = ["MODEL.ARCH", "x", "TRAIN.DATASET", "y", "TEST.PROTOCOLS", "['z']", "LOG_PERIOD", "0"]
    assert main(command(config, tmp_path, *words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 4 problems in ")


@pytest.mark.parametrize("section", ["TEST", "TRAIN"])
def test_random_weights_are_tested_when_they_are_asked_for(config, tmp_path, section):
    words = ("TRAIN.ENABLE", False, f"{section}.CHECKPOINT_FILE_PATH", "random")
    assert main(command(config, tmp_path, *words)) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert {record["checkpoint"] for record in results["records"]} == {"random"}


@pytest.mark.parametrize(
    ("stage", "key"),
    [("run_training", "TRAIN.BATCH_SIZE (got 4)"), ("run_test", "TEST.BATCH_SIZE")],
)
def test_memory_that_runs_out_is_one_message(config, tmp_path, capsys, monkeypatch, stage, key):
    monkeypatch.setattr(f"slowfast.cli.runner.{stage}", lambda *_, **__: torch.empty(1 << 50))
    words = command(config, tmp_path, "TRAIN.ENABLE", str(stage == "run_training"))
    assert main([*words, "TEST.CHECKPOINT_FILE_PATH", "random"]) == 2
    error = capsys.readouterr().err
    assert "error: memory ran out in t" in error
    assert f"can't allocate memory: you tried to allocate {4 << 50} bytes" in error
    assert f"Lower {key}" in error
    assert "Traceback" not in error


def test_a_trained_model_is_tested_though_it_started_from_random_weights(config, tmp_path):
    words = ("TRAIN.CHECKPOINT_FILE_PATH", "random")
    assert main(command(config, tmp_path, *words, "TEST.ENABLE", False)) == 0
    assert main(command(config, tmp_path, *words, "TRAIN.ENABLE", False)) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert "random" not in {record["checkpoint"] for record in results["records"]}


def test_missing_data(config, tmp_path, capsys):
    words = ("TRAIN.DATASET", "kinetics", "DATA.PATH_TO_DATA_DIR", tmp_path / "none")
    assert main(command(config, tmp_path, *words)) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(command(config, tmp_path, *words[:2], "DATA.PATH_TO_DATA_DIR", "")) == 2
    assert "DATA.PATH_TO_DATA_DIR is empty" in capsys.readouterr().err


@pytest.mark.parametrize("section", ["TRAIN", "TEST"])
def test_a_named_checkpoint_is_missed_though_the_run_resumes(config, tmp_path, section, capsys):
    assert main(command(config, tmp_path, "TRAIN.MAX_STEPS", 1)) == 0
    capsys.readouterr()
    words = (f"{section}.CHECKPOINT_FILE_PATH", tmp_path / "typo.pyth")
    assert main(command(config, tmp_path, *words)) == 2
    assert f"{section}.CHECKPOINT_FILE_PATH: checkpoint not found" in capsys.readouterr().err


def test_a_checkpoint_that_training_will_write_may_be_named(config, tmp_path):
    last = tmp_path / "out" / "checkpoints" / "checkpoint_epoch_00002.pyth"
    assert main(command(config, tmp_path, "TEST.CHECKPOINT_FILE_PATH", last)) == 0


def test_a_missing_test_list_stops_the_run_before_training(config, tmp_path, capsys):
    lists = tmp_path / "lists"
    write(lists / "train.csv", *[f"{tmp_path}/{i}.mp4 {i % 3}" for i in range(12)])
    words = (
        "TRAIN.DATASET",
        "kinetics",
        "TEST.DATASET",
        "kinetics",
        "DATA.PATH_TO_DATA_DIR",
        lists,
    )
    words += ("TEST.ENABLE", "yes", "DATA.TRAIN_JITTER_SCALES", "[16,20]")
    assert main(command(config, tmp_path, *words)) == 2
    assert "lists has no test split (found: train)" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("checkpoints/*"))
    assert not (tmp_path / "out" / "json_stats.log").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("DEMO.ENABLE True", "folder of videos"),
        ("TENSORBOARD.MODEL_VIS.ACTIVATIONS True TENSORBOARD.ENABLE True", "forward hooks"),
        ("DETECTION.ENABLE True", "classifier"),
    ],
)
def test_habits_from_its_tools_are_answered(config, tmp_path, words, hint, capsys):
    assert main(command(config, tmp_path, *words.split())) == 2
    err = capsys.readouterr().err
    assert words.split()[0] in err
    assert hint in err
