"""The knee of a front, with answers that a ruler and a pencil give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasctl.pareto.archive import closest_to_ideal
from nasctl.pareto.knee import knee

BENT = [[0.0, 100.0], [1.0, 40.0], [2.0, 10.0], [6.0, 5.0], [10.0, 0.0]]  # scaled: sums of 1, 0.5, 0.3, 0.65, 1
# The sums of the scaled losses are 1, 0.65, 0.75 and 1, the distances from the ideal point 1, 0.60, 0.53 and 1.
TWO_ANSWERS = [[0.0, 1.0], [0.05, 0.6], [0.4, 0.35], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("front", "row"),
    [
        (BENT, 2),
        (TWO_ANSWERS, 1),
        ([[5.0, 5.0]], 0),  # one point is the ideal point
        ([[5.0, 5.0], [5.0, 5.0]], 0),
        ([[0.0, 1.0], [1.0, 0.0]], None),
        ([[k / 7, 1 - k / 7] for k in range(8)], None),  # a straight line, but for rounding errors
        ([[0.0, 0.1], [0.05, 0.05], [0.1, 0.0]], None),  # ranges below 1 count as much as others
        # Distances of 0.7e-9 and 1.4e-9 from the line, the first of which may be a rounding error.
        ([[0.0, 1.0], [0.5, 0.5 - 1e-9], [1.0, 0.0]], None),
        ([[0.0, 1.0], [0.5, 0.5 - 2e-9], [1.0, 0.0]], 1),
        ([[0.0, 1.0], [0.8, 0.8], [1.0, 0.0]], None),  # it bulges away from the ideal point
        ([[0.0, 1.0], [0.2, 0.2], [0.2, 0.2], [1.0, 0.0]], 1),  # equal points
        ([[0.0, 1.0], [0.1, 0.4], [0.3, 0.2], [1.0, 0.0]], 1),  # both have a sum of a half
        ([[0.0, 7.0, 1.0], [0.2, 7.0, 0.2], [1.0, 7.0, 0.0]], 1),  # one objective is the same everywhere
        # The corners of the simplex, its middle, and a point below it.
        ([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.1, 0.1]], 4),
        ([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [1 / 3, 1 / 3, 1 / 3]], None),
        # One point is the best in two objectives, so that the minimisers span no plane.
        ([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.1, 0.1, 0.1]], 2),
    ],
)
def test_known_answers(front, row):
    assert knee(np.array(front)) == row


def test_the_knee_need_not_be_closest_to_the_ideal_point():
    front = np.array(TWO_ANSWERS)
    assert (knee(front), closest_to_ideal(front)) == (1, 2)


@given(
    st.integers(1, 4).flatmap(
        lambda m: st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=m, max_size=m), min_size=1, max_size=12)
    )
)
def test_every_front_has_an_answer_that_its_units_and_its_order_do_not_change(rows):
    front = np.array(rows)
    found = knee(front)
    assert found is None or 0 <= found < len(front)
    powers = 2.0 ** np.arange(1, 1 + front.shape[1])  # exact
    assert knee(front * powers) == found
    assert knee(np.concatenate([front, front])) == found
