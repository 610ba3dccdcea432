"""Choices are removed by what the loss says without them, by the rules of TE-NAS and of DARTS-PT."""

import numpy as np

from nasctl.problem.choice_removal import (
    all_but_most_important,
    effective_choices,
    least_important,
    removal_importance,
    remove_choices,
    trial_removals,
    without_choice,
)

WORTH = ((3.0, 1.0, 2.0), (1.0, 5.0), (1.0,))  # of each choice; the loss of a mixture is what it lacks


def loss(allowed):
    return -sum(WORTH[gene][choice] for gene, choices in enumerate(allowed) for choice in choices)


def test_a_round_removes_the_least_important_choice_of_each_gene():
    asked = []

    def evaluate(allowed):
        asked.append(allowed)
        return np.array([loss(allowed)])

    rounds = list(remove_choices([[0, 1, 2], [0, 1]], evaluate))
    assert rounds == [[(0, 1), (1, 0)], [(0, 2)]]
    assert len(asked) == 5 + 2


def test_one_gene_after_another_keeps_the_choice_whose_removal_hurts_most():
    asked = []

    def evaluate(allowed):
        asked.append(allowed)
        return np.array(loss(allowed))

    rounds = list(remove_choices([[0, 1, 2], [0, 1], [0]], evaluate, order=[2, 1, 0]))
    assert rounds == [[(1, 0)], [(0, 1), (0, 2)]]
    assert asked[:2] == [[[0, 1, 2], [1], [0]], [[0, 1, 2], [0], [0]]]
    assert len(asked) == 2 + 3


def test_ranks_add_up_over_objectives_and_a_failure_ranks_last():
    losses = np.array([[1.0, 30.0], [2.0, 10.0], [2.0, np.nan]])
    assert removal_importance(losses).tolist() == [1, 1, 4]
    tried = [(0, 0), (0, 1), (0, 2)]
    assert least_important(tried, losses) == [(0, 0)]  # the first of two equal ones
    assert all_but_most_important(tried, losses) == [(0, 0), (0, 1)]
    assert all_but_most_important([(0, 0), (1, 0), (0, 1), (1, 1)], np.array([1, 2, 3, 4])) == [(0, 0), (1, 0)]


def test_a_choice_that_adds_nothing_is_not_tried():
    class Sums:
        def supernet(self, allowed):
            return [[choice for choice in choices if choice] for choices in allowed]

    assert effective_choices(Sums(), [3, 1, 2]) == [[1, 2], [0], [1]]
    assert trial_removals([[1, 2], [0], [1]]) == [(0, 1), (0, 2)]
    assert trial_removals([[1, 2], [0, 1]], [1]) == [(1, 0), (1, 1)]
    assert without_choice([(1, 2), (1,)], 0, 1) == [[2], [1]]
