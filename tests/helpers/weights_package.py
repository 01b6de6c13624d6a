"""A package of weights in a temporary folder, found as an installed one is."""

from slowfast.models.zoo.packaged import packaged_rows
from slowfast.models.zoo.rows import ZOO_REGISTRY, register_rows

PACKAGE = "small_weights_of_a_test"


def make_package(tmp_path, monkeypatch):
    """Create the package; what it registers is forgotten after the test."""
    root = tmp_path / PACKAGE
    root.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(ZOO_REGISTRY, "_obj_map", dict(ZOO_REGISTRY._obj_map))
    return root


def register_package():
    """Register its rows, as importing a project does."""

    @register_rows
    def rows():
        yield from packaged_rows(PACKAGE)
