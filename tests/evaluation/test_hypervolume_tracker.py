"""The hypervolume of a running search, against areas that are computed by hand."""

import math

import numpy as np
import pytest

from nasctl import registry
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.evaluation.hypervolume_tracker import HypervolumeTracker
from nasctl.evaluation.task import Task
from nasctl.problem.searcher import Evaluation
from nasctl.testing import Chain


def tracker(*names, **options):
    return HypervolumeTracker(Task(Chain(), {name: registry.create("objectives", name) for name in names}, **options))


def test_hypervolume_by_hand():
    # Params of the chain run from 3*2+2*2 = 10 to 3*5+5*5 = 40, scaled to 0 and 1; the reference point lies at 1.05.
    measured = tracker("params", "macs")
    assert measured.volume(np.array([[10.0, 40.0], [40.0, 10.0]])) == pytest.approx(2 * 1.05 * 0.05 - 0.05**2)
    assert measured.volume(np.array([[25.0, 25.0]])) == pytest.approx(0.55**2)
    assert measured.volume(np.empty((0, 2))) is None


def test_hypervolume_of_metrics_waits_for_the_first_generation():
    measured = tracker("snip")
    assert measured.volume(np.array([[-1.0]])) is None
    measured.start([Evaluation((0, 0), {"snip": 10.0}), Evaluation((0, 1), {"snip": 1000.0})])  # losses -1 and -3
    assert measured.volume(np.array([[-2.0]])) == pytest.approx(0.55)
    measured.start([Evaluation((0, 0), {"snip": 1.0})])  # changes nothing
    assert measured.volume(np.array([[-4.0]])) == pytest.approx(1.55)


def test_a_cost_keeps_its_range_over_the_space_whatever_the_first_generation_had():
    measured = tracker("snip", "params")
    assert measured.scale is None
    first = [Evaluation((0, 0), {"snip": 10.0, "params": 20.0}), Evaluation((0, 1), {"snip": 1000.0, "params": 22.0})]
    measured.start(first)
    assert measured.scale.best == {"snip": 1000.0, "params": 10.0}
    assert measured.scale.worst == {"snip": 10.0, "params": 40.0}
    assert measured.volume(np.array([[-3.0, 25.0]])) == pytest.approx(1.05 * 0.55)
    assert measured.volume(np.array([[-4.0, 10.0]])) == pytest.approx(1.55 * 1.05)  # better than the first generation


def test_a_scale_of_costs_alone_is_there_from_the_beginning():
    measured = tracker("params")
    scale = measured.scale
    measured.start([Evaluation((0, 0), {"params": 1.0}), Evaluation((0, 1), {"params": 2.0})])
    assert measured.scale is scale
    assert (scale.best, scale.worst) == ({"params": 10.0}, {"params": 40.0})


@pytest.mark.parametrize("first", [[], [Evaluation((0, 0), {}, {"snip": "failed"})]])
def test_a_generation_without_a_value_starts_nothing(first):
    measured = tracker("snip")
    measured.start(first)
    assert measured.scale is None
    assert measured.volume(np.array([[-1.0]])) is None
    measured.start([Evaluation((0, 0), {"snip": 10.0}), Evaluation((0, 1), {"snip": 1000.0})])
    assert measured.volume(np.array([[-3.0]])) == pytest.approx(1.05)


def test_what_is_only_recorded_has_no_part():
    measured = tracker("params", "snip", recorded=frozenset({"snip"}))
    assert measured.volume(np.array([[10.0]])) == pytest.approx(1.05)


class Reciprocal:
    """1 over the first gene, so that half of the networks fail."""

    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"network"}), "1"

    def __call__(self, candidate):
        return 1.0 / candidate.genome[0]


class Log(Reciprocal):
    """0 for half of the networks, of which there is no logarithm."""

    transform = "log10"

    def __call__(self, candidate):
        return float(candidate.genome[0])


def test_a_cost_that_fails_for_some_networks_has_a_range_all_the_same():
    measured = HypervolumeTracker(Task(Chain(10), {"broken": Reciprocal()}))
    assert measured.volume(np.array([[-1.0]])) is not None


def test_a_cost_without_a_loss_at_an_end_is_scaled_by_the_first_generation():
    measured = HypervolumeTracker(Task(Chain(), {"log": Log()}))
    assert measured.scale is None
    measured.start(
        [Evaluation((0, 0), {"log": 10.0}), Evaluation((0, 1), {"log": 0.0}), Evaluation((1, 1), {"log": 1000.0})]
    )
    assert (measured.scale.best, measured.scale.worst) == ({"log": 1000.0}, {"log": 10.0})


class Failing(Reciprocal):
    def __call__(self, candidate):
        return math.nan


def test_a_cost_that_always_fails_has_no_range():
    assert HypervolumeTracker(Task(Chain(), {"nan": Failing()})).scale is None


class Seeded(Reciprocal):
    """The sum of the setting's seed and the genes; keeps the genomes that it is called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, candidate):
        self.calls.append(candidate.genome)
        return float(candidate.setting.seed + sum(candidate.genome))


def test_a_range_is_of_the_setting_and_of_a_sample():
    metric = Seeded()
    measured = HypervolumeTracker(Task(Chain(10), {"seeded": metric}, Setting(source("noise"), seed=7)))
    assert (measured.scale.best, measured.scale.worst) == ({"seeded": 17.0}, {"seeded": 7.0})
    assert len(metric.calls) < 300  # of 1024 networks
