"""Linear classifiers against scikit-learn, and the choice of their settings."""

import numpy as np
import pytest
import torch

from slowfast.engine.linear import (
    fit_logistic_regression,
    fit_standardizer,
    fit_with_cv,
    grid_search_cv,
    stratified_folds,
)


def blobs(per_class, classes, dim, spread=1.0, seed=0):
    """Gaussian classes: float32 (N, dim) and int64 (N,), class by class."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    label = torch.arange(classes).repeat_interleave(per_class)
    return centers[label] + spread * torch.randn(len(label), dim, generator=generator), label


@pytest.mark.parametrize("decay", [1e-3, 1e-1])
@pytest.mark.parametrize("classes", [2, 4])
def test_it_equals_scikit_learns(decay, classes):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, label = blobs(20, classes, 6, spread=2.0)
    ours = fit_logistic_regression(features, label, classes, decay)
    # Its penalty is |w|^2 / 2 against C times the sum of losses. Of two classes it fits the
    # difference of our two vectors, whose square is twice the sum of theirs.
    cost = (2 if classes == 2 else 1) / (2 * decay * len(label))
    theirs = linear_model.LogisticRegression(C=cost, tol=1e-9, max_iter=9999)
    standardized = (features - features.mean(0)) / features.std(0, correction=0)
    theirs.fit(standardized.double().numpy(), label.numpy())
    expected = theirs.predict_proba(standardized.double().numpy())
    np.testing.assert_allclose(ours.scores(features).softmax(dim=1), expected, atol=5e-4)


def test_the_same_optimum_from_another_start():
    features, label = blobs(20, 3, 5, spread=2.0)
    strong = fit_logistic_regression(features, label, 3, 1e-1)
    cold = fit_logistic_regression(features, label, 3, 1e-2)
    warm = fit_logistic_regression(features, label, 3, 1e-2, strong)
    torch.testing.assert_close(warm.weight, cold.weight, atol=1e-3, rtol=0)
    assert (strong.weight - cold.weight).abs().max() > 0.1


def test_a_class_without_a_sample_is_never_predicted():
    features, label = blobs(10, 3, 4)
    classifier = fit_logistic_regression(features, label, 5, 1e-2)
    assert set(classifier.scores(features).argmax(dim=1).tolist()) == {0, 1, 2}


def test_standardization():
    features = torch.tensor([[1.0, 10.0, 5.0], [3.0, 30.0, 5.0]])
    standardize = fit_standardizer(features)
    assert standardize(features).tolist() == [[-1, -1, 0], [1, 1, 0]]
    # A channel that is constant in training is not blown up without bound in testing.
    assert standardize(features + 1).abs().max() < 1e3
    assert fit_standardizer(torch.ones(1, 3))(torch.ones(1, 3) * 3).tolist() == [[2, 2, 2]]


def test_folds_share_every_class_and_hold_neighbors_out_together():
    label = torch.tensor([0] * 10 + [3] * 5)
    folds = stratified_folds(label, 5)
    assert folds[:10].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert sorted(folds[10:].tolist()) == [0, 1, 2, 3, 4]
    # Whatever the order of classes in the list; and single samples do not crowd into one fold.
    label = torch.tensor([1, 0, 1, 0, 1, 0])
    assert stratified_folds(label, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert sorted(stratified_folds(torch.arange(6), 3).tolist()) == [0, 0, 1, 1, 2, 2]


def test_the_setting_that_does_best_on_held_out_samples_is_chosen():
    label = torch.arange(30) % 3
    seen = torch.zeros(30, dtype=torch.int64)

    def predict(train, held_out, settings):
        assert not (train & held_out).any()
        seen.add_(held_out)
        return [label[held_out] if s == 2.0 else (label[held_out] + 1) % 3 for s in settings]

    choice = grid_search_cv(label, [1.0, 2.0, 3.0], 5, predict)
    assert choice == (2.0, {1.0: 0.0, 2.0: 1.0, 3.0: 0.0})
    assert seen.tolist() == [1] * 30


def test_of_equal_decays_the_largest_wins():
    features, label = blobs(10, 3, 4, spread=0.01)
    _, choice = fit_with_cv(features, label, 3, [1e-4, 1e-2, 1e-3], 5)
    assert choice.best == 1e-2
    assert set(choice.accuracy.values()) == {1.0}


def test_validation_finds_the_decay_that_generalizes():
    """Sixty channels of which five tell the class: with little decay the noise is learned too."""

    def sample(per_class, seed):
        clear, label = blobs(per_class, 3, 5, spread=1.5, seed=seed)
        noise, _ = blobs(per_class, 3, 55, spread=20.0, seed=seed + 1)
        return torch.cat([clear, noise], dim=1), label

    (features, label), (test, target) = sample(12, 0), sample(100, 2)
    classifier, choice = fit_with_cv(features, label, 3, [1e-6, 1.0], 4)
    weak = fit_logistic_regression(features, label, 3, 1e-6)
    assert choice.best == 1.0
    right = [(c.scores(test).argmax(dim=1) == target).sum() for c in (classifier, weak)]
    assert right[0] > right[1]


@pytest.mark.parametrize("label", [[0], [0, 0, 0], [0, 1], [0, 1, 2, 2]])
def test_tiny_sets(label):
    """One sample, one class, and classes of a single sample."""
    label = torch.tensor(label)
    features = torch.nn.functional.one_hot(label, 4).float()
    classifier, choice = fit_with_cv(features, label, int(label.max()) + 1, [1e-3, 1e-2], 5)
    assert choice.best == 1e-2
    assert torch.equal(classifier.scores(features).argmax(dim=1), label)


def test_one_setting_needs_no_validation():
    def predict(*_):
        raise AssertionError

    assert grid_search_cv(torch.arange(9), [0.5], 3, predict) == (0.5, {})
