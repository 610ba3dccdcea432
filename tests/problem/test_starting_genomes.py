"""The genomes that a search begins with."""

import numpy as np
import pytest

from nasctl.evaluation.search_problem import SearchProblem
from nasctl.problem.sampling import promising, unseen
from nasctl.search.run import Run


@pytest.mark.parametrize("number", [1, 20])
def test_a_bound_that_no_random_genome_meets_is_met_by_changes_of_single_genes(number):
    run = Run("mbconv", ("params", "latency@mobile"), constraints=("latency<=20",))
    problem, rng = SearchProblem(run.task), np.random.default_rng(0)
    space = problem.space
    assert problem.violation([space.canonical(raw) for raw in unseen(space, rng, 1000)]).min() > 0
    begun = [space.canonical(raw) for raw in promising(problem, rng, number)]
    assert len(set(begun)) == number
    assert (problem.violation(begun) == 0).mean() >= 0.5
    again = np.random.default_rng(0)
    unseen(space, again, 1000)
    assert [space.canonical(raw) for raw in promising(problem, again, number)] == begun
