"""The loader: bad, hanging and killing files are set aside, everything else arrives in order."""

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from slowfast.config import UserError
from slowfast.datasets import resilient_loader as loader_module
from slowfast.datasets.bad_media import BadMedia, BadMediaLog
from slowfast.datasets.decoding.reader import MediaError
from slowfast.datasets.fault_tolerant import FaultTolerantDataset, Heartbeat
from slowfast.datasets.resilient_loader import LoaderSettings, ResilientLoader
from slowfast.datasets.sampler import EvaluationBatches, TrainBatches


class Behaving(Dataset):
    """Samples of which some misbehave: ``faults`` maps an index to what it does."""

    def __init__(self, length=12, **faults):
        self.length, self.faults = length, {int(k[1:]): v for k, v in faults.items()}

    def __len__(self):
        return self.length

    def path(self, index):
        return f"/videos/{index}.mp4"

    def __getitem__(self, key):
        epoch, index = key
        fault = self.faults.get(index)
        if fault == "bad":
            raise MediaError(self.path(index), "it is damaged")
        if fault == "hang":
            time.sleep(600)
        if fault == "kill":
            os._exit(7)
        return {"index": index, "epoch": epoch, "video": np.full((1, 2), index, np.uint8)}


class Shared(Behaving):
    """Three samples of each of ``length`` files: sample i belongs to file i modulo their number."""

    def __len__(self):
        return 3 * self.length

    def row(self, index):
        return index % self.length

    @property
    def manifest(self):
        return range(self.length)

    def path(self, index):
        return super().path(self.row(index))

    def __getitem__(self, key):
        super().__getitem__((key[0], self.row(key[1])))
        return {"index": key[1]}


def make_loader(
    tmp_path, dataset, *, policy="drop", workers=0, timeout=60.0, fraction=1.0, size=3, train=None
):
    """A loader of all samples in order; ``train``: what TrainBatches gets besides, if it trains."""
    limit = fraction if train else 0.0
    guarded = FaultTolerantDataset(dataset, policy=policy, seed=1, max_fraction=limit)
    plan = {"length": len(dataset), "batch_size": size, "rank": 0, "world_size": 1}
    batches = TrainBatches(**plan, **train) if train else EvaluationBatches(**plan)
    split = "train" if train else "test"
    log = BadMediaLog(tmp_path, split=split, num_files=guarded.num_files, max_fraction=fraction)
    settings = LoaderSettings(num_workers=workers, file_timeout_sec=timeout)
    return ResilientLoader(guarded, batches, settings, log)


def indices(loader):
    return [batch["index"].tolist() for batch in loader]


