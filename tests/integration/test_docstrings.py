"""What ruff does not ask of docstrings: arguments, results, errors and shapes are described."""

import builtins
import importlib
import inspect
import pkgutil
import re

import stica
from torch import Tensor

import slowfast

TENSOR_TYPES = re.compile(r"\b(Tensor|ndarray|NDArray|Tokens|Frames)\b")
# A shape such as (B, C) or (V, T, H, W, 3), the word scalar, or "any shape".
SHAPE = re.compile(r"\([A-Z0-9a-z_'. *+()\-]+,[^()]*\)|[Ss]calar|[Aa]ny shape|[Ss]ame shape")
FEW = 3  # arguments that a summary and their names may explain
# What registered builders take; the registry says what it is.
BUILDER = {"cfg", "dim", "dim_in", "dim_out", "split", "state_dict", "provider"}


def public_functions():
    for package in (slowfast, stica):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for exported in getattr(module, "__all__", []):
                thing = getattr(module, exported)
                if inspect.isfunction(thing) and thing.__module__ == info.name:
                    yield f"{info.name}.{exported}", thing


def find_faults(function):
    text, signature = inspect.getdoc(function) or "", inspect.signature(function)
    is_full = "Args:" in text
    returns = signature.return_annotation
    returns_nothing = returns in (None, "None", inspect.Signature.empty)
    annotations = " ".join(str(p.annotation) for p in signature.parameters.values()) + str(returns)
    annotations = re.sub(r"(dict|Mapping)\[[^\]]*\]", "", annotations)  # entries are listed by name
    has_tensors = TENSOR_TYPES.search(annotations) and "Mapping" not in annotations
    described = set(signature.parameters) - BUILDER
    if not is_full and (len(described) > FEW or (described and has_tensors)):
        yield "arguments are not described"
    if is_full and has_tensors and not returns_nothing and not re.search("Returns:|Yields:", text):
        yield "what is returned is not described"
    if is_full and has_tensors and not SHAPE.search(text):
        yield "tensors without a shape"
    raised = re.findall(r"^\s+raise (\w+Error)\(", inspect.getsource(function), re.MULTILINE)
    known = {**vars(builtins), **inspect.unwrap(function).__globals__}
    for error in sorted(set(raised)):
        kinds = [kind for kind in known[error].__mro__ if issubclass(kind, Exception)]
        if not any(kind.__name__ in text for kind in kinds if kind is not Exception):
            yield f"raises {error}, but does not say so"


def test_docstrings_say_what_goes_in_what_comes_out_and_of_what_shape():
    functions = dict(public_functions())
    assert len(functions) > 400
    faults = [
        f"{name}: {fault}" for name, thing in functions.items() for fault in find_faults(thing)
    ]
    assert not faults, "\n".join(faults)


def test_the_rule_can_fail():
    def silent(x: Tensor) -> Tensor:
        """Do something.

        Args:
            x: A tensor.
        """
        if x.dim():
            raise ValueError("x")
        return x

    assert list(find_faults(silent)) == [
        "what is returned is not described",
        "tensors without a shape",
        "raises ValueError, but does not say so",
    ]
