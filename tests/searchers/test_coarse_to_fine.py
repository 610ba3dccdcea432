"""Coarse to fine: the grid of groups of genes comes first, then single genes of the best networks change."""

from itertools import product

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import BadOption, Gene, Goal
from nasctl.searchers.coarse_to_fine import coarse_grid, groupings


class Toy:
    """Two stages of two layers, with a kernel and a width each."""

    def __init__(self, objectives=2, bound=np.inf):
        self.space, self._bound = self, bound
        places = product(("stage1", "stage2"), "01", ("kernel", "width"))
        self.genes = tuple(Gene(".".join(place), (1, 2, 3)) for place in places)
        self.objectives = tuple(Goal(name, "min", "identity", "network") for name in ("cost", "error")[-objectives:])

    def canonical(self, genome):
        return genome

    def losses(self, genomes):
        x = np.array(genomes, dtype=float).reshape(len(genomes), -1)
        return np.column_stack([x.sum(axis=1), ((x - 1.2) ** 2).sum(axis=1)])[:, -len(self.objectives) :]

    cheap_losses = losses

    def violation(self, genomes):
        return np.maximum(np.array(genomes, dtype=float).reshape(len(genomes), -1).sum(axis=1) - self._bound, 0.0)


def step(searcher, problem):
    batch = searcher.ask()
    searcher.tell(problem.losses(batch), problem.violation(batch)[:, None])
    return batch


def test_genes_of_a_stage_and_a_name_move_together():
    stages, names, last = groupings(Toy().genes)
    assert stages == [[0, 2], [1, 3], [4, 6], [5, 7]]
    assert names == last == [[0, 2, 4, 6], [1, 3, 5, 7]]
    mixed = [Gene(name, (0, 1)) for name in ("edge01", "edge12", "cell1.channels", "reduction2.channels", "7")]
    assert groupings(mixed) == [[[0], [1], [2], [3], [4]], [[0, 1], [2], [3], [4]], [[0, 1], [2, 3], [4]]]


def test_the_first_phase_visits_the_finest_grid_that_fits():
    problem = Toy()
    fine = {(a, b, a, b, c, d, c, d) for a, b, c, d in product(range(3), repeat=4)}
    coarse = {(a, b) * 4 for a, b in product(range(3), repeat=2)}
    for limit, points in ((81, fine), (80, coarse), (9, coarse)):
        searcher = registry.create("searchers", f"coarse_to_fine:grid={limit}", problem, np.random.default_rng(0))
        assert set(step(searcher, problem)) == points
    sampled = coarse_grid(problem, 5, np.random.default_rng(0))
    assert len(sampled) <= 5
    assert set(sampled) < coarse


def test_shorter_genes_of_a_group_move_to_the_same_share_of_their_choices():
    problem = Toy()
    problem.genes = tuple(Gene(f"stage1.{k}.width", tuple(range(n))) for k, n in enumerate((6, 3, 2, 1)))
    points = sorted(coarse_grid(problem, 6, np.random.default_rng(0)))
    assert points == [(0, 0, 0, 0), (1, 0, 0, 0), (2, 1, 0, 0), (3, 1, 1, 0), (4, 2, 1, 0), (5, 2, 1, 0)]


def test_later_rounds_change_one_gene_of_a_network_of_the_front():
    problem, seen = Toy(), []
    searcher = registry.create("searchers", "coarse_to_fine:grid=9,mutations=12", problem, np.random.default_rng(0))
    seen += step(searcher, problem)
    for _ in range(5):
        losses = problem.losses(seen)
        front = [seen[k] for k, row in enumerate(losses) if not _dominated(row, losses)]
        batch = step(searcher, problem)
        assert len(batch) == 12
        for child in batch:
            assert min((np.array(front) != child).sum(axis=1)) == 1
        seen += batch
    assert len(seen) == len(set(seen))


def _dominated(row, losses):
    return ((losses <= row).all(axis=1) & (losses < row).any(axis=1)).any()


def test_one_objective_within_a_bound_is_solved():
    problem = Toy(objectives=1, bound=6.0)  # at most six genes of 1, which is their best choice
    searcher = registry.create("searchers", "coarse_to_fine:grid=9", problem, np.random.default_rng(0))
    found = [genome for _ in range(6) for genome in step(searcher, problem)]
    assert problem.violation(found).max() == 0
    assert problem.losses(found).min() == pytest.approx(6 * 0.04 + 2 * 1.44)


def test_where_the_whole_grid_breaks_a_bound_it_begins_with_networks_that_hold_it():
    problem = Toy()
    problem.violation = lambda genomes: np.array([abs(sum(one) - 2) for one in genomes])  # sums of the grid are 0, 4, 8
    searcher = registry.create("searchers", "coarse_to_fine:grid=9", problem, np.random.default_rng(0))
    batch = step(searcher, problem)
    assert problem.violation(batch).min() == 0


@pytest.mark.parametrize("option", ["grid=0", "mutations=0", "mutations=10001"])
def test_sizes_that_cannot_be_are_refused(option):
    with pytest.raises(BadOption, match="grid must be 1 to 100,000"):
        registry.create("searchers", f"coarse_to_fine:{option}", Toy(), np.random.default_rng(0))
