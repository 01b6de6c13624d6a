"""Trivial baselines: descriptions by hand, the classifier against scikit-learn, the protocol."""

import numpy as np
import pytest
import torch

from slowfast.config import UserError
from slowfast.engine.protocols.baselines import (
    baselines,
    fit_linear_classifier,
    mean_colour,
    mean_frame_difference,
    mel_statistics,
)


def test_descriptions_by_hand():
    video = torch.zeros(1, 1, 2, 2, 2, 3, dtype=torch.uint8)
    video[0, 0, 1, 0, 0, 0] = 200  # one red pixel in the second frame
    assert mean_colour(video).tolist() == [[[0, 0, 0, 50, 0, 0]]]
    assert mean_frame_difference(video)[0, 0].tolist() == pytest.approx([200 / 12])
    mel = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).view(1, 1, 1, 2, 2)
    assert mel_statistics(mel).tolist() == [[[2.0, 2.0, 1.0, 0.0]]]


def test_the_classifier_equals_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = np.random.default_rng(0)
    label = generator.integers(3, size=90)
    features = generator.normal(size=(90, 5)) + label[:, None] * [1, 0, 0, -1, 0]
    weight = fit_linear_classifier(torch.from_numpy(features), torch.from_numpy(label), decay=0.01)
    # Its penalty is |w|^2 / 2 against C times the sum of losses.
    reference = linear_model.LogisticRegression(C=1 / (2 * 0.01 * 90), tol=1e-10, max_iter=1000)
    reference.fit(features, label)
    ours = np.c_[features, np.ones(90)] @ weight.numpy()
    theirs = reference.decision_function(features)
    ours -= ours.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, theirs - theirs.mean(axis=1, keepdims=True), atol=1e-3)


class Evidence:
    """Videos whose brightness tells the class; sound that tells nothing."""

    def __init__(self, label=lambda index: index % 2):
        self.label = label

    def batches(self, split):
        generator = torch.Generator().manual_seed(len(split))
        for index in range(20):
            shape = (1, 2, 3, 4, 4, 3)
            noise = torch.randint(40, shape, generator=generator, dtype=torch.uint8)
            yield {
                "raw_video": noise + 100 * (index % 2),
                "audio": torch.randn(1, 1, 1, 4, 6, generator=generator),
                "audio_valid": torch.ones(1, 1, dtype=torch.bool),
                "label": torch.tensor([self.label(index)]),
                "index": torch.tensor([index]),
                "view": torch.tensor([[0, 1]]),
            }


def test_the_protocol():
    results = baselines(Evidence(), None)
    assert results["baseline_mean_colour"] == (1.0, 0.5)
    assert results["baseline_mel_statistics"].value < 0.9
    assert set(results) == {
        *("baseline_mean_colour", "baseline_frame_difference", "baseline_mel_statistics")
    }
    assert baselines(Evidence(), None) == results
    assert not baselines.needs_model


def test_labels_are_needed():
    with pytest.raises(UserError, match="needs a label"):
        baselines(Evidence(lambda index: -1), None)
