import pytest


@pytest.fixture
def _cache(tmp_path, monkeypatch):
    """A test that counts on an empty cache, not that of the whole session."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    # Needs PyAV, without which the tests of preprocessing run on a GPU (benchmarks/gpu/check.py).
    from slowfast.datasets.demo.generator import DemoSpec, generate_demo

    spec = DemoSpec(num_train_per_class=1, num_test_per_class=1)
    return generate_demo(tmp_path_factory.mktemp("videos"), spec, num_workers=0)
