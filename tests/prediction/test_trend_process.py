"""The Gaussian process with a linear trend."""

import numpy as np
import pytest

from nasctl.prediction.feature_scale import GENES, METRICS
from nasctl.prediction.trend_process import GENE_GRID, METRIC_GRID, fit_trend_process

RNG = np.random.default_rng(0)
METRIC = RNG.normal(size=(200, 3))
GENE = np.eye(3)[RNG.integers(3, size=200)]
FEATURES, GROUPS = np.concatenate([METRIC, GENE], axis=1), (METRICS,) * 3 + (GENES,) * 3
LABELS = METRIC @ [1.0, 0.5, 0.0] + GENE @ [0.0, 0.5, 1.0]


def test_it_ranks_networks_beyond_the_labels():
    order = np.argsort(LABELS)
    low = order[:150:5]  # labels of the lower three quarters
    process = fit_trend_process(FEATURES[low], LABELS[low], GROUPS, FEATURES)
    best = order[-20:]
    predicted, _ = process.predict(FEATURES[best])
    assert (predicted > LABELS[low].max()).mean() > 0.8
    assert np.corrcoef(predicted, LABELS[best])[0, 1] > 0.6


def test_it_meets_the_labels_and_is_less_certain_elsewhere():
    process = fit_trend_process(FEATURES[:30], LABELS[:30], GROUPS, FEATURES)
    mean, deviation = process.predict(FEATURES)
    assert np.abs(mean[:30] - LABELS[:30]).mean() < 0.1 * LABELS.std()
    assert deviation[:30].mean() < deviation[30:].mean()
    assert np.corrcoef(mean[30:], LABELS[30:])[0, 1] > 0.9


def test_uncertain_labels_count_less():
    labels = LABELS[:30].copy()
    labels[7] += 10
    errors = np.where(np.arange(30) == 7, 20.0, np.nan)
    blind, told = (fit_trend_process(FEATURES[:30], labels, GROUPS, FEATURES, e) for e in (None, errors))
    assert told.scores(FEATURES[7:8])[0] < blind.scores(FEATURES[7:8])[0]


def test_a_failed_metric_is_a_feature_and_not_an_error():
    holes = FEATURES.copy()
    holes[::9, 1] = np.nan
    mean, deviation = fit_trend_process(holes[:40], LABELS[:40], GROUPS, holes).predict(holes)
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()


def test_genes_alone_are_enough_and_equal_labels_are_not():
    genes = FEATURES[:, 3:]
    process = fit_trend_process(genes[:30], genes[:30] @ [0.0, 0.5, 1.0], (GENES,) * 3, genes)
    assert process.scores(np.eye(3))[0].argsort().tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="two different labels"):
        fit_trend_process(genes[:30], np.zeros(30), (GENES,) * 3, genes)


def test_metrics_that_say_nothing_are_dropped_and_others_are_kept():
    grid = METRIC_GRID + GENE_GRID
    genes = np.concatenate([np.eye(3)[RNG.integers(3, size=200)] for _ in range(3)], axis=1)
    features, groups = np.concatenate([METRIC, genes], axis=1), (METRICS,) * 3 + (GENES,) * 9
    of_genes, of_metrics = genes @ np.arange(9.0), METRIC @ [1.0, -0.5, 0.0]  # a metric of the wrong sign helps too
    held_out = slice(30, None)
    for labels, dropped in ((of_genes, True), (of_metrics, False)):
        process = fit_trend_process(features[:30], labels[:30], groups, features, grid=grid)
        assert process.settings.metrics != dropped
        assert np.corrcoef(process.scores(features[held_out])[0], labels[held_out])[0, 1] > 0.85
    best = fit_trend_process(features[:30], of_genes[:30], groups, features, grid=grid)
    assert np.allclose(best.predict(features[:30])[0], of_genes[:30], atol=0.5)
    far = best.scores(features)[1]
    assert far[held_out].mean() > far[:30].mean()
