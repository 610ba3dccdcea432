import numpy as np
import pytest
from scipy.stats import norm

from nasctl.prediction.label_scale import LabelScale

LABELS = np.array([90.0, 10.0, 92.0, 91.0, 93.0, 91.0, 80.0])


def test_scores_are_normal_quantiles_of_ranks():
    scores = LabelScale.of(LABELS).to_scores(LABELS)
    assert scores == pytest.approx(norm.ppf(np.array([3, 1, 6, 4.5, 7, 4.5, 2]) / 8))


def test_labels_come_back():
    scale = LabelScale.of(LABELS)
    assert scale.to_labels(scale.to_scores(LABELS)) == pytest.approx(LABELS)


def test_the_scale_goes_on_beyond_the_labels():
    scale = LabelScale.of(LABELS)
    beyond = np.array([0.0, 95.0])
    assert scale.to_labels(scale.to_scores(beyond)) == pytest.approx(beyond)
    assert scale.to_scores(beyond)[1] > scale.scores[-1]


def test_slopes_are_units_per_score():
    assert LabelScale.of(np.linspace(0, 1, 50)).slopes(np.array([0.5])) == pytest.approx([0.4], rel=0.05)
