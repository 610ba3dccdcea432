"""The archive of non-dominated genomes, and the point of a front that is closest to the ideal point."""

import numpy as np
import pytest

from nasctl.pareto.archive import Archive, closest_to_ideal, dominates


@pytest.mark.parametrize(
    ("front", "row"),
    [
        ([[0.0, 100.0], [1.0, 40.0], [4.0, 30.0], [10.0, 0.0]], 1),
        ([[5.0, 5.0]], 0),
        ([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]], 1),
        ([[1000.0, 100.0], [1001.0, 40.0], [1004.0, 30.0], [1010.0, 0.0]], 1),  # the first front, farther from 0
        ([[0.0, 1.0], [0.05, 0.6], [0.1, 0.0]], 1),  # scaled, the middle is (0.5, 0.6)
    ],
)
def test_it_is_closest_to_the_best_of_all(front, row):
    assert closest_to_ideal(np.array(front)) == row


@pytest.mark.parametrize(
    ("one", "other", "answer"),
    [
        ([1.0, 2.0], [2.0, 3.0], True),
        ([1.0, 2.0], [1.0, 3.0], True),  # equal in one objective
        ([1.0, 2.0], [1.0, 2.0], False),
        ([1.0, 2.0], [2.0, 1.0], False),
        ([2.0, 3.0], [1.0, 2.0], False),
        ([[1.0, 1.0], [2.0, 2.0], [3.0, 1.0]], [2.0, 2.0], [True, False, False]),
        ([[1.0, 2.0], [1.0, 2.0]], [[1.0, 3.0], [1.0, 2.0]], [True, False]),
        (np.zeros((2, 3, 4)), np.ones((2, 3, 4)), [[True] * 3] * 2),
    ],
)
def test_dominance_is_nowhere_worse_and_somewhere_better(one, other, answer):
    assert dominates(np.array(one), np.array(other)).tolist() == answer


def test_the_archive_keeps_what_no_member_dominates():
    archive = Archive(2)
    assert (len(archive), archive.genomes, archive.losses.shape) == (0, [], (0, 2))
    for genome, losses in [(0, (3.0, 3.0)), (1, (1.0, 4.0)), (2, (4.0, 4.0)), (3, (2.0, 3.0)), (4, (1.0, 4.0))]:
        archive.add((genome,), np.array(losses))
    # (3,) took the place of (0,), (2,) was dominated, and (4,) has the losses of (1,).
    assert archive.genomes == [(1,), (3,), (4,)]
    assert archive.losses.tolist() == [[1.0, 4.0], [2.0, 3.0], [1.0, 4.0]]
    assert [(genome,) in archive for genome in range(5)] == [False, True, False, True, True]
    assert len(archive) == 3


def test_a_member_that_is_added_again_keeps_its_losses():
    archive = Archive(1)
    archive.add((0,), np.array([2.0]))
    archive.add((0,), np.array([1.0]))
    assert (archive.genomes, archive.losses.tolist()) == ([(0,)], [[2.0]])


def test_the_archive_grows_beyond_its_first_rows():
    archive = Archive(2)
    for k in range(100):
        archive.add((k,), np.array([k, 100.0 - k]))
    assert archive.genomes == [(k,) for k in range(100)]
    assert archive.losses.tolist() == [[k, 100.0 - k] for k in range(100)]
    archive.add((100,), np.array([50.0, 0.5]))  # dominates the members with losses (50, 50) to (99, 1)
    assert archive.genomes == [*((k,) for k in range(50)), (100,)]
    assert archive.losses.tolist() == [*([k, 100.0 - k] for k in range(50)), [50.0, 0.5]]


def test_rows_of_former_members_are_used_again():
    archive = Archive(2)
    for k in range(100):
        archive.add((k,), np.array([100.0 - k, 100.0 - k]))  # each dominates the one before
        archive.add((100 + k,), np.array([-1.0 - k, 200.0 + k]))  # dominated by none
    assert archive.genomes == [*((100 + k,) for k in range(99)), (99,), (199,)]
    assert archive.losses[[0, 98, 99, 100]].tolist() == [[-1.0, 200.0], [-99.0, 298.0], [1.0, 1.0], [-100.0, 299.0]]
