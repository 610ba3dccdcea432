"""Which candidates of a run are worth a training: whole ranks first, then a good score spread over the costs."""

import numpy as np
import pytest

from nasctl.analysis.shortlist import shortlist
from nasctl.errors import NasctlError
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.store.run_record import Column, RunRecord

NASWOT = Column("naswot", "log", "module", Goal("naswot", "max", "identity", "module"))
SNIP = Column("snip", "nats", "module", Goal("snip", "max", "identity", "module"))
MACS = Column("macs", "MACs", "network", Goal("macs", "min", "identity", "network"))
RECORD = RunRecord("nbmacro:canonical=true,classes=10,resolution=32", {"naswot": NASWOT, "macs": MACS})

FRONT = [(10, 1), (20, 2), (30, 3), (40, 4), (50, 5)]  # naswot and macs
SECOND = [(9, 1), (19, 2), (49, 5)]  # dominated by one of the front each
THIRD = [(8, 1)]


def visited(rows, names=("naswot", "macs")):
    return [Evaluation((k,), dict(zip(names, map(float, row), strict=True))) for k, row in enumerate(rows)]


def chosen(rows, top, record=RECORD, names=("naswot", "macs")):
    found = shortlist(record, visited(rows, names), top, {})
    return [one.genome[0] for one in found.candidates], found


def test_a_front_that_fits_is_taken_whole_and_the_next_rank_follows():
    rows = [*THIRD, *SECOND, *FRONT]
    places, found = chosen(rows, 8)
    assert places == [8, 7, 6, 5, 4, 3, 2, 1]  # of each rank the best in the first objective first
    assert (found.front, found.cost_names, found.score) == (5, ("macs",), "log_rank(naswot)")
    np.testing.assert_array_equal(found.costs[:, 0], [5, 4, 3, 2, 1, 5, 2, 1])


def test_a_run_with_fewer_candidates_gives_all_of_them():
    assert sorted(chosen([*THIRD, *FRONT], 100)[0]) == list(range(6))


def test_a_front_that_does_not_fit_keeps_its_ends():
    assert sorted(chosen(FRONT, 2)[0]) == [0, 4]
    assert {0, 4} < set(chosen(FRONT, 3)[0])


def test_of_networks_of_one_rank_a_better_score_at_lower_costs_comes_first():
    record = RunRecord(RECORD.space, {"naswot": NASWOT, "snip": SNIP, "macs": MACS})
    rows = [(10, 1, 5), (1, 2, 5), (9, 0, 6), (8, 3, 4), (2, 2, 4)]  # none dominates another in all three, but 4
    names = ("naswot", "snip", "macs")
    assert 3 in chosen(rows, 1, record, names)[0]  # ranks second of five in naswot and first in snip, at the least MACs


def test_broken_constraints_and_failures_stay_out():
    record = RunRecord(RECORD.space, RECORD.columns, (Constraint("macs", True, 3.0),))
    found = [*visited(FRONT), Evaluation((9,), {"macs": 1.0}, {"naswot": "failed"})]
    assert {one.genome[0] for one in shortlist(record, found, 10, {}).candidates} == {0, 1, 2}
    impossible = RunRecord(RECORD.space, RECORD.columns, (Constraint("macs", True, 0.0),))
    with pytest.raises(NasctlError, match="its front is empty"):
        shortlist(impossible, found, 10, {})


def test_the_shortlist_does_not_depend_on_the_order_of_candidates():
    rng = np.random.default_rng(0)
    rows = rng.uniform(size=(60, 2))
    rows[:, 1] = rows[:, 0] + 0.1 * rows[:, 1]
    found = visited(rows.tolist())
    turned = [found[k] for k in rng.permutation(60)]
    first, second = (shortlist(RECORD, these, 12, {}).candidates for these in (found, turned))
    assert [one.genome for one in first] == [one.genome for one in second]
