"""The last lines of a run."""

from slowfast.cli.outcome import describe_outcome
from slowfast.config import get_cfg


def make_run(folder, *words, files=("config.yaml",)):
    cfg = get_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", str(folder), *words])
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return cfg


CHECKPOINT = "checkpoints/checkpoint_epoch_00003.pyth"


def test_after_pretraining_the_features_are_evaluated(tmp_path):
    folder = tmp_path / "my run"
    words = ("TEST.PROTOCOLS", ["knn"], "TRAIN.ENABLE", True)
    text = describe_outcome(make_run(folder, *words, files=(CHECKPOINT, "config.yaml")))
    assert text.splitlines()[0] == f"written to {folder}: {CHECKPOINT}, config.yaml"
    assert f"    slowfast eval '{folder}'" in text
    assert f"    slowfast embed FOLDER --weights '{folder}' -o vectors" in text


def test_a_classifier_is_tested_unless_it_was(tmp_path):
    words = ("TRAIN.ENABLE", True, "TEST.ENABLE")
    files = (CHECKPOINT,)
    assert "slowfast test" in describe_outcome(make_run(tmp_path, *words, False, files=files))
    assert "slowfast test" not in describe_outcome(make_run(tmp_path, *words, True, files=files))


def test_nothing_is_proposed_without_a_checkpoint_or_training(tmp_path):
    for folder, train, files in (
        ("a", True, ("results.json",)),
        ("b", False, (CHECKPOINT, "results.json")),
    ):
        cfg = make_run(tmp_path / folder, "TRAIN.ENABLE", train, files=files)
        assert describe_outcome(cfg).splitlines() == [
            f"written to {cfg.OUTPUT_DIR}: {', '.join(files)}"
        ]
