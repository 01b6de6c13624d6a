import pytest
from helpers.stica_cfg import small_stica


@pytest.fixture
def cfg():
    return small_stica()
