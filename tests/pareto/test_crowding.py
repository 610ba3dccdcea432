"""Crowding distances by hand, and against an implementation of the paper's pseudocode."""

import moocore
import numpy as np
import pytest

from nasctl.pareto.crowding import spread


def distances(losses):
    """Crowding distances as section III-B of Deb et al. (2002) has them."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        if (span := np.ptp(column)) > 0:
            distance[order[[0, -1]]] = np.inf
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


@pytest.mark.parametrize(
    ("front", "number", "rows"),
    [
        ([[0.0, 1.0], [0.05, 0.9], [0.1, 0.85], [0.6, 0.3], [1.0, 0.0]], 3, [0, 3, 4]),
        ([[0.0, 1.0], [0.05, 0.9], [0.1, 0.85], [0.6, 0.3], [1.0, 0.0]], 9, [0, 1, 2, 3, 4]),
        ([[5.0, 5.0]], 1, [0]),
        (
            [[0.0, 3.0, 1.0], [0.5, 3.0, 0.5], [0.9, 3.0, 0.1], [1.0, 3.0, 0.0]],
            3,
            [0, 1, 3],
        ),  # one is the same everywhere
        (np.empty((0, 2)), 3, []),
    ],
)
def test_the_ends_and_what_stands_apart_are_kept(front, number, rows):
    assert spread(np.array(front), number).tolist() == rows


@pytest.mark.parametrize("kind", ["uniform", "grid", "repeated", "logarithms"])
def test_it_keeps_what_the_paper_keeps(kind):
    rng = np.random.default_rng(0)
    for _ in range(100):
        size = (int(rng.integers(1, 60)), int(rng.integers(1, 5)))
        losses = rng.integers(0, 6, size).astype(float) if kind == "grid" else rng.random(size)
        losses = np.log10(losses * 1e6 + 1e3) if kind == "logarithms" else losses
        losses = np.repeat(losses, 2, axis=0) if kind == "repeated" else losses
        front = losses[moocore.is_nondominated(losses, keep_weakly=True)]
        number = int(rng.integers(1, 21))
        assert spread(front, number).tolist() == sorted(np.argsort(-distances(front), kind="stable")[:number])
