"""Hypervolume of a front on a scale: areas by hand."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasctl.pareto.hypervolume import REFERENCE, checkpoints, pareto, scaled
from nasctl.pareto.hypervolume_scale import Scale, fronts_at
from nasctl.problem.searcher import Evaluation, Goal

GOALS = (Goal("a", "min", "identity", "network"), Goal("b", "max", "log10", "network"))
# Losses of `a` go from 0 to 10, those of `b`, which are -log10, from -3 to -1.
SCALE = Scale(GOALS, {"a": 0.0, "b": 1000.0}, {"a": 10.0, "b": 10.0})


@pytest.mark.parametrize(
    ("front", "volume"),
    [
        ([[0.0, -3.0]], REFERENCE**2),
        ([[0.0, -1.0], [10.0, -3.0]], 2 * 1.05 * 0.05 - 0.05**2),
        ([[5.0, -2.0]], 0.55**2),
        ([[11.0, -2.0]], 0.0),  # beyond the reference
        (np.empty((0, 2)), 0.0),
    ],
)
def test_volumes_by_hand(front, volume):
    assert SCALE.volume(np.array(front)) == pytest.approx(volume, abs=1e-15)


@pytest.mark.parametrize(
    ("front", "share"),
    [
        ([[0.0, -3.0]], 1.0),  # the best of both at once fills the box
        ([[5.0, -2.0]], 0.55**2 / 1.05**2),
        ([[0.0, -5.0]], 1.0),  # better than the scale: the box reaches as far
        ([[0.0, -1.0], [10.0, -5.0]], (2 * 1.05 * 0.05 - 0.05**2) / 1.05**2),
        ([[11.0, -2.0]], 0.0),
        (np.empty((0, 2)), 0.0),
    ],
)
def test_shares_of_the_ideal_box_by_hand(front, share):
    assert SCALE.share(np.array(front)) == pytest.approx(share, abs=1e-15)


def test_fronts_of_one_search_have_one_box_and_grow():
    points = np.array([[5.0, -2.0], [6.0, -5.0], [0.0, -3.0]])
    fronts = list(fronts_at(points, [1, 2, 3]))
    shares = SCALE.shares(fronts)
    assert shares == sorted(shares)
    assert shares[-1] == SCALE.share(fronts[-1])
    assert shares[0] == pytest.approx(0.55 * (1.05 - 0.75) / 1.05**2)  # -2 of -5 to -1 is at 0.75
    assert SCALE.share(fronts[0]) > shares[0]


@given(st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 2), min_size=1, max_size=12))
def test_no_front_fills_more_than_the_box(points):
    assert 0 <= SCALE.share(np.array(points)) <= 1


def test_a_scale_goes_from_the_best_to_the_worst_that_was_found():
    rows = [(3.0, 100.0), (7.0, 1000.0), (5.0, 10.0)]
    found = [Evaluation((k,), {"a": a, "b": b}) for k, (a, b) in enumerate(rows)]
    scale = Scale.of(found, GOALS)
    assert (scale.best, scale.worst) == ({"a": 3.0, "b": 1000.0}, {"a": 7.0, "b": 10.0})
    assert scale.ends.tolist() == [[3.0, -3.0], [7.0, -1.0]]
    assert Scale.of([], GOALS) is None
    assert Scale.of([Evaluation((0,), {"a": 1.0}, {"b": "it failed"})], GOALS) is None


def test_an_objective_with_one_value_is_scaled_by_its_unit():
    scale = Scale(GOALS[:1], {"a": 3.0}, {"a": 3.0})
    assert scale.volume(np.array([[3.0]])) == pytest.approx(REFERENCE)
    assert scale.volume(np.array([[3.5]])) == pytest.approx(0.55)


def test_points_that_are_not_dominated_are_kept_once():
    points = np.array([[3.0, 1.0], [1.0, 3.0], [3.0, 2.0], [2.0, 2.0], [1.0, 3.0]])
    assert sorted(pareto(points).tolist()) == [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]


def test_values_are_scaled_from_their_range_to_0_and_1():
    assert scaled(np.array([4.0, 2.0, 10.0])).tolist() == [0.25, 0.0, 1.0]


def test_the_curve_grows_with_the_archive():
    points = np.array([[5.0, -2.0], [np.nan, np.nan], [6.0, -1.5], [0.0, -3.0]])
    assert SCALE.curve(points, [1, 2, 3, 4]) == pytest.approx([0.55**2] * 3 + [REFERENCE**2])
    assert checkpoints(7, 3) == [3, 5, 7]


def test_it_takes_moocore_and_not_pymoo():
    code = (
        "import sys, numpy as np; from nasctl.pareto.hypervolume_scale import Scale;"
        " from nasctl.problem.searcher import Goal; goal = Goal('a', 'min', 'identity', 'network');"
        " assert Scale((goal,), {'a': 0.0}, {'a': 1.0}).volume(np.array([[0.5]])) == 0.55;"
        " sys.exit('pymoo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
