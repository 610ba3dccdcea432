"""Acquisition functions against closed forms and Monte-Carlo integration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import norm

from nasctl.errors import UnknownName
from nasctl.pareto import REFERENCE as REFERENCE_OF_ARCHIVES
from nasctl.pareto.hypervolume import hypervolume
from nasctl.prediction.acquisition import (
    REFERENCE,
    RULES,
    Candidates,
    Labelled,
    choose_batch,
    expected_hypervolume_improvement,
    shortlist,
    stratified,
)

UNIT = st.floats(0, 1, width=16)


def by_definition(errors, costs, front):
    """The mean growth of the hypervolume with the reference point (1.05, ...) over all errors of a candidate."""
    before = hypervolume(front) if len(front) else 0.0
    return [
        np.mean([hypervolume(np.vstack([front, [error, *cost]])) - before for error in column])
        for column, cost in zip(errors.T, costs, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(0, 6), st.data())
def test_the_expected_improvement_is_the_mean_growth_of_the_hypervolume(n_costs, n_known, data):
    number = st.lists(UNIT, min_size=1 + n_costs, max_size=1 + n_costs)
    front = np.array(data.draw(st.lists(number, min_size=n_known, max_size=n_known))).reshape(n_known, 1 + n_costs)
    points = np.array(data.draw(st.lists(number, min_size=4, max_size=4)))
    errors, costs = np.stack([points[:, 0], points[::-1, 0]]), points[:, 1:]
    found = expected_hypervolume_improvement(errors, costs, front, np.full(1 + n_costs, 1.05))
    assert found == pytest.approx(by_definition(errors, costs, front), abs=1e-9)


def test_the_expected_improvement_of_a_normal_prediction_has_its_closed_form():
    # One known point (.5, .5): a candidate of cost .2 adds (1.05 - .5) E[(.5 - X)+] to the right of .5 and
    # (.5 - .2) E[(1.05 - X)+] to the left of it.
    mean, deviation = 0.55, 0.1

    def expected(height):
        z = (height - mean) / deviation
        return (height - mean) * norm.cdf(z) + deviation * norm.pdf(z)

    quantiles = mean + deviation * ndtri((np.arange(2000) + 0.5) / 2000)
    (found,) = expected_hypervolume_improvement(
        quantiles[:, None], np.array([[0.2]]), np.array([[0.5, 0.5]]), np.array([1.05, 1.05])
    )
    assert found == pytest.approx(0.55 * expected(0.5) + 0.3 * expected(1.05), rel=1e-3)


def test_the_reference_point_is_that_of_archives():
    assert REFERENCE == REFERENCE_OF_ARCHIVES


def candidates(mean, deviation, costs):
    return Candidates(np.array(mean), np.array(deviation), np.array(costs)[:, None], lambda scores: scores)


LABELLED = Labelled(np.array([0.0, 1.0]), np.array([[0.0], [1.0]]))
RANGE = np.array([0.0]), np.array([1.0])


def chosen(found, aims, rule="ehvi"):
    return choose_batch(found, LABELLED, RANGE, aims, rule, np.random.default_rng(0))


@pytest.mark.parametrize("rule", RULES)
def test_the_aim_decides_between_the_best_label_and_the_front(rule):
    found = candidates([1.1, 0.9], [1e-3, 1e-3], [1.0, 0.1])
    assert chosen(found, [True], rule) == [0]
    assert chosen(found, [False], rule) == [1]


def test_a_batch_spreads_because_the_chosen_count_as_trained():
    twins = candidates([0.9, 0.9, 0.5], [1e-3] * 3, [0.1, 0.1, 0.05])
    assert chosen(twins, [False, False]) == [0, 2]


def test_uncertainty_is_worth_something_to_the_expectation_only():
    found = candidates([0.95, 0.9], [1e-3, 0.5], [1.0, 1.0])
    assert chosen(found, [True], "ehvi") == chosen(found, [True], "ucb") == [1]
    assert chosen(found, [True], "mean") == [0]


def test_a_candidate_without_costs_is_never_chosen_and_a_batch_may_be_short():
    assert chosen(candidates([2.0, 0.1], [0.1, 0.1], [np.nan, 0.5]), [True, True]) == [1]


def test_an_unknown_rule_is_refused():
    with pytest.raises(UnknownName, match="ehvi"):
        chosen(candidates([1.0], [0.1], [0.5]), [True], "ehvl")


def test_a_shortlist_has_the_best_of_each_level_of_cost():
    score = np.array([1.0, 5.0, 2.0, 3.0, np.nan, 9.0])
    costs = np.array([1.0, 6.0, 2.0, 3.0, 4.0, np.nan])
    assert shortlist(score, costs, 2).tolist() == [3, 1]
    assert sorted(shortlist(score, costs, 9).tolist()) == [0, 1, 2, 3, 4]
    assert shortlist(score, costs, 0).tolist() == []


def test_a_random_choice_is_spread_over_cost_and_has_the_cheapest():
    costs = np.array([5.0, 1.0, 3.0, np.nan, 2.0, 4.0, 6.0])
    draws = [stratified(costs, 3, np.random.default_rng(seed)).tolist() for seed in range(20)]
    assert {one[0] for one in draws} == {1}  # the cheapest
    assert {one[1] for one in draws} == {2, 5}  # costs 3 and 4
    assert {one[2] for one in draws} == {0, 6}  # costs 5 and 6
    assert stratified(costs, 9, np.random.default_rng(0)).tolist() == [1, 4, 2, 5, 0, 6]
    assert stratified(costs, 0, np.random.default_rng(0)).tolist() == []
