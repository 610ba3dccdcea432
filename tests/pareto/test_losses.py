"""Losses by direction and transform, violations, and the front of evaluations: answers by hand."""

import numpy as np
import pytest

from nasctl.pareto.losses import feasible_losses, front, losses, violations
from nasctl.problem.constraints import FAILED, Constraint
from nasctl.problem.searcher import Evaluation, Goal

SIZE = Goal("size", "min", "identity", "network")
SCORE = Goal("score", "max", "log10", "module")
GOALS = (SIZE, SCORE)


def evaluation(name, size, score):
    return Evaluation((name,), {"size": size, "score": score})


def test_losses_are_turned_and_transformed_to_be_minimised():
    salience = Goal("salience", "max", "-log10(-s)", "module")
    found = [Evaluation((0,), {"size": 7.0, "score": 100.0, "salience": -0.01}), Evaluation((1,), {"size": 5.0})]
    expected = [[7.0, -2.0, -2.0], [5.0, np.nan, np.nan]]
    np.testing.assert_array_equal(losses(found, (SIZE, SCORE, salience)), expected)
    assert losses([], GOALS).shape == (0, 2)


def test_losses_of_integers_are_not_rounded():
    assert losses([Evaluation((0,), {"size": 7, "score": 50})], GOALS)[0] == pytest.approx([7.0, -1.69897])


@pytest.mark.parametrize("score", [0.0, -1.0, np.inf])
def test_a_loss_that_is_no_number_is_nan(score):
    np.testing.assert_array_equal(losses([evaluation(0, 7.0, score)], GOALS), [[7.0, np.nan]])


def test_violations_are_relative_to_the_bound():
    constraints = (Constraint("size", upper=True, bound=4.0), Constraint("latency", upper=False, bound=2.0))
    found = [
        Evaluation((0,), {"size": 6.0, "latency": 2.0}),
        Evaluation((1,), {"size": 4.0, "latency": 0.5}),
        Evaluation((2,), {"size": 1.0}),
    ]
    assert violations(found, constraints).tolist() == [[0.5, 0.0], [0.0, 0.75], [0.0, FAILED]]
    assert violations(found, ()).shape == (3, 0)
    assert violations([], constraints).shape == (0, 2)


def test_losses_of_infeasible_candidates_are_nan():
    constraints = (Constraint("size", upper=True, bound=4.0), Constraint("score", upper=False, bound=10.0))
    found = [
        evaluation(0, 4.0, 10.0),  # both bounds are allowed
        evaluation(1, 5.0, 100.0),  # violates the first constraint by a quarter
        evaluation(2, 1.0, 5.0),  # violates the second constraint by a half
        Evaluation((3,), {"score": 100.0}),  # its size is unknown
        evaluation(4, 2.0, 1000.0),
    ]
    nothing = [np.nan, np.nan]
    np.testing.assert_array_equal(
        feasible_losses(found, GOALS, constraints), [[4.0, -1.0], nothing, nothing, nothing, [2.0, -3.0]]
    )


def test_without_constraints_only_failures_are_nan():
    found = [evaluation(0, 4.0, 10.0), evaluation(1, 5.0, 0.0)]
    np.testing.assert_array_equal(feasible_losses(found, GOALS), [[4.0, -1.0], [np.nan, np.nan]])


def test_the_front_is_sorted_by_the_first_objective():
    one, two, three = evaluation(0, 3.0, 100.0), evaluation(1, 2.0, 50.0), evaluation(2, 1.0, 10.0)
    dominated = evaluation(3, 3.0, 50.0)
    assert front([one, dominated, two, three], GOALS) == [three, two, one]
    assert front([one, dominated, two, three], GOALS[::-1]) == [one, two, three]
    assert front([], GOALS) == []


def test_the_front_keeps_genomes_with_equal_losses_in_the_order_of_genomes():
    two, one, dominated = evaluation(2, 1.0, 10.0), evaluation(1, 1.0, 10.0), evaluation(0, 1.0, 5.0)
    assert front([two, dominated, one], GOALS) == [one, two]


def test_the_front_has_a_genome_once_with_its_last_evaluation():
    assert front([evaluation(0, 1.0, 10.0), evaluation(0, 2.0, 10.0)], GOALS) == [evaluation(0, 2.0, 10.0)]


def test_the_front_leaves_out_failures_of_the_objectives_alone():
    failed = Evaluation((0,), {"size": 1.0}, {"score": "ValueError: no"})
    undefined = evaluation(1, 1.0, 0.0)  # 0 has no logarithm
    recorded = Evaluation((2,), {"size": 5.0, "score": 10.0}, {"latency": "ValueError: no"})
    assert front([failed, undefined, recorded], GOALS) == [recorded]


def test_the_front_leaves_out_candidates_that_break_one_of_the_constraints():
    constraints = (Constraint("size", upper=True, bound=4.0), Constraint("score", upper=False, bound=10.0))
    on_both_bounds, too_large, too_low = evaluation(0, 4.0, 10.0), evaluation(1, 5.0, 100.0), evaluation(2, 1.0, 5.0)
    assert front([too_large, too_low, on_both_bounds], GOALS, constraints) == [on_both_bounds]
    assert front([too_large, too_low, on_both_bounds], GOALS) == [too_low, on_both_bounds, too_large]


def test_without_an_objective_every_evaluation_is_on_the_front():
    one, two = evaluation(0, 3.0, 10.0), evaluation(1, 2.0, 10.0)
    assert front([two, one], ()) == [one, two]
