"""A table that predicts no better than chance is told from one that predicts."""

import numpy as np
import pytest

from nasctl.hardware.fitting.operators import evaluate_predictions
from nasctl.hardware.skill import constant_error, fit_weakness, rank_weakness
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Validation
from nasctl.registry import trusted


def error(spearman, number=100, mape=5.0):
    return Validation("networks", (), "networks", number, mape, 0.0, spearman, spearman)


@pytest.mark.parametrize(("spearman", "number"), [(None, 100), (-0.9, 100), (0.0, 100), (0.16, 100), (0.8, 4)])
def test_an_order_that_chance_reaches_is_worth_nothing(spearman, number):
    assert rank_weakness(error(spearman, number))


@pytest.mark.parametrize(("spearman", "number"), [(0.17, 100), (0.9, 13), (1.0, 2)])
def test_an_order_that_chance_does_not_reach_is_worth_something(spearman, number):
    assert rank_weakness(error(spearman, number)) == ""


def test_about_one_in_twenty_orders_of_noise_passes():
    rng = np.random.default_rng(0)
    noise = (evaluate_predictions("", rng.random(60) + 1, rng.random(60) + 1) for _ in range(400))
    assert 0.02 < np.mean([rank_weakness(one) == "" for one in noise]) < 0.09


def test_an_error_is_compared_with_one_latency_for_all():
    inside, held = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0])
    constant = (1 + 1 / 2 + 1 / 3) / (1 + 1 / 4 + 1 / 9)
    assert constant_error(inside, held) == pytest.approx(100 * (abs(constant - 1) + abs(constant / 2 - 1)) / 2)
    assert "one latency for all networks" in fit_weakness(error(0.9, mape=40.0), inside, held)
    assert fit_weakness(error(0.9, mape=30.0), inside, held) == ""


def test_every_shipped_table_is_better_than_chance():
    for name in trusted("devices"):
        assert [rank_weakness(one) for one in LatencyTable.load(name).validation if one.number > 20][:1] in ([], [""])
