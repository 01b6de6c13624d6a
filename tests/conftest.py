"""What every test gets: one thread, and a cache folder of its own instead of the user's."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("SLOWFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
