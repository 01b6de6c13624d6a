"""The processes of a job compare what must be the same."""

import pytest
import torch
from torch import nn

from slowfast.config import UserError, get_cfg
from slowfast.engine.agreement import require_same_restart, require_same_start
from slowfast.engine.restart import Restart
from slowfast.utils import distributed
from slowfast.utils.agreement import code_facts, require_same

pytestmark = pytest.mark.distributed


def _start(*words):
    cfg = get_cfg()
    pairs = words[distributed.rank()]
    cfg.merge_from_list(pairs)
    try:
        require_same_start(cfg)
    except UserError as error:
        return str(error), error.is_told
    return "", False


def test_a_difference_names_key_values_and_ranks(two_ranks):
    (first, told), (second, told_too) = two_ranks.run(
        _start, ["SOLVER.BASE_LR", 0.1, "RNG_SEED", 1], ["SOLVER.BASE_LR", 0.2, "RNG_SEED", 7]
    )
    assert first == second
    lines = first.splitlines()
    assert lines[0] == "the processes of this job differ:"
    assert lines[1].startswith("  RNG_SEED: 1 on rank 0 (")
    assert "; 7 on rank 1 (" in lines[1]
    assert lines[2].startswith("  SOLVER.BASE_LR: 0.1 on rank 0 (")
    assert len(lines) == 4
    assert (told, told_too) == (False, True)  # one message of a machine


def test_what_machines_have_of_their_own_may_differ(two_ranks):
    one = ["SHARD_ID", 0, "DATA.PATH_TO_DATA_DIR", "/a", "NUM_THREADS", 1, "OUTPUT_DIR", "/x"]
    two = ["SHARD_ID", 1, "DATA.PATH_TO_DATA_DIR", "/b", "NUM_THREADS", 2, "OUTPUT_DIR", "/y"]
    assert two_ranks.run(_start, one, two) == [("", False), ("", False)]


def _restart():
    try:
        require_same_restart(Restart(distributed.rank(), 5))
    except UserError as error:
        return str(error)
    return ""


def test_ranks_that_resume_at_other_places(two_ranks):
    for text in two_ranks.run(_restart):
        assert "completed epochs: 0 on rank 0" in text
        assert "OUTPUT_DIR must be one folder that all machines share" in text


def _random_model(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def _random_weights():
    model = _random_model(distributed.rank())
    distributed.copy_from_main(model)
    return [value.clone() for value in model.state_dict().values()]


def test_random_weights_of_a_test_are_those_of_rank_0(two_ranks):
    expected = _random_model(0).state_dict().values()
    for found in two_ranks.run(_random_weights):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_code_is_identified(tmp_path, monkeypatch):
    (tmp_path / "some_project.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_facts(["slowfast", "some_project"])
    (tmp_path / "some_project.py").write_text("x = 2\n", encoding="utf-8")
    after = code_facts(["slowfast", "some_project"])
    assert before["code of slowfast"] == after["code of slowfast"]
    assert before["code of some_project"] != after["code of some_project"]
    require_same(after, "")  # one process agrees with itself
