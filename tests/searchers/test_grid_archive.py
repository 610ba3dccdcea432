"""The grid archive keeps the best network of each bin of a cost."""

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import BadOption, Gene, Goal
from nasctl.searchers._objectives import natural_values


class Toy:
    """A cost that is a sum of genes, and errors that fall with it, apart from a part without an order."""

    def __init__(self, errors=1, transform="identity", bound=np.inf):
        self.space, self._bound, self._transform = self, bound, transform
        self.genes = tuple(Gene(f"g{k}", tuple(range(4))) for k in range(8))
        names = [f"error{k}" for k in range(errors)]
        self.objectives = (
            *(Goal(name, "min", "identity", "module") for name in names),
            Goal("cost@board", "min", transform, "network"),
        )

    def canonical(self, genome):
        return genome

    def cost(self, genomes):
        return 1.0 + np.array(genomes, dtype=float).reshape(len(genomes), -1).sum(axis=1)

    def losses(self, genomes):
        cost, n = self.cost(genomes), len(self.objectives) - 1
        noise = np.array([np.random.default_rng(genome).random(n) for genome in genomes])
        losses = np.log10(cost) if self._transform == "log10" else cost
        return np.column_stack([10 * noise - cost[:, None], losses])

    def cheap_losses(self, genomes):
        return np.column_stack([np.full((len(genomes), len(self.objectives) - 1), np.nan), self.losses(genomes)[:, -1]])

    def violation(self, genomes):
        return np.maximum(self.cost(genomes) - self._bound, 0.0)


def followed(spec, problem, evaluations, seed=0):
    searcher, asked = registry.create("searchers", spec, problem, np.random.default_rng(seed)), []
    while len(asked) < evaluations:
        batch = searcher.ask()
        asked += batch
        searcher.tell(problem.losses(batch), problem.violation(batch)[:, None])
    return searcher, asked


@pytest.mark.parametrize("transform", ["identity", "log10"])
@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_each_bin_of_the_range_met_keeps_its_best(spacing, transform):
    problem = Toy(transform=transform)
    searcher, asked = followed(f"grid_archive:bins=10,spacing={spacing}", problem, 400)
    costs = problem.cost(asked) if spacing == "linear" else np.log10(problem.cost(asked))
    edges = np.linspace(costs.min(), costs.max(), 11)
    bins, errors = np.clip(np.searchsorted(edges, costs, side="right") - 1, 0, 9), problem.losses(asked)[:, 0]
    best = {int(k): [asked[min(np.flatnonzero(bins == k), key=lambda n: errors[n])]] for k in np.unique(bins)}
    assert searcher.bins == best


def test_a_bin_of_three_objectives_keeps_a_front_of_the_other_two():
    problem = Toy(errors=2)
    searcher, asked = followed("grid_archive:bins=1", problem, 200)
    errors = problem.losses(asked)[:, :2]
    front = {asked[k] for k, row in enumerate(errors) if not ((errors <= row).all(1) & (errors < row).any(1)).any()}
    assert set(searcher.bins[0]) == front
    assert len(front) > 1


def test_children_beyond_a_bound_are_rejected_before_evaluation():
    problem = Toy(bound=12.0)
    _, asked = followed("grid_archive:cost=cost", problem, 400)
    assert len(asked) == len(set(asked)) == 400
    assert problem.cost(asked[40:]).max() <= 12.0


def test_children_are_mutants_and_crossovers_of_members():
    problem = Toy()
    searcher, _ = followed("grid_archive:mutants=0,crossovers=5", problem, 40)
    members = {genome for bin_ in searcher.bins.values() for genome in bin_}
    for child in searcher.ask():
        pairs = ((one, other) for one in members for other in members)
        assert any(all(c in both for c, *both in zip(child, *pair, strict=True)) for pair in pairs)


def test_it_covers_more_of_a_cost_than_random_search():
    problem = Toy()
    searcher, _ = followed("grid_archive:bins=25", problem, 600)
    _, drawn = followed("random", problem, 600)
    assert len(searcher.bins) > len(np.unique(problem.cost(drawn)))


def test_without_a_cheap_objective_the_last_one_is_the_cost():
    problem = Toy()
    problem.objectives = tuple(Goal(goal.name, "min", "identity", "module") for goal in problem.objectives)
    assert len(followed("grid_archive", problem, 100)[0].bins) > 5


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("grid_archive:cost=macs", r"cost must name one objective of the search \(error0, cost@board\), got 'macs'"),
        ("grid_archive:bins=0", "bins must be 1 to 100,000"),
        ("grid_archive:spacing=square", 'spacing must be "linear" or "log"'),
        ("grid_archive:mutants=0,crossovers=0", "must be 1 to 10,000"),
        ("grid_archive:probability=0.0", "probability must be above 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(spec, said):
    with pytest.raises(BadOption, match=said):
        registry.create("searchers", spec, Toy(), np.random.default_rng(0))


def test_values_follow_from_losses():
    values = np.array([2.0, 30.0])
    for direction, sign in (("min", 1), ("max", -1)):
        goals = [Goal("x", direction, transform, "network") for transform in ("identity", "log10", "-log10(-s)")]
        assert natural_values(sign * values, goals[0]) == pytest.approx(values)
        assert natural_values(sign * np.log10(values), goals[1]) == pytest.approx(values)
        assert natural_values(-sign * np.log10(values), goals[2]) == pytest.approx(-values)
