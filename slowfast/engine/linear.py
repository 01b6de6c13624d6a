"""Linear classifiers on features, fitted on the CPU in float64.

Legend: N samples, C channels, M classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "GridSearchResult",
    "LinearClassifier",
    "Standardizer",
    "fit_logistic_regression",
    "fit_standardizer",
    "fit_with_cv",
    "grid_search_cv",
    "stratified_folds",
]

_MAX_STEPS = 500
# Stopping criteria of LBFGS: largest gradient element, and change of loss or weights per step.
_GRADIENT_TOLERANCE = 1e-5
_CHANGE_TOLERANCE = 1e-7
# Smallest deviation, relative to the typical one: a channel that is constant in a few training
# samples may not be constant in the test samples.
_LEAST_DEVIATION = 1e-3


class Standardizer(NamedTuple):
    """Subtracts the mean and divides by the standard deviation, both float64 (C,)."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Standardize (N, C); returns float64."""
        return (features.double() - self.mean) / self.deviation


class LinearClassifier(NamedTuple):
    """Standardization and weights.

    Attributes:
        standardize: Fitted on the training samples.
        weight: float64 (C + 1, M); the last row is the bias.
    """

    standardize: Standardizer
    weight: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Score (N, C) features; returns logits, float64 (N, M)."""
        return self.standardize(features) @ self.weight[:-1] + self.weight[-1]


class GridSearchResult(NamedTuple):
    """Result of a grid search.

    Attributes:
        best: The best setting.
        accuracy: Setting -> accuracy on the held-out samples; empty if there was only one setting.
    """

    best: float
    accuracy: dict[float, float]


def fit_standardizer(features: Tensor) -> Standardizer:
    """Compute mean and standard deviation of each channel.

    Args:
        features: float (N, C), N >= 1.

    Returns:
        The standardizer.
    """
    wide = features.double()
    deviation = wide.std(dim=0, correction=0)
    typical = deviation.square().mean().sqrt()
    floor = _LEAST_DEVIATION * float(typical) or 1.0  # all constant: any number works
    return Standardizer(wide.mean(dim=0), deviation.clamp(min=floor))


def fit_logistic_regression(
    features: Tensor,
    label: Tensor,
    num_classes: int,
    decay: float,
    start: LinearClassifier | None = None,
) -> LinearClassifier:
    """Fit multinomial logistic regression by LBFGS, deterministically.

    Minimizes the mean cross-entropy plus ``decay`` times the squared norm of the weights (without
    bias) on standardized features.

    Args:
        features: float (N, C), standardized here.
        label: int64 (N,), 0 to M - 1; classes may be absent.
        num_classes: M.
        decay: Weight decay, > 0, since weights diverge on separable classes without it.
        start: Initial classifier, such as one fitted with another decay. The optimum does not
            depend on it.

    Returns:
        The classifier.
    """
    standardize = fit_standardizer(features)
    inputs = F.pad(standardize(features), (0, 1), value=1.0)  # (N, C + 1)
    weight = inputs.new_zeros(inputs.shape[1], num_classes) if start is None else start.weight
    weight = weight.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight],
        max_iter=_MAX_STEPS,
        tolerance_grad=_GRADIENT_TOLERANCE,
        tolerance_change=_CHANGE_TOLERANCE,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(inputs @ weight, label) + decay * weight[:-1].square().sum()
        loss.backward()
        return loss.detach()

    optimizer.step(closure)
    return LinearClassifier(standardize, weight.detach())


def fit_with_cv(
    features: Tensor, label: Tensor, num_classes: int, decays: Sequence[float], num_folds: int
) -> tuple[LinearClassifier, GridSearchResult]:
    """Fit with the weight decay that is best in cross-validation on the samples.

    Args:
        features: float (N, C).
        label: int64 (N,), 0 to M - 1.
        num_classes: M.
        decays: Candidates; the largest one wins on ties.
        num_folds: Folds of the cross-validation.

    Returns:
        The classifier, fitted on all samples, and the result of the grid search.
    """

    def predict(train: Tensor, held_out: Tensor, ordered: Sequence[float]) -> list[Tensor]:
        classifier, predictions = None, []
        for decay in ordered:
            classifier = fit_logistic_regression(
                features[train], label[train], num_classes, decay, classifier
            )
            predictions.append(classifier.scores(features[held_out]).argmax(dim=1))
        return predictions

    choice = grid_search_cv(label, sorted(decays, reverse=True), num_folds, predict)
    return fit_logistic_regression(features, label, num_classes, choice.best), choice


def grid_search_cv(
    label: Tensor,
    settings: Sequence[float],
    num_folds: int,
    predict: Callable[[Tensor, Tensor, Sequence[float]], list[Tensor]],
) -> GridSearchResult:
    """Select a setting by stratified cross-validation.

    Args:
        label: int64 (N,).
        settings: Candidates; the first one wins on ties.
        num_folds: Folds, at least 2.
        predict: ``(rows to fit, rows held out, settings)``, both bool (N,), -> for each setting
            int64 (held out,).

    Returns:
        The result; the first setting if there is only one, or no sample to hold out.
    """
    folds = stratified_folds(label, num_folds)
    used = torch.unique(folds).tolist()
    if len(settings) < 2 or len(used) < 2:
        return GridSearchResult(settings[0], {})
    right = torch.zeros(len(settings), dtype=torch.int64)
    for fold in used:
        held_out = folds == fold
        predictions = predict(~held_out, held_out, settings)
        right += torch.stack([(p == label[held_out]).sum() for p in predictions])
    accuracy = dict(zip(settings, (right / len(label)).tolist(), strict=True))
    return GridSearchResult(settings[int(right.argmax())], accuracy)


def stratified_folds(label: Tensor, num_folds: int) -> Tensor:
    """Split samples into folds, stratified by class.

    A class is split into runs of neighboring samples, as neighbors in a list of videos often come
    from one recording and should be in one fold. The first run of each class is in another fold
    than that of the previous class, so that small classes are spread over folds.

    Args:
        label: int64 (N,).
        num_folds: Folds to make.

    Returns:
        int64 (N,), 0 to ``num_folds`` - 1. With few samples some folds may be empty.
    """
    folds = torch.empty_like(label)
    first = 0
    for number in torch.unique(label).tolist():
        rows = (label == number).nonzero().flatten()
        run = torch.arange(len(rows)) * num_folds // len(rows)
        folds[rows] = (run + first) % num_folds
        first += min(len(rows), num_folds)
    return folds
