"""Known answers about the search that nasctl recommends."""

from itertools import product

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import Gene, Goal
from nasctl.pareto.hypervolume import pareto
from nasctl.searchers.guided import _dominance_classes, _farthest, _normalise


class Sums:
    """Each objective adds up a worth for the choice of each gene; the first is known for free."""

    def __init__(self, bound=np.inf):
        self.space, self.bound = self, bound
        self.genes = tuple(Gene(f"g{k}", tuple(range(4))) for k in range(6))
        self.objectives = (Goal("cost", "min", "identity", "network"), Goal("error", "min", "identity", "module"))
        self.worths = np.random.default_rng(0).normal(size=(6, 4, 2))

    def canonical(self, genome):
        return genome

    def losses(self, genomes):
        return self.worths[np.arange(6), np.array(genomes).reshape(-1, 6)].sum(axis=1)

    def cheap_losses(self, genomes):
        return np.column_stack([self.losses(genomes)[:, 0], np.full(len(genomes), np.nan)])

    def violation(self, genomes):
        return np.maximum(self.losses(genomes)[:, 0] - self.bound, 0)


def searched(problem, evaluations, searcher="guided"):
    made = registry.create("searchers", searcher, problem, np.random.default_rng(0))
    batches = []
    while sum(map(len, batches)) < evaluations:
        batches.append(made.ask())
        made.tell(problem.losses(batches[-1]), problem.violation(batches[-1])[:, None])
    return batches


def test_it_begins_with_the_whole_range_of_what_is_free():
    problem = Sums()
    costs = np.sort(problem.losses(searched(problem, 20)[0])[:, 0])
    whole = np.ptp(problem.losses(list(product(range(4), repeat=6)))[:, 0])
    assert np.ptp(costs) > 0.7 * whole  # 20 random ones span .55 of it
    assert np.diff(costs).max() < 0.1 * whole


def test_it_begins_where_constraints_hold():
    problem = Sums(bound=-3)  # an eighth of the space
    assert (problem.violation(searched(problem, 20)[0]) == 0).all()


def test_it_finds_the_front_of_sums_that_a_model_can_learn():
    problem = Sums()
    front = pareto(problem.losses(list(product(range(4), repeat=6))))
    shares = {}
    for searcher in ("guided", "nsga2"):
        found = problem.losses([genome for batch in searched(problem, 100, searcher) for genome in batch])
        shares[searcher] = np.mean([np.isclose(found, point).all(axis=1).any() for point in front])
    assert shares["guided"] == 1
    assert shares["nsga2"] < 0.5  # of 13 networks among 4,096


def test_merit_tells_by_how_much_a_child_is_behind():
    archive = np.array([[0.0, 2.0], [2.0, 0.0]])
    children = np.array([[1.0, 1.0], [1.0, 1.5], [2.0, 2.0], [4.0, 4.0]])
    behind, classes = _dominance_classes(children, archive)
    assert classes.tolist() == [0, 1, 2, 2]
    assert behind.tolist() == pytest.approx([0, 0, 0, 0.5])  # of ranges of 4


def test_places_are_values_where_exact_and_ranks_elsewhere():
    losses = np.array([[0.0, 0.0], [1.0, 1.0], [10.0, 1000.0], [10.0, 1000.0]])
    assert _normalise(losses, np.array([True, False])).tolist() == [[0, 0.25], [0.1, 0.5], [1, 1], [1, 1]]


def test_the_farthest_come_first_class_by_class():
    points = np.array([[0.1], [0.5], [0.85], [0.4], [0.2]])
    known = np.array([[0.0], [1.0]])
    classes = [np.array([0, 1, 2]), np.array([3, 4])]
    assert _farthest(points, known, classes, 5) == [1, 2, 0, 4, 3]
    assert _farthest(points, known, classes, 2) == [1, 2]
