"""Distributions over choices: their history, draws and most probable genomes."""

import itertools

import numpy as np
import pytest

from nasctl.supernets.strategies._choices import (
    ChoiceHistory,
    _by_probability,
    drawn_genome,
    most_probable_genome,
)
from nasctl.testing import Chain, strategy_context

PROBABILITIES = [np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.9]), np.array([0.25, 0.25, 0.5])]


@pytest.mark.parametrize("steps", [7, 100, 1234])
def test_a_history_has_the_probabilities_after_each_per_cent_of_the_steps(steps):
    history = ChoiceHistory([1, 2], steps)
    assert np.isnan(history.array).all()
    calls = []
    for step in range(-1, steps):

        def probabilities(step=step):
            calls.append(step)
            return [np.array([1.0]), np.array([step + 1, 0.0])]

        history.note(step, probabilities)
    assert np.array_equal(history.array[:, 1], np.ceil(np.arange(101) * steps / 100))
    assert len(calls) == min(steps, 100) + 1


def test_a_history_without_a_beginning_starts_with_its_first_row():
    history = ChoiceHistory([2], 50)
    history.note(0, [np.array([0.25, 0.75])])
    assert np.array_equal(history.array[:3], [[0.25, 0.75]] * 3)
    assert np.isnan(history.array[3:]).all()


def test_genomes_come_in_the_order_of_their_probability():
    found = list(_by_probability(PROBABILITIES))
    own = [np.prod([one[k] for one, k in zip(PROBABILITIES, raw, strict=True)]) for raw in found]
    assert sorted(found) == sorted(itertools.product(range(3), range(2), range(3)))
    assert all(before >= after - 1e-12 for before, after in itertools.pairwise(own))


def test_draws_follow_the_probabilities_and_stay_in_the_supernet():
    context = strategy_context(Chain(2, (2, 3, 5)))
    probabilities, rng = [np.array([0.7, 0.2, 0.1]), np.array([0.0, 0.5, 0.5])], np.random.default_rng(0)
    drawn = np.array([drawn_genome(context, probabilities, rng) for _ in range(2000)])
    for column, expected in zip(drawn.T, probabilities, strict=True):
        assert np.abs(np.bincount(column, minlength=3) / 2000 - expected).max() < 0.05  # four standard errors
    assert most_probable_genome(context, probabilities) == (0, 1)


def test_the_next_most_probable_genome_is_taken_where_weights_are_missing():
    context = strategy_context(Chain(2, (2, 3, 5)))

    class Partial:
        space, largest = context.space, context.largest

        def holds(self, genome):
            return genome[0] != 0

        def draw(self, rng):
            return (2, 2)

    probabilities = [np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.5, 0.4])]
    assert most_probable_genome(Partial(), probabilities) == (1, 1)
    assert drawn_genome(Partial(), [np.array([1.0, 0.0, 0.0])] * 2, np.random.default_rng(0)) == (2, 2)
