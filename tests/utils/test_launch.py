import signal

import pytest
from helpers.launch_targets import end_rank_one, fail_on_rank_one, write_rank

from slowfast.config.problems import UserError
from slowfast.utils.launch import launch
from slowfast.utils.placement import (
    DistEnv,
    dist_env_from_environment,
    local_world_size,
    master_addr,
    num_machines,
)
from slowfast.utils.watch import RankError

SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_NODELIST": "gpu[003-005,7],login",
    "SLURM_JOB_ID": "123456",
}


@pytest.mark.parametrize(
    ("nodelist", "host"),
    [
        ("node1", "node1"),
        ("node1,node2", "node1"),
        ("gpu[003-005,7],login", "gpu003"),
        ("gpu[7,003-005]", "gpu7"),
        ("a-b[12]-ib,c", "a-b12-ib"),
        ("r[1-2]n[3-4]", "r1n3"),
        ("", ""),
    ],
)
def test_first_host(nodelist, host):
    assert master_addr(nodelist) == host


def test_torchrun():
    env = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "host", **SLURM}
    assert dist_env_from_environment(env) == DistEnv(3, 4, 1, "env://")


def test_slurm():
    place = dist_env_from_environment(SLURM)
    assert place == DistEnv(5, 8, 1, "tcp://gpu003:23456")
    chosen = dist_env_from_environment({**SLURM, "MASTER_ADDR": "a", "MASTER_PORT": "7"})
    assert chosen.init_method == "tcp://a:7"
    preferred = dist_env_from_environment({**SLURM, "SLURM_JOB_NODELIST": "n[2-3]"})
    assert preferred.init_method == "tcp://n2:23456"


def test_a_step_of_a_slurm_job():
    """``srun`` may start fewer tasks, on fewer nodes, than the job has."""
    step = {"SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NODELIST": "n[8-9]"}
    assert dist_env_from_environment({**SLURM, **step}) == DistEnv(5, 6, 1, "tcp://n8:23456")
    assert dist_env_from_environment({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}) is None


@pytest.mark.parametrize("text", ["4(x2)", "4,4", "4(x1),4(x1)"])
def test_tasks_of_a_machine(monkeypatch, text):
    """SLURM_NTASKS_PER_NODE is only there if --ntasks-per-node was given."""
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for name, value in {**SLURM, "SLURM_TASKS_PER_NODE": text}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("slowfast.utils.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("slowfast.utils.distributed.world_size", lambda: 8)
    assert (local_world_size(1), num_machines(1)) == (4, 2)


def test_machines_with_different_numbers_of_tasks():
    with pytest.raises(UserError, match=r"SLURM started 4\(x2\),3 processes on its machines"):
        dist_env_from_environment({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "4(x2),3"})


def test_submitits_local_executor():
    env = {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_NTASKS": "2",
        "SUBMITIT_LOCAL_GLOBALID": "1",
        "SUBMITIT_LOCAL_LOCALID": "1",
        "SUBMITIT_LOCAL_JOB_ID": "123456",
    }
    assert dist_env_from_environment(env) == DistEnv(1, 2, 1, "tcp://localhost:23456")
    assert dist_env_from_environment({**env, "SUBMITIT_LOCAL_NTASKS": "1"}) is None


@pytest.mark.parametrize("env", [{}, {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, {"RANK": "0"}])
def test_nobody_launched(env):
    assert dist_env_from_environment(env) is None


@pytest.mark.parametrize(
    ("shards", "world", "local", "machines"),
    [(8, None, None, 8), (1, None, None, 1), (2, 16, None, 2), (1, 16, "8", 2), (2, 16, "4", 4)],
)
def test_machines_of_a_job(monkeypatch, shards, world, local, machines):
    """torchrun and SLURM know better than NUM_SHARDS, which may be left at 1."""
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if local:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    monkeypatch.setattr("slowfast.utils.distributed.is_initialized", lambda: world is not None)
    monkeypatch.setattr("slowfast.utils.distributed.world_size", lambda: world or 1)
    assert num_machines(shards) == machines


def test_incomplete_environment():
    env = {key: value for key, value in SLURM.items() if key != "SLURM_LOCALID"}
    with pytest.raises(UserError, match="SLURM_LOCALID is not set"):
        dist_env_from_environment(env)
    with pytest.raises(UserError, match=r"not a number.*'one'"):
        dist_env_from_environment({"RANK": "one", "WORLD_SIZE": "2"})


@pytest.fixture
def _no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_launcher")
def test_one_process_just_calls(tmp_path):
    launch(write_rank, (str(tmp_path),))
    assert [path.name for path in tmp_path.iterdir()] == ["0_of_1"]


@pytest.mark.usefixtures("_no_launcher")
def test_contradictions():
    with pytest.raises(UserError, match="SHARD_ID: got 2, expected 0 to NUM_SHARDS - 1 = 1"):
        launch(write_rank, num_shards=2, shard_id=2)
    with pytest.raises(UserError, match="--init_method: got 'tcp://localhost' for NUM_SHARDS 2"):
        launch(write_rank, num_shards=2)
    with pytest.raises(UserError, match="DIST_BACKEND: nccl needs one GPU per process"):
        launch(
            write_rank,
            num_shards=99,
            shard_id=98,
            backend="nccl",
            init_method="tcp://localhost:1",
            num_processes=1,
        )


@pytest.mark.distributed
@pytest.mark.usefixtures("_no_launcher")
def test_two_processes(tmp_path):
    launch(write_rank, (str(tmp_path),), num_processes=2)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"0_of_2": "[0, 1]", "1_of_2": "[0, 1]"}


@pytest.mark.distributed
@pytest.mark.usefixtures("_no_launcher")
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, r"^rank 1 \(process \d+\) was ended by SIGKILL"),
        (signal.SIGSTOP, r"^no sign of life from rank 1 \(.*DIST.TIMEOUT_SEC 8\)"),
    ],
)
def test_a_rank_that_is_killed_or_stopped_is_named(number, message):
    with pytest.raises(RankError, match=message) as caught:
        launch(end_rank_one, (number,), num_processes=2, timeout_sec=8)
    assert (caught.value.ranks, caught.value.status) == ([1], 1)


@pytest.mark.distributed
@pytest.mark.usefixtures("_no_launcher")
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("user", UserError, "^DATA.PATH: no such folder$"),
        ("config", UserError, "^1 problem in the configuration:\n  TRAIN.BATCH_SIZE: got 0$"),
        ("value", ValueError, "^shapes disagree$"),
        ("unpicklable", RuntimeError, "^UnpicklableError: held by a lambda$"),
    ],
)
def test_the_first_exception_of_a_child_is_raised_here(kind, error, message):
    with pytest.raises(error, match=message) as caught:
        launch(fail_on_rank_one, (kind,), num_processes=2)
    assert "in fail_on_rank_one" in str(caught.value.__cause__)
