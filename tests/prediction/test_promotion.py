"""Promotion by non-dominated sorting, farthest first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nasctl.prediction.promotion import promote

LINE = np.array([[0.0, 1.0], [0.1, 0.9], [0.5, 0.5], [1.0, 0.0], [0.6, 0.6], [2.0, 2.0]])  # a front of 4, then 2 more


def test_ends_come_first_then_what_is_farthest_then_the_next_front():
    assert promote(LINE, 6).tolist() == [0, 3, 2, 1, 4, 5]
    assert promote(LINE, 3).tolist() == [0, 3, 2]


def test_the_second_front_is_spread_too():
    losses = np.array([[0.0, 0.0], [1.0, 0.1], [0.2, 1.0], [0.9, 0.2]])
    assert promote(losses, 3).tolist() == [0, 2, 1]


def test_one_objective_promotes_the_best():
    assert promote(np.array([[3.0], [1.0], [2.0], [1.0]]), 3).tolist() == [1, 3, 2]


def test_failed_candidates_come_last():
    losses = np.array([[np.nan, 0.0], [1.0, 1.0], [np.nan, np.nan]])
    assert promote(losses, 2).tolist() == [1, 0]
    assert promote(losses[[0, 2]], 5).tolist() == [0, 1]


def test_nothing_is_promoted_from_nothing():
    assert promote(np.empty((0, 2)), 3).tolist() == []
    with pytest.raises(ValueError, match="keep"):
        promote(LINE, -1)


@given(arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(0, 4)), st.integers(0, 14))
def test_no_candidate_is_promoted_before_one_that_dominates_it(losses, keep):
    found = promote(losses, keep)
    assert len(set(found.tolist())) == len(found) == min(keep, len(losses))
    for place, row in enumerate(found):
        better = [k for k in range(len(losses)) if (losses[k] <= losses[row]).all() and (losses[k] < losses[row]).any()]
        assert set(better) <= set(found[:place].tolist())
    assert promote(losses * [8.0, 0.5, 2.0][: losses.shape[1]], keep).tolist() == found.tolist()  # units do not matter
