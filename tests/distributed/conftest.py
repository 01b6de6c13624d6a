import pytest
from helpers.gloo_pool import GlooPool


@pytest.fixture(scope="session")
def two_ranks():
    pool = GlooPool(2)
    yield pool
    pool.close()
