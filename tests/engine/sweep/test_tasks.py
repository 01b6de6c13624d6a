"""What a folder holds against what belongs there: go on, skip, or refuse."""

import pytest
from helpers.sweeps import STAGES, plan

from slowfast.config import UserError
from slowfast.engine.sweep.run_state import MARKER, archive_previous, read_marker, write_marker
from slowfast.engine.sweep.tasks import describe, make_tasks, refuse_changed, select

CONFIG = {"SOLVER.BASE_LR": 0.1, "OUTPUT_DIR": "x", "DATA_LOADER.NUM_WORKERS": 2}


def tasks_of(folder, **changes):
    runs = plan(folder, STAGES)
    return make_tasks(runs, {run.name: {**CONFIG, **changes} for run in runs}, folder / "out")


def finish(task, state="finished"):
    task.marker.state = state
    write_marker(task.folder, task.marker)


def test_a_fresh_sweep(tmp_path):
    tasks = tasks_of(tmp_path)
    assert [describe(task) for task in tasks] == ["new"] * 6
    assert tasks[1].marker.needs == {"pretrain/seed_1": tasks[0].marker.run_id}
    refuse_changed(tasks)


def test_the_marker_comes_back(tmp_path):
    tasks = tasks_of(tmp_path)
    finish(tasks[0])
    finish(tasks[1], "interrupted")
    finish(tasks[2], "running")
    again = tasks_of(tmp_path)
    assert [describe(task) for task in again[:4]] == [
        "finished",
        "interrupted",
        "interrupted",
        "new",
    ]
    assert again[0].marker == tasks[0].marker
    assert again[0].marker.config == {"SOLVER.BASE_LR": 0.1}
    assert len(again[0].marker.config_hash) == 64


def test_where_it_runs_makes_no_difference(tmp_path):
    for task in tasks_of(tmp_path):
        finish(task)
    again = tasks_of(tmp_path, **{"OUTPUT_DIR": "y", "DATA_LOADER.NUM_WORKERS": 8, "NUM_GPUS": 4})
    assert all(task.is_finished for task in again)


def test_a_key_of_a_newer_version_makes_no_difference(tmp_path):
    for task in tasks_of(tmp_path):
        finish(task)
    assert all(task.is_finished for task in tasks_of(tmp_path, **{"MODEL.NEW": 1}))


def test_a_name_of_an_earlier_version_makes_no_difference(tmp_path):
    for task in tasks_of(tmp_path, **{"TEST.PROTOCOLS": ["knn", "alignment"]}):
        finish(task)
    again = tasks_of(tmp_path, **{"TEST.PROTOCOLS": ["knn", "av_sync"]})
    assert all(task.is_finished for task in again)


def test_a_changed_run_is_refused_with_what_changed(tmp_path):
    for task in tasks_of(tmp_path)[:2]:
        finish(task)
    again = tasks_of(tmp_path, **{"SOLVER.BASE_LR": 0.2})
    assert [describe(task) for task in again] == ["changed", "changed", *["new"] * 4]
    assert again[1].changes == ["SOLVER.BASE_LR: 0.1 -> 0.2", "it used an earlier pretrain/seed_1"]
    with pytest.raises(UserError) as caught:
        refuse_changed(again)
    assert "2 of 6 runs differ from what their folders hold" in str(caught.value)
    assert "SOLVER.BASE_LR: 0.1 -> 0.2" in str(caught.value)
    assert "--force" in str(caught.value)


def test_a_run_whose_source_was_made_anew_is_changed(tmp_path):
    tasks = tasks_of(tmp_path)
    for task in tasks:
        finish(task)
    (tasks[0].folder / MARKER).unlink()
    again = tasks_of(tmp_path)
    states = [describe(task) for task in again]
    assert states == ["new", "changed", "changed", *["finished"] * 3]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "out/pretrain/seed_1/checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="holds checkpoints of something else"):
        refuse_changed(tasks_of(tmp_path))


def test_many_changes_are_cut_short(tmp_path):
    for task in tasks_of(tmp_path, **{f"A.K{number}": 0 for number in range(20)}):
        finish(task)
    again = tasks_of(tmp_path, **{f"A.K{number}": 1 for number in range(20)})
    assert len(again[0].changes) == 9
    assert again[0].changes[-1] == "... 12 more"
    with pytest.raises(UserError, match=r"\.\.\. and 1 more \(--dry-run"):
        refuse_changed(again)


def test_a_marker_of_another_version_is_not_read(tmp_path):
    task = tasks_of(tmp_path)[0]
    task.marker.format = 99
    finish(task)
    assert read_marker(task.folder) is None
    assert read_marker(tmp_path) is None


def test_set_aside_loses_nothing(tmp_path):
    for text in ("first", "second"):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/x").write_text(text, encoding="utf-8")
        archive_previous(tmp_path / "run")
    assert (tmp_path / "run.replaced_1/x").read_text(encoding="utf-8") == "first"
    assert (tmp_path / "run.replaced_2/x").read_text(encoding="utf-8") == "second"


def test_select(tmp_path):
    tasks = tasks_of(tmp_path)
    assert [t.name for t in select(tasks, "pretrain")] == ["pretrain/seed_1", "pretrain/seed_2"]
    chosen = [task.name for task in select(tasks, "*/seed_2/fold_1")]
    assert chosen == ["pretrain/seed_2", "finetune/seed_2/fold_1"]  # with what it needs
    with pytest.raises(UserError, match="--only: no run matches 'fold_9'"):
        select(tasks, "fold_9")
