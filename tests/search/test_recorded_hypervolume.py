"""The hypervolume of a recorded run is measured on the scale of its search, or on one of its own."""

import pytest

from nasctl.errors import NasctlError
from nasctl.problem.searcher import Evaluation
from nasctl.search.recorded_hypervolume import hypervolume_scale
from nasctl.search.run import Run

AS_IN_THE_SEARCH = "as in the search: a cost by its range over the space, a metric by its range in the first generation"
OWN = "each objective by its range over the candidates of this run, as that of the search is not known here"


def recorded(*objectives, searcher="nsga2:population=4", **options):
    run = Run("nbmacro", objectives, searcher, **options)
    return run.task.record(run.asked["space"], run.asked)


def evaluations(*values, name="synflow"):
    genomes = [(k % 3, k // 3, 0, 0, 0, 0, 0, 0) for k in range(len(values))]
    return [
        Evaluation(genome, {} if value is None else {name: value}, {} if value is not None else {name: "failed"})
        for genome, value in zip(genomes, values, strict=True)
    ]


def test_costs_are_scaled_by_their_range_over_the_space():
    scale, said = hypervolume_scale(recorded("macs"), evaluations(5e7, name="macs"))
    assert said == AS_IN_THE_SEARCH
    assert scale.worst == {"macs": 105_660_928.0}
    assert 0 < scale.best["macs"] < 5e7


def test_metrics_are_scaled_by_the_first_generation():
    scale, said = hypervolume_scale(recorded("synflow"), evaluations(3.0, None, 5.0, 4.0, 99.0, 1.0))
    assert said == AS_IN_THE_SEARCH
    assert (scale.best, scale.worst) == ({"synflow": 5.0}, {"synflow": 3.0})  # of its first four candidates


def test_a_first_generation_without_a_value_gives_way_to_the_whole_run():
    scale, said = hypervolume_scale(recorded("synflow"), evaluations(None, None, None, None, 99.0, 1.0))
    assert said == f"{OWN} (fewer candidates than it takes were evaluated)"
    assert (scale.best, scale.worst) == ({"synflow": 99.0}, {"synflow": 1.0})


def test_a_run_that_cannot_be_made_here_says_why():
    record = recorded("synflow")
    record.labels["synflow"] = record.labels["synflow"].replace("synflow v", "synflow v1000")
    scale, said = hypervolume_scale(record, evaluations(3.0, 4.0))
    assert said == f"{OWN} (synflow is of another version here)"
    assert (scale.best, scale.worst) == ({"synflow": 4.0}, {"synflow": 3.0})


@pytest.mark.parametrize("values", [(), (None, None)])
def test_without_a_value_there_is_no_hypervolume(values):
    with pytest.raises(NasctlError, match="no candidate of this run has a value in every objective yet"):
        hypervolume_scale(recorded("synflow"), evaluations(*values))
