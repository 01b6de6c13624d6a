"""Reading sweep.json: runs, values by variant and seed, files that are none."""

import json

import pytest
from helpers.sweeps import write_sweep_json

from slowfast.engine.sweep.results import read_results


def test_runs_values_and_chance(tmp_path):
    runs = [
        ({"pooling": "avg", "crops": "both"}, seed, {"top1": seed / 10}, "eval") for seed in (1, 2)
    ]
    runs.append(({"pooling": "avg", "crops": "none"}, 1, {"knn": 0.5}))
    found = read_results(
        write_sweep_json(tmp_path / "sweep.json", runs, 0.25, "configs/sweeps/small.yaml")
    )
    assert found.sweep == "small"
    assert found.values("top1", "eval") == {"avg+both": {1: 0.1, 2: 0.2}}
    assert found.values("top1") == {}
    assert found.values("knn") == {"avg+none": {1: 0.5}}
    assert found.values("other") == {}
    assert found.chance == {"top1": 0.25, "knn": 0.25}
    assert found.runs[0].stage == "eval"
    assert all(run.is_finished for run in found.runs)


def test_folds_are_not_mixed(tmp_path):
    runs = [({"run": "a"}, 1, {"top1": value}) for value in (0.5, 0.6)]
    with pytest.raises(ValueError, match="seed 1 has several runs like a/seed_1"):
        read_results(write_sweep_json(tmp_path / "sweep.json", runs)).values("top1")


def test_a_file_of_the_first_versions(tmp_path):
    path = write_sweep_json(tmp_path / "sweep.json", [({"run": "a"}, 1, {"top1": 0.5})])
    content = json.loads(path.read_text())
    content["runs"][0]["metrics"] = {"top1": 0.5}  # without its chance level
    path.write_text(json.dumps(content))
    assert read_results(path).values("top1") == {"a": {1: 0.5}}


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"sweep": 1, "runs": [], "results": []}'])
def test_another_file_is_named(tmp_path, text):
    path = tmp_path / "sweep.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"sweep.json: expected a sweep.json of tools/sweep_net"):
        read_results(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_results(tmp_path / "sweep.json")
