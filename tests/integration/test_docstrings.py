"""Every public name has a docstring that says what goes in, what comes out, and of what shape."""

import importlib
import inspect
import pkgutil
import re

import pytest
import stica
from torch import Tensor

import slowfast

TENSOR_TYPES = re.compile(r"\b(Tensor|ndarray|NDArray|Tokens|Frames)\b")
# A shape such as (B, C) or (V, T, H, W, 3), the word scalar, or "any shape".
SHAPE = re.compile(r"\([A-Z0-9a-z_'. *+()\-]+,[^()]*\)|[Ss]calar|[Aa]ny shape|[Ss]ame shape")
# What registered builders take; the registry says what it is.
BUILDER = {"cfg", "dim", "dim_in", "dim_out", "split", "state_dict", "evidence"}


def modules():
    for package in (slowfast, stica):
        yield package.__name__
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield info.name


def public_names():
    found = []
    for name in modules():
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", []):
            thing = getattr(module, exported)
            if getattr(thing, "__module__", None) == name:
                found.append(pytest.param(thing, id=f"{name}.{exported}"))
    return found


def test_every_module_has_a_docstring_and_names_its_public_parts():
    for name in modules():
        module = importlib.import_module(name)
        assert inspect.getdoc(module), name


@pytest.mark.parametrize("thing", public_names())
def test_docstring(thing):
    text = inspect.getdoc(thing) or ""
    assert text.split("\n")[0].rstrip().endswith((".", "?", "!")), "no summary line"
    if not inspect.isfunction(thing):
        return
    signature = inspect.signature(thing)
    parameters = [p for p in signature.parameters if p not in ("self", "cls")]
    if not set(parameters) <= BUILDER:
        assert "Args:" in text, "arguments are not described"
    returns = signature.return_annotation
    if "Args:" in text and returns not in (None, "None", inspect.Signature.empty):
        described = "Returns:" in text or "Yields:" in text
        assert described, "what is returned is not described"
    annotations = " ".join(str(p.annotation) for p in signature.parameters.values()) + str(returns)
    annotations = re.sub(r"(dict|Mapping)\[[^\]]*\]", "", annotations)  # entries are listed by name
    if "Args:" in text and TENSOR_TYPES.search(annotations) and "Mapping" not in annotations:
        assert SHAPE.search(text), "tensors without a shape"


@pytest.mark.parametrize("thing", public_names())
def test_what_is_raised_is_described(thing):
    if not inspect.isfunction(thing):
        return
    raised = set(re.findall(r"^\s+raise (\w+Error)\(", inspect.getsource(thing), re.MULTILINE))
    text = inspect.getdoc(thing) or ""
    for error in raised:
        assert error in text, f"raises {error}, but does not say so"


def test_the_rule_can_fail():
    def silent(x: Tensor) -> Tensor:
        """Do something.

        Args:
            x: A tensor.

        Returns:
            Another.
        """
        return x

    silent.__module__ = __name__
    with pytest.raises(AssertionError, match="tensors without a shape"):
        test_docstring(silent)
