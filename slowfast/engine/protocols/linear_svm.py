"""A linear support vector machine on frozen features, common for audio datasets."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.linear import fit_standardizer, grid_search_cv
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.engine.protocols.linear_probe import log_selected
from slowfast.engine.protocols.probe import read_probe

__all__ = ["INSTALL_HINT", "has_scikit_learn", "linear_svm"]

INSTALL_HINT = "'linear_svm' needs scikit-learn: pip install 'slowfast-stica[eval]'."

_MAX_STEPS = 5000


def has_scikit_learn() -> bool:
    """Return whether scikit-learn is installed."""
    return importlib.util.find_spec("sklearn") is not None


@PROTOCOL_REGISTRY.register(one_label=True)
def linear_svm(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure a one-vs-rest linear SVM on standardized features.

    The cost C is selected by cross-validation within the train split.

    Args:
        provider: Features of both splits; audio features are averaged over the clips of a file.
        cfg: PROBE.FEATURE, SVM_COSTS, VALIDATION_FOLDS.

    Returns:
        ``linear_svm_top1``.

    Raises:
        UserError: If labels, features or scikit-learn are missing.
    """
    if not has_scikit_learn():
        raise ConfigValueError("TEST.PROTOCOLS", INSTALL_HINT)
    probe = read_probe(provider, cfg, "linear_svm")
    label, target = probe.split.label, probe.split.target

    def predict(train: Tensor, held_out: Tensor, costs: Sequence[float]) -> list[Tensor]:
        inputs, queries = probe.inputs[train], probe.inputs[held_out]
        return [_fit_predict(inputs, label[train], queries, cost) for cost in costs]

    choice = grid_search_cv(label, sorted(cfg.PROBE.SVM_COSTS), cfg.PROBE.VALIDATION_FOLDS, predict)
    log_selected("linear_svm", "PROBE.SVM_COSTS", choice)
    right = _fit_predict(probe.inputs, label, probe.queries, choice.best) == target
    value = float(right.double().mean())
    return {"linear_svm_top1": Result(value, probe.split.chance(1), count=len(target))}


def _fit_predict(inputs: Tensor, label: Tensor, queries: Tensor, cost: float) -> Tensor:
    """Fit on (G, C), int64 (G,) and predict (N, C): int64 (N,)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    if len(torch.unique(label)) < 2:  # scikit-learn requires two classes
        return label[:1].expand(len(queries))
    standardize = fit_standardizer(inputs)
    machine = LinearSVC(C=cost, random_state=0, max_iter=_MAX_STEPS)
    with warnings.catch_warnings():
        # A large cost on separable classes does not converge; early stopping is fine.
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(standardize(inputs).numpy(), label.numpy())
    return torch.from_numpy(machine.predict(standardize(queries).numpy()))
