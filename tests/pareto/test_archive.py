"""The point of a front that is closest to the ideal point."""

import numpy as np
import pytest

from nasctl.pareto.archive import closest_to_ideal


@pytest.mark.parametrize(
    ("front", "row"),
    [
        ([[0.0, 100.0], [1.0, 40.0], [4.0, 30.0], [10.0, 0.0]], 1),
        ([[5.0, 5.0]], 0),
        ([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]], 1),
    ],
)
def test_it_is_closest_to_the_best_of_all(front, row):
    assert closest_to_ideal(np.array(front)) == row
