"""What every test gets: one thread, a seed, models on the CPU, and a cache folder of its own."""

import logging
import random
import socket

import pytest
import torch
from helpers.browser import chromium, open_page  # noqa: F401

from slowfast.models import build
from slowfast.utils import exit_codes

torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Every test begins with the same random numbers, alone and in any order; also its fixtures."""
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("SLOWFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
    # Tests make batches on the CPU: build_model leaves models there, also on machines with a GPU.
    patch.setattr(build, "_device", lambda cfg, gpu_id: torch.device("cpu"))
    # Commands called in the process of the tests leave its environment as it is.
    patch.setattr(exit_codes, "_shut_out_working_folder", lambda: None)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _own_log_levels():
    """A command that was called in one test must not silence the log of the next."""
    yield
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("slowfast").setLevel(logging.NOTSET)


@pytest.fixture
def port():
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
