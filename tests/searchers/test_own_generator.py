"""Searches by pymoo where candidates tie: one seed takes one path, and a larger budget resumes it.

`SearcherContract` asks every searcher for the same with made-up outcomes.
"""

import numpy as np
import pytest

from nasctl.search.run import Run
from nasctl.searchers._pymoo import tournament
from nasctl.testing import found


@pytest.mark.slow
@pytest.mark.parametrize("searcher", ["nsga3", "sms_emoa"])
def test_one_seed_is_one_path_where_all_break_a_bound_alike(searcher, tmp_path):
    # The bound is the largest number of parameters of the space, so that nearly all candidates break it.
    run = Run("nb201", ("depth", "memory", "macs"), searcher, seed=3, constraints=("params>=1531546",))
    first = found(run, tmp_path / "a", 45)
    assert found(run, tmp_path / "b", 45) == first
    assert found(run, tmp_path / "a", 60)[:45] == first


def test_a_tournament_draws_only_where_rows_are_equal():
    rows = [(0.0, 1), (0.0, 2), (3.0, 0), (3.0, 0)]
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert tournament(rows, np.array([[0, 1], [2, 1], [3, 0]]), rng).tolist() == [[0], [1], [0]]
    assert rng.bit_generator.state == before
    drawn = tournament(rows, np.array([[2, 3]] * 200), rng)[:, 0]
    assert 60 < (drawn == 2).sum() < 140
