"""The problem that a searcher sees: what it may ask free of budget."""

import numpy as np
import pytest

from nasctl import registry
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import MixtureProblem
from nasctl.testing import Chain

PARAMS = {(0, 0): 10.0, (0, 1): 16.0, (1, 0): 25.0, (1, 1): 40.0}  # 3 -> 2 or 5 -> 2 or 5


def problem(*names, **options):
    return SearchProblem(Task(Chain(), {name: registry.create("objectives", name) for name in names}, **options))


def test_cheap_losses_are_those_of_what_needs_no_module():
    posed = problem("snip", "params")
    assert [(goal.name, goal.cost) for goal in posed.objectives] == [("snip", "module"), ("params", "network")]
    assert isinstance(posed, MixtureProblem)
    screened = posed.cheap_losses([(1, 0), (0, 0)])
    assert np.array_equal(screened, [[np.nan, 25.0], [np.nan, 10.0]], equal_nan=True)
    assert posed.cheap_losses([]).shape == (0, 2)


def test_recorded_metrics_are_no_losses():
    posed = problem("params", "macs", "snip", recorded=frozenset({"params", "snip"}))
    assert posed.cheap_losses([(1, 1)]).tolist() == [[40.0]]


class Upward:
    """A cost of which more is better, and which fails for a network."""

    unit, direction, transform, needs, version = "s", "max", "log10", frozenset({"network"}), "1"

    def __call__(self, candidate):
        return {(0, 0): 100.0, (0, 1): 0.1}.get(candidate.genome, 0.0)


def test_cheap_losses_are_transformed_and_turned_to_be_minimised():
    posed = SearchProblem(Task(Chain(), {"up": Upward()}))
    found = posed.cheap_losses([(0, 0), (0, 1), (1, 1)])
    assert np.array_equal(found, [[-2.0], [1.0], [np.nan]], equal_nan=True)


@pytest.mark.parametrize("recorded", [frozenset(), frozenset({"params"})])
def test_a_violation_sums_the_constraints_on_costs(recorded):
    held = (
        Constraint("params", upper=True, bound=20.0),
        Constraint("snip", upper=True, bound=-1e9),  # needs a module, so nobody knows it for free
        Constraint("macs", upper=False, bound=20.0),
    )
    posed = problem("params", "macs", "snip", recorded=recorded, constraints=held)
    genomes = list(PARAMS)
    expected = [held[0].violation({"params": size}) + held[2].violation({"macs": size}) for size in PARAMS.values()]
    assert posed.violation(genomes).tolist() == pytest.approx(expected)
    assert [value > 0 for value in expected] == [True, True, True, True]
    assert posed.violation([]).shape == (0,)


def test_without_a_constraint_on_costs_nothing_is_violated():
    held = (Constraint("snip", upper=True, bound=-1e9),)
    for posed in (problem("params"), problem("snip", constraints=held)):
        assert posed.violation([(0, 0), (1, 1)]).tolist() == [0.0, 0.0]


def test_a_mixture_is_measured_as_one_network():
    space = registry.create("spaces", "nb201:channels=4,cells=1,resolution=8")
    task = Task(space, {name: registry.create("objectives", name) for name in ("params", "macs")})
    posed = SearchProblem(task)
    single = [[gene.choices.index(gene.choices[1])] for gene in space.genes]
    everything = [list(range(len(gene.choices))) for gene in space.genes]
    network = space.supernet(everything)
    assert posed.evaluate_mixture(everything).tolist() == [network.params, network.macs]
    assert posed.evaluate_mixture(single)[0] < posed.evaluate_mixture(everything)[0]


class GenomeLength(Upward):
    """The number of genes of a candidate."""

    transform, direction = "identity", "min"

    def __call__(self, candidate):
        return float(len(candidate.genome))


def test_a_mixture_has_the_empty_genome():
    posed = SearchProblem(Task(Chain(), {"length": GenomeLength()}))
    assert posed.evaluate_mixture([[0, 1], [1]]).tolist() == [0.0]
