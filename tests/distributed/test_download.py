"""Getting a file on several ranks: one downloads, and one rank's failure is everybody's."""

import os
from pathlib import Path

import pytest
import torch.distributed as dist
from helpers.http_files import serve

from slowfast.config import UserError
from slowfast.models.zoo.rows import resolve
from slowfast.utils.download import on_all_ranks

pytestmark = pytest.mark.distributed
CONTENT = bytes(range(256)) * 1000


def get(url, folder):
    os.environ["SLOWFAST_CACHE"] = folder
    try:
        return resolve(url).read_bytes() == CONTENT
    except UserError as error:
        return str(error)


def fail_on_one_rank(folder):
    def work():
        if dist.get_rank() == 1:
            raise UserError("rank 1 has no disk")
        return Path(folder)

    try:
        return str(on_all_ranks(work))
    except UserError as error:
        return str(error)


def test_one_rank_downloads_and_both_have_it(two_ranks, tmp_path):
    with serve(CONTENT, silent_sec=0.1) as server:
        assert two_ranks.run(get, server.url(), str(tmp_path)) == [True, True]
        assert two_ranks.run(get, server.url(), str(tmp_path)) == [True, True]
        assert len(server.requests) == 1


def test_a_file_that_is_not_there_fails_on_both(two_ranks, tmp_path):
    with serve(CONTENT, statuses=(404,) * 9) as server:
        answers = two_ranks.run(get, server.url(), str(tmp_path))
    assert all("404" in answer for answer in answers)


def test_one_ranks_failure_is_everybodys(two_ranks, tmp_path):
    first, second = two_ranks.run(fail_on_one_rank, str(tmp_path))
    assert second == "rank 1 has no disk"
    assert first == "another process could not load the file: rank 1 has no disk"
