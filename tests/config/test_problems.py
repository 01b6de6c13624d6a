"""Errors carry their key as data, on the way from a class to the user, and across processes."""

import pickle

import pytest

from slowfast.config import ConfigValueError, ParameterError, Problem, UserError, keys


def test_a_builder_adds_the_key():
    with pytest.raises(ConfigValueError) as caught, keys(size="DATA.TRAIN_CROP_SIZE"):
        raise ParameterError("size", "got 0; expected more.")
    assert caught.value.problem == Problem("DATA.TRAIN_CROP_SIZE", "got 0; expected more.")
    assert str(caught.value) == "DATA.TRAIN_CROP_SIZE: got 0; expected more."
    assert isinstance(caught.value, UserError)


def test_what_no_key_is_known_for_stays_as_it_is():
    with pytest.raises(ParameterError, match=r"^rate: got 0$"), keys(size="DATA.TRAIN_CROP_SIZE"):
        raise ParameterError("rate", "got 0")
    with pytest.raises(ValueError, match="size: got 0"), keys(size="DATA.TRAIN_CROP_SIZE"):
        raise ValueError("size: got 0")


def test_the_innermost_builder_decides():
    with pytest.raises(ConfigValueError, match=r"^A.B: x$"), keys(size="C.D"), keys(size="A.B"):
        raise ParameterError("size", "x")


@pytest.mark.parametrize("error", [ConfigValueError("A.B", "x"), ParameterError("size", "x")])
def test_errors_cross_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))
