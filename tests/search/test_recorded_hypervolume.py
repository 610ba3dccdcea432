"""The hypervolume of a recorded run has the scale of the search where that can still be computed, and says which."""

from dataclasses import replace

import numpy as np
import pytest

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.problem.searcher import Evaluation
from nasctl.search import recorded_hypervolume
from nasctl.search.recorded_hypervolume import hypervolume_scale
from nasctl.search.run import Run
from nasctl.store.run_record import RunRecord

AS_SEARCHED = "as in the search: a cost by its range over the space, a metric by its range in the first generation"
OWN = "each objective by its range over the candidates of this run, as that of the search is not known here"
# Parameters and MACs of the least and the greatest network of nbmacro.
LEAST, MOST = {"params": 387882.0, "macs": 7713280.0}, {"params": 2932586.0, "macs": 105660928.0}


def record_of(run):
    return run.task.record(run.asked["space"], run.asked)


def visited(values):
    """Candidates with the given scores, up to which they failed."""
    return [
        Evaluation((k % 3, k // 3) + (0,) * 6, {"params": 1e6 + k} | ({} if score is None else {"naswot": score}))
        for k, score in enumerate(values)
    ]


MEASURED = record_of(Run("nbmacro", ("naswot", "params"), "random:batch=4", 7))


def test_costs_have_their_range_over_the_space_whatever_was_visited(monkeypatch):
    monkeypatch.setattr(recorded_hypervolume, "SearchProblem", None)  # no searcher is made
    scale, said = hypervolume_scale(record_of(Run("nbmacro", ("params", "macs"), "random")), [])
    assert (scale.best, scale.worst, said) == (LEAST, MOST, AS_SEARCHED)


def test_a_metric_has_its_range_in_the_first_generation():
    found = visited([5.0, 2.0, 7.0, 4.0, 9.0, 1.0])
    scale, said = hypervolume_scale(MEASURED, found)
    assert said == AS_SEARCHED
    assert scale.goals == MEASURED.goals
    assert (scale.best, scale.worst) == (
        {"naswot": 7.0, "params": LEAST["params"]},
        {"naswot": 2.0, "params": MOST["params"]},
    )


def test_the_first_generation_is_what_the_searcher_of_the_run_asks_for(monkeypatch):
    made, create = [], registry.create

    class Twice:
        def ask(self):
            return [(0,) * 8, (1,) * 8, (0,) * 8]

    def created(kind, spec, *given):
        if kind != "searchers":
            return create(kind, spec, *given)
        made.append((spec, *given))
        return Twice()

    monkeypatch.setattr(registry, "create", created)
    scale, _ = hypervolume_scale(MEASURED, visited([5.0, 2.0, 7.0, 4.0]))
    assert (scale.best["naswot"], scale.worst["naswot"]) == (5.0, 2.0)  # of two different genomes
    ((spec, problem, rng),) = made
    assert spec == "random:batch=4"
    assert isinstance(problem, SearchProblem)
    assert problem.objectives == MEASURED.goals
    assert rng.bit_generator.state == np.random.default_rng(7).bit_generator.state


@pytest.mark.parametrize("scores", [[None] * 4 + [3.0, 8.0, 6.0], [None] * 4 + [3.0, 8.0]])
def test_a_first_generation_without_a_value_leaves_the_range_of_the_run(scores):
    scale, said = hypervolume_scale(MEASURED, visited(scores))
    assert said == f"{OWN} (fewer candidates than it takes were evaluated)"
    assert (scale.best, scale.worst) == (
        {"naswot": 8.0, "params": 1e6},
        {"naswot": 3.0, "params": 1e6 + len(scores) - 1},
    )
    assert scale.goals == MEASURED.goals


def test_a_run_that_cannot_be_rebuilt_has_the_range_of_its_candidates_and_the_reason():
    columns = {
        name: replace(column, label=column.label.replace("v1", "v0")) for name, column in MEASURED.columns.items()
    }
    scale, said = hypervolume_scale(replace(MEASURED, columns=columns), visited([5.0, 2.0, 7.0, 4.0, 9.0]))
    assert said == f"{OWN} (naswot is of another version here)"
    assert (scale.best["naswot"], scale.worst["naswot"]) == (9.0, 2.0)


@pytest.mark.parametrize("scores", [[], [None] * 5])
def test_without_a_value_there_is_no_hypervolume(scores):
    with pytest.raises(NasctlError) as refused:
        hypervolume_scale(MEASURED, visited(scores))
    message = "no candidate of this run has a value in every objective yet, so it has no hypervolume"
    assert str(refused.value) == message


def test_the_scale_of_a_record_from_a_store_is_the_same():
    found = visited([5.0, 2.0, 7.0, 4.0, 9.0, 1.0])
    assert hypervolume_scale(RunRecord.parsed(MEASURED.json()), found) == hypervolume_scale(MEASURED, found)
