"""What a folder holds against what belongs there: resume, skip, or refuse."""

import pytest
from helpers.sweeps import STAGES, runs_of

from slowfast.config import UserError
from slowfast.engine.sweep.run_state import (
    STATE_FILE,
    load_states,
    refuse_changed,
    select,
)

CONFIG = {"SOLVER.BASE_LR": 0.1, "OUTPUT_DIR": "x", "DATA_LOADER.NUM_WORKERS": 2}


def states_of(folder, **changes):
    runs = runs_of(folder, STAGES)
    return load_states(runs, {run.name: {**CONFIG, **changes} for run in runs})


def save(states, state="finished"):
    for item in states:
        item.state = state
        item.save()


def described(states):
    return [state.describe() for state in states]


def test_a_fresh_sweep(tmp_path):
    states = states_of(tmp_path)
    assert described(states) == ["new"] * 6
    assert states[1].needs == {"pretrain/seed_1": states[0].run_id}
    refuse_changed(states)


def test_a_state_comes_back(tmp_path):
    states = states_of(tmp_path)
    states[3].slurm_job = "7_1"
    for state, name in zip(states, ["finished", "interrupted", "running", "running"], strict=False):
        save([state], name)
    again = states_of(tmp_path)
    expected = ["finished", "interrupted", "interrupted", "submitted as SLURM job 7_1"]
    assert described(again[:4]) == expected
    assert again[0] == states[0]
    assert again[0].config == {"SOLVER.BASE_LR": 0.1}
    assert len(again[0].config_hash) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"OUTPUT_DIR": "y", "DATA_LOADER.NUM_WORKERS": 8, "NUM_GPUS": 4},  # where it runs
        {"MODEL.NEW": 1},  # a key of a newer version
    ],
)
def test_what_makes_no_difference(tmp_path, changes):
    save(states_of(tmp_path))
    assert described(states_of(tmp_path, **changes)) == ["finished"] * 6


def test_a_name_of_an_earlier_version_makes_no_difference(tmp_path):
    save(states_of(tmp_path, **{"TEST.PROTOCOLS": ["knn", "alignment"]}))
    again = states_of(tmp_path, **{"TEST.PROTOCOLS": ["knn", "av_sync"]})
    assert all(state.is_finished for state in again)


def test_a_changed_run_is_refused_with_what_changed(tmp_path):
    save(states_of(tmp_path)[:2])
    again = states_of(tmp_path, **{"SOLVER.BASE_LR": 0.2})
    assert described(again) == ["changed", "changed", *["new"] * 4]
    assert again[1].changes == ["SOLVER.BASE_LR: 0.1 -> 0.2", "it used an earlier pretrain/seed_1"]
    with pytest.raises(UserError) as caught:
        refuse_changed(again)
    assert "2 of 6 runs differ from what their folders hold" in str(caught.value)
    assert "SOLVER.BASE_LR: 0.1 -> 0.2" in str(caught.value)
    assert "--force" in str(caught.value)


def test_a_run_whose_source_is_another_one_is_changed(tmp_path):
    states = states_of(tmp_path)
    save(states)
    (states[0].run.folder / STATE_FILE).unlink()
    assert described(states_of(tmp_path)) == ["new", "changed", "changed", *["finished"] * 3]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "out/pretrain/seed_1/checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="holds checkpoints of something else"):
        refuse_changed(states_of(tmp_path))


def test_many_changes_are_cut_short(tmp_path):
    save(states_of(tmp_path, **{f"A.K{number}": 0 for number in range(20)}))
    again = states_of(tmp_path, **{f"A.K{number}": 1 for number in range(20)})
    assert len(again[0].changes) == 9
    assert again[0].changes[-1] == "... 12 more"
    with pytest.raises(UserError, match=r"\.\.\. and 1 more \(--dry-run"):
        refuse_changed(again)


def test_a_state_of_another_version_is_not_read(tmp_path):
    (state,) = states_of(tmp_path)[:1]
    save([state])
    path = state.run.folder / STATE_FILE
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    assert states_of(tmp_path)[0].describe() == "new"


def test_archiving_loses_nothing(tmp_path):
    state, run = states_of(tmp_path)[0], tmp_path / "out/pretrain/seed_1"
    for text in ("first", "second"):
        run.mkdir(parents=True)
        (run / "x").write_text(text, encoding="utf-8")
        state.archive_previous()
    assert (run.with_name("seed_1.replaced_1") / "x").read_text(encoding="utf-8") == "first"
    assert (run.with_name("seed_1.replaced_2") / "x").read_text(encoding="utf-8") == "second"


def test_select(tmp_path):
    states = states_of(tmp_path)
    names = lambda pattern: [state.name for state in select(states, pattern)]  # noqa: E731
    assert len(names("")) == 6
    assert names("pretrain") == ["pretrain/seed_1", "pretrain/seed_2"]
    assert names("*/seed_2/fold_1") == ["pretrain/seed_2", "finetune/seed_2/fold_1"]
    with pytest.raises(UserError, match="--only: no run matches 'fold_9'"):
        select(states, "fold_9")
