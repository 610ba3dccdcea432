"""The operator model: its features, its fit, and predictions of what is held out."""

from itertools import pairwise

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import MBConv
from nasctl.hardware.fitting.operators import (
    cross_val_predict,
    evaluate_predictions,
    fit_operators,
    network_features,
    predict,
)
from nasctl.hardware.operator_model import features
from nasctl.hardware.tables_schema import Validation
from nasctl.networks.graph import emission_of
from nasctl.testing import drawn


def test_features_of_one_block_by_hand():
    block = MBConv(8, kernel=7, expand=2, se=True)  # 8x6x6 -> 16x6x6 -> 8x6x6; the gate has 8 channels in the middle
    image = 6 * 6
    assert features(emission_of(block, ((8, 6, 6),))) == {
        # expand, depthwise and project with their norms and 2 ReLUs; 6 operators of the gate; the addition
        "count": 3 + 3 + 2 + 6 + 1,
        "pointwise.read": 8 * image + 16 + 8 + 16 * image,
        "pointwise.written": 16 * image + 8 + 16 + 8 * image,
        "pointwise.weights": 8 * 16 + (16 * 8 + 8) + (8 * 16 + 16) + 16 * 8,
        "pointwise.macs": 8 * 16 * image + 16 * 8 + 8 * 16 + 16 * 8 * image,
        "depthwise.read": 16 * image,
        "depthwise.written": 16 * image,
        "depthwise.weights": 16 * 49,
        "depthwise.k5": 16 * image,
        "depthwise.k7": 16 * image,
        "batchnorm.moved": 2 * (16 + 16 + 8) * image,
        "relu.moved": 2 * 2 * 16 * image + 2 * 8,
        "globalavgpool.moved": 16 * image + 16,
        "hsigmoid.moved": 2 * 16,
        "multiply.moved": 2 * 16 * image + 16,
        "add.moved": 3 * 8 * image,
    }


@pytest.mark.parametrize("spec", ["mbconv", "mbconv:resolutions=32,64,96,224"])
def test_no_feature_falls_when_an_ordered_gene_rises(spec):
    space = registry.create("spaces", spec)
    for genome in drawn(space, 20):
        for k, gene in enumerate(space.genes):
            chain = [(*genome[:k], choice, *genome[k + 1 :]) for choice in range(len(gene.choices))]
            for small, large in pairwise(space.network(one) for one in chain):
                less, more = network_features(small), network_features(large)
                assert all(less[name] <= more.get(name, 0) for name in less), (gene, genome)


def test_nnls_finds_the_coefficients_that_made_the_data():
    rng = np.random.default_rng(0)
    truth = {"overhead": 0.5, "a": 2e-6, "b": 0.03, "idle": 0.0}
    samples = [{"overhead": 1.0, "a": x, "b": y, "idle": z} for x, y, z in rng.uniform(1, [1e6, 20, 5], (60, 3))]
    ms = np.array([sum(truth[name] * sample[name] for name in truth) for sample in samples])
    found = fit_operators(samples, ms)
    assert found == pytest.approx(truth, rel=1e-4, abs=1e-6)
    assert predict(found, samples) == pytest.approx(ms, rel=1e-4)
    noisy = fit_operators(samples, ms * rng.normal(1, 0.02, 60))
    assert all(value >= 0 for value in noisy.values())
    assert np.isnan(predict(found, [{"a": 1.0, "unheard of": 1.0}])).all()


def test_what_is_held_out_is_not_fitted():
    rng = np.random.default_rng(0)
    samples = [{"a": x} for x in rng.uniform(1, 2, 16)]
    ms = np.array([3 * sample["a"] for sample in samples])
    ms[5] = 1000.0  # which a fit that has seen it would follow
    guesses = cross_val_predict(samples, ms, range(16))
    assert guesses[5] == pytest.approx(3 * samples[5]["a"], rel=1e-5)


def test_accuracy_by_hand():
    found = evaluate_predictions("x", np.array([1.1, 1.8, 4.0]), np.array([1.0, 2.0, 4.0]))
    assert found == Validation("x", (), "networks", 3, pytest.approx(20 / 3, abs=1e-3), 0.0, 1.0, 1.0)
    assert evaluate_predictions("x", np.ones(3), np.array([1.0, 2.0, 4.0])).spearman is None