def records(tmp_path):
    with (tmp_path / "bad_media.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_sample_in_order(tmp_path, workers):
    loader = make_loader(tmp_path, Behaving(), workers=workers)
    assert indices(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert not (tmp_path / "bad_media.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")
def test_workers_are_forked_in_a_rank_that_was_spawned(tmp_path):
    class Local(Behaving):
        """Not importable: a process that is spawned could not receive it."""

    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)  # as in such a rank
    try:
        assert len(indices(make_loader(tmp_path, Local(), workers=2))) == 4
    finally:
        multiprocessing.set_start_method(before, force=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_files_are_left_out_of_evaluation_and_recorded(tmp_path, workers):
    dataset = Behaving(i1="bad", i3="bad", i4="bad", i5="bad")
    loader = make_loader(tmp_path, dataset, workers=workers)
    assert indices(loader) == [[0, 2], [6, 7, 8], [9, 10, 11]]
    assert {row["path"] for row in records(tmp_path)} == {f"/videos/{i}.mp4" for i in (1, 3, 4, 5)}
    assert {row["reason"] for row in records(tmp_path)} == {"it is damaged"}


def test_bad_training_files_are_replaced_the_same_way_each_time(tmp_path):
    loader = make_loader(tmp_path, Behaving(i1="bad"), policy="resample")
    first = indices(loader)
    stand_in = first[0][1]
    assert stand_in != 1
    assert first == [[0, stand_in, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert indices(make_loader(tmp_path / "b", Behaving(i1="bad"), policy="resample")) == first
    assert len(records(tmp_path)) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_policy_error_stops_the_run(tmp_path, workers):
    loader = make_loader(tmp_path, Behaving(i4="bad"), policy="raise", workers=workers)
    with pytest.raises(UserError, match=r"ON_DECODE_ERROR is 'raise'.*/videos/4.mp4.*damaged"):
        indices(loader)


def test_too_many_bad_files_stop_the_run(tmp_path):
    loader = make_loader(tmp_path, Behaving(i0="bad", i7="bad"), fraction=0.1)
    with pytest.raises(UserError, match=r"MAX_BAD_FRACTION: 2 files of the test split are bad"):
        indices(loader)


def test_nothing_but_bad_files_stops_at_once(tmp_path):
    dataset = Behaving(**{f"i{i}": "bad" for i in range(12)})
    loader = make_loader(tmp_path, dataset, policy="resample")
    with pytest.raises(UserError, match="10 files in a row could not be decoded"):
        indices(loader)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_limit_that_was_set_decides(tmp_path, workers):
    """Three of four files are bad, nine of ten may be: it is replaced until a good one comes."""
    dataset = Behaving(40, **{f"i{i}": "bad" for i in range(40) if i % 4})
    options = {"policy": "resample", "fraction": 0.9, "workers": workers, "size": 4}
    seen = indices(make_loader(tmp_path, dataset, **options, train={"seed": 5, "max_epoch": 3}))
    assert len(seen) == 30
    assert all(index % 4 == 0 for batch in seen for index in batch)


def test_a_worker_that_dies_takes_one_file_with_it(tmp_path):
    loader = make_loader(tmp_path, Behaving(i4="kill"), workers=2)
    assert indices(loader) == [[0, 1, 2], [3, 5], [6, 7, 8], [9, 10, 11]]
    (row,) = records(tmp_path)
    assert row["path"] == "/videos/4.mp4"
    assert row["reason"] == "its worker process died (exit code 7)"


class KilledOnce(Behaving):
    """Workers that are killed from outside, at these samples, once each."""

    def __init__(self, folder, *at, number=signal.SIGKILL):
        super().__init__()
        self.folder, self.at, self.number = folder, at, number

    def __getitem__(self, key):
        mark = self.folder / str(key[1])
        if key[1] in self.at and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), self.number)
            time.sleep(60)
        return super().__getitem__(key)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_without_a_bad_file_changes_nothing(tmp_path, number):
    marks = tmp_path / "marks"
    marks.mkdir()
    loader = make_loader(tmp_path, KilledOnce(marks, 1, 4, 5, 10, number=number), workers=2)
    assert indices(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert len(list(marks.iterdir())) == 4
    assert not (tmp_path / "bad_media.csv").exists()


def test_an_idle_worker_that_dies_changes_nothing(tmp_path):
    """Nor does its death raise anything outside of the loader, in the backward pass for example."""
    loader = make_loader(tmp_path, Behaving(), workers=2)
    batches = iter(loader)
    seen = [next(batches)["index"].tolist()]
    (before,) = {child.pid for child in multiprocessing.active_children()[:1]}
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        sum(range(1000))  # the signal handler would raise here
    assert before not in {child.pid for child in multiprocessing.active_children()}
    seen += [batch["index"].tolist() for batch in batches]
    assert seen == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert not (tmp_path / "bad_media.csv").exists()


def test_workers_that_only_die_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loader_module, "_start_worker", lambda number, **_: os._exit(3))
    monkeypatch.setattr(loader_module, "_DEATHS_IN_A_ROW", 2)
    with pytest.raises(UserError, match=r"died 2 times in a row.*DATA_LOADER\.NUM_WORKERS"):
        indices(make_loader(tmp_path, Behaving(), workers=1))


def test_a_worker_that_is_stopped_outside_of_decoding_is_replaced(tmp_path, caplog):
    """No file is to blame: all samples come, and nothing is set aside."""
    loader = make_loader(tmp_path, Behaving(24), workers=2, timeout=1.0)
    batches = iter(loader)
    seen = [next(batches)["index"].tolist()]
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGSTOP)
    seen += [batch["index"].tolist() for batch in batches]
    assert seen == [list(range(k, k + 3)) for k in range(0, 24, 3)]
    assert "was stopped by a signal for 1 s (DATA.FILE_TIMEOUT_SEC)" in caplog.text
    assert not (tmp_path / "bad_media.csv").exists()


class StoppedOnce(KilledOnce):
    def __init__(self, folder, *at):
        super().__init__(folder, *at, number=signal.SIGSTOP)


def test_a_worker_that_is_stopped_while_it_decodes_is_replaced(tmp_path):
    loader = make_loader(tmp_path, StoppedOnce(tmp_path, 4), workers=2, timeout=1.0)
    assert indices(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert not (tmp_path / "bad_media.csv").exists()


def test_a_worker_that_blocks_outside_of_decoding_is_replaced(tmp_path, monkeypatch):
    real = loader_module.collate
    mark = tmp_path / "blocked"

    def collate(results):
        if results[0].sample["index"] == 3 and not mark.exists():
            mark.touch()
            time.sleep(60)
        return real(results)

    monkeypatch.setattr(loader_module, "collate", collate)
    loader = make_loader(tmp_path, Behaving(), workers=2, timeout=1.0)
    assert indices(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert mark.exists()
    assert not (tmp_path / "bad_media.csv").exists()


@pytest.mark.slow
def test_workers_that_are_stopped_again_and_again_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loader_module, "_DEATHS_IN_A_ROW", 2)
    monkeypatch.setattr(loader_module, "collate", lambda results: time.sleep(60))
    with pytest.raises(UserError, match=r"FILE_TIMEOUT_SEC: data workers were ended 2 times"):
        indices(make_loader(tmp_path, Behaving(), workers=1, timeout=0.5))


class Opens(Behaving):
    """Opens a named pipe that nobody writes to, as a hung network mount."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def __getitem__(self, key):
        if key[1] == 7:
            self.pipe.open("rb")
        return super().__getitem__(key)


def test_an_open_that_blocks_is_given_up_and_left_out_when_the_run_resumes(tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    dataset = Opens(tmp_path / "pipe")
    wanted = [[0, 1, 2], [3, 4, 5], [6, 8], [9, 10, 11]]
    assert indices(make_loader(tmp_path, dataset, workers=2, timeout=1.0)) == wanted
    with (tmp_path / "set_aside.csv").open("a", encoding="utf-8") as file:
        file.write("test,9")  # torn
    resumed = make_loader(tmp_path, dataset, workers=0)  # without workers nothing would end it
    assert "leaving out 1 files that hung or killed a worker" in caplog.text
    assert indices(resumed) == wanted
    assert len(resumed.bad_media) == 1
    assert len(records(tmp_path)) == 1


@pytest.mark.parametrize("fraction", [1.0, 0.995])
def test_the_only_good_file_is_found(tmp_path, fraction):
    dataset = Behaving(250, **{f"i{i}": "bad" for i in range(250) if i != 222})
    guarded = FaultTolerantDataset(dataset, policy="resample", seed=1, max_fraction=fraction)
    guarded._attempts = 3  # as if the others were bad, too
    for key in [(0, 5), (1, 5), (1, 240)]:
        assert guarded[key].sample["index"] == 222
        assert guarded[key].fatal == ""


def test_a_file_that_hangs_is_given_up(tmp_path):
    loader = make_loader(tmp_path, Behaving(i7="hang"), workers=2, timeout=1.0)
    assert indices(loader) == [[0, 1, 2], [3, 4, 5], [6, 8], [9, 10, 11]]
    assert "FILE_TIMEOUT_SEC" in records(tmp_path)[0]["reason"]


def test_training_goes_on_across_epochs_after_a_restart(tmp_path):
    plan = {"seed": 5, "max_epoch": 2}
    options = {"policy": "resample", "workers": 1, "train": plan}
    loader = make_loader(tmp_path, Behaving(i4="kill"), **options)
    seen = [list(zip(b["epoch"].tolist(), b["index"].tolist(), strict=True)) for b in loader]
    wanted = list(TrainBatches(length=12, batch_size=3, rank=0, world_size=1, **plan))
    for got, want in zip(seen, wanted, strict=True):
        assert [g for g, w in zip(got, want, strict=True) if w[1] != 4] == [
            w for w in want if w[1] != 4
        ]


@pytest.mark.parametrize("fraction", [1 / 6, 0.16])
def test_a_bad_file_counts_once_however_many_samples_it_has(tmp_path, fraction):
    loader = make_loader(tmp_path, Shared(6, i2="bad"), size=6, fraction=fraction)
    if fraction < 1 / 6:
        with pytest.raises(UserError, match=r"1 files of the test split are bad \(16.7%"):
            indices(loader)
        return
    assert indices(loader) == [[n for n in range(k, k + 6) if n % 6 != 2] for k in (0, 6, 12)]
    assert [row["path"] for row in records(tmp_path)] == ["/videos/2.mp4"]


def test_a_file_that_is_set_aside_is_set_aside_with_all_its_samples(tmp_path):
    loader = make_loader(tmp_path, Shared(4, i1="kill"), size=4, workers=1)
    assert indices(loader) == [[0, 2, 3], [4, 6, 7], [8, 10, 11]]
    assert [row["reason"] for row in records(tmp_path)] == ["its worker process died (exit code 7)"]


def test_errors_of_the_code_itself_are_not_hidden(tmp_path):
    class Broken(Behaving):
        def __getitem__(self, key):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        indices(make_loader(tmp_path, Broken(), workers=1))


class TooLarge(Behaving):
    def __getitem__(self, key):
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device"
        )


def test_full_shared_memory_is_named_with_what_to_do(tmp_path, monkeypatch):
    expected = r"DATA_LOADER\.NUM_WORKERS: .*/dev/shm of .* MB is full.*--shm-size.*NUM_WORKERS 0"
    with pytest.raises(UserError, match=expected):  # where a worker cannot hand over its batch
        indices(make_loader(tmp_path, TooLarge(4), workers=2))

    def full(self):
        raise RuntimeError("unable to allocate shared memory(shm) for file </x>: No space left")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(UserError, match=expected):  # where workers cannot even be started
        indices(make_loader(tmp_path, Behaving(4), workers=2))
    assert indices(make_loader(tmp_path, Behaving(4), workers=0))


def test_heartbeat():
    heartbeat = Heartbeat(2)
    assert heartbeat.overdue(0.0) == {}
    heartbeat.begin(1, 42)
    assert heartbeat.current(1) == 42
    assert heartbeat.overdue(-1.0) == {1: 42}
    assert heartbeat.overdue(60.0) == {}
    heartbeat.end(1)
    assert heartbeat.current(1) is None


def test_a_file_is_recorded_once(tmp_path):
    log = BadMediaLog(tmp_path, split="train", num_files=10, max_fraction=1.0)
    for _ in range(3):
        log.add(BadMedia(2, "a.mp4", "damaged"))
    assert len(log) == 1
    assert len(records(tmp_path)) == 1


def test_workers_inherit_no_threads_of_opencv(tmp_path):
    """Without this, about every second worker hangs if its parent has used OpenCV."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        cv2.cvtColor(np.zeros((4000, 300, 3), np.uint8), cv2.COLOR_RGB2GRAY)
        dataset = FaultTolerantDataset(Behaving(), policy="drop", seed=0)
        batches = EvaluationBatches(length=12, batch_size=3, rank=0, world_size=1)
        log = BadMediaLog(tmp_path, split="test", num_files=12, max_fraction=1.0)
        loader = ResilientLoader(dataset, batches, LoaderSettings(num_workers=1), log)
        assert sum(len(batch["index"]) for batch in loader) == 12
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(threads)


ORPHAN = """
import os, sys, time
from slowfast.datasets import resilient_loader
out, into = os.pipe()
if os.fork() == 0:
    resilient_loader._start_worker(0, is_own_thread=True)
    if sys.argv[1] == "alone":
        os.read(out, 1)
    sys.excepthook(ConnectionResetError, ConnectionResetError("lost"), None)
    os._exit(0)
os.close(out)
if sys.argv[1] == "alone":
    os.write(into, b"0")
    os._exit(0)
os.wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("parent", ["alive", "alone"])
def test_a_worker_that_loses_its_parent_prints_no_traceback(parent):
    done = subprocess.run([sys.executable, "-c", ORPHAN, parent], capture_output=True, check=True)
    assert (b"ConnectionResetError: lost" in done.stderr) == (parent == "alive")
