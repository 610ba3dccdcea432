"""Standings among random networks and among the candidates of a run: counts by hand."""

import numpy as np
import pytest

from nasctl import registry
from nasctl.analysis.aggregate import Score
from nasctl.analysis.percentiles import CANDIDATES, RANDOM, Percentiles, Rank
from nasctl.api import Evaluation
from nasctl.candidates.setting import make_setting
from nasctl.correlations.random_networks import random_networks
from nasctl.evaluation.measure import measure
from nasctl.evaluation.ranges import sample
from nasctl.evaluation.task import Task
from nasctl.search.metrics import make_objective
from nasctl.store.run_record import RunRecord

SPEC = registry.spelled_out("spaces", "mbconv")


def record(spec="mbconv", names=("l2_norm", "macs"), setting=None):
    space = registry.create("spaces", spec)
    metrics = dict(make_objective(name, spec) for name in names)
    task = Task(space, metrics, setting or make_setting(space, "", None, 0))
    return task.record(registry.spelled_out("spaces", spec))


@pytest.mark.parametrize(
    ("place", "short", "text"),
    [
        (Rank(970, 30, 1000, RANDOM), "better than 97%", "better than 97% of 1,000 random networks of the space"),
        (Rank(996, 4, 1000, RANDOM), "better than 99.6%", "better than 99.6% of 1,000 random networks of the space"),
        (Rank(2, 1, 3, RANDOM), "better than 66%", "better than 66% of 3 random networks of the space"),  # not 67%
        (Rank(9999, 1, 10000, RANDOM), "better than 99.9%", "better than 99.9% of 10,000 random networks of the space"),
        (Rank(300, 0, 300, RANDOM), "better than all", "better than all 300 random networks of the space"),
        (
            Rank(160, 40, 200, RANDOM, "smaller"),
            "smaller than 80%",
            "smaller than 80% of 200 random networks of the space",
        ),
        (Rank(5, 2, 10, CANDIDATES), "rank 3 of 11", "rank 3 of 11 candidates of this run"),
        (Rank(0, 0, 0, CANDIDATES), "rank 1 of 1", "rank 1 of 1 candidates of this run"),
    ],
)
def test_words_never_claim_more_than_was_counted(place, short, text):
    assert (place.short, str(place)) == (short, text)


def test_a_metric_is_counted_among_shipped_values_and_a_cost_the_other_way_round():
    shipped = random_networks(SPEC)
    values = np.sort(np.array(shipped.metrics["l2_norm"].values))
    macs = np.sort(np.array(shipped.metrics["macs"].values))
    one = Evaluation((), {"l2_norm": values[-10], "macs": macs[30]})
    found = Percentiles(record(), []).standings(one)
    assert (found["l2_norm"].worse, found["l2_norm"].better) == (shipped.networks - 10, 9)
    assert (found["macs"].worse, found["macs"].better, found["macs"].word) == (shipped.networks - 31, 30, "smaller")
    assert found["l2_norm"].total == found["macs"].total == shipped.networks


@pytest.mark.parametrize(
    ("spec", "fidelity", "data", "seed"),
    [
        ("mbconv:width=1.0", "", None, 0),  # another space
        ("mbconv:classes=10,resolution=160", "", None, 0),
        ("mbconv:resolution=48", "", None, 0),  # smaller than the 64 pixels of the measurements
        ("mbconv", "size=32,batch=4", None, 0),
        ("mbconv", "", "noise", 0),
        ("mbconv", "", None, 1),
    ],
)
def test_values_of_another_setting_are_not_compared(spec, fidelity, data, seed):
    there = record(spec, setting=make_setting(registry.create("spaces", spec), fidelity, data, seed))
    visited = [Evaluation((k,), {"l2_norm": 100.0 * k}) for k in range(5)]
    found = Percentiles(there, visited).standing("l2_norm", visited[3])
    assert (str(found), found.share) == ("rank 2 of 5 candidates of this run", 3 / 4)


def test_a_resolution_that_is_reduced_for_the_metric_does_not_count():
    spec = "mbconv:resolution=160"
    there, genome = record(spec), sample(registry.create("spaces", "mbconv"), 1)[0]
    space = registry.create("spaces", spec)
    task = Task(space, dict([make_objective("l2_norm", spec)]), make_setting(space, "", None, 0))
    own = measure(task, genome, {"l2_norm": "l2_norm"})["l2_norm"].value
    assert random_networks(SPEC).metrics["l2_norm"].values[0] == pytest.approx(own, rel=1e-3)
    given, one = Percentiles(there, []), Evaluation(genome, {"l2_norm": own, "macs": 1e9})
    found = given.standings(one)
    assert (found["l2_norm"].total, found["l2_norm"].among) == (random_networks(SPEC).networks, RANDOM)
    assert (found["macs"].total, found["macs"].worse) == (200, 0)  # of the space itself
    assert given.score_standing(Score("log_rank", ("l2_norm",)), one).worse == found["l2_norm"].worse
    assert given.score_standing(Score("log_rank", ("l2_norm", "macs")), one) is None


def test_threads_and_devices_change_last_digits_only():
    space = registry.create("spaces", "mbconv")
    there = record(setting=make_setting(space, "", None, 0, torch_device="cuda:0", threads=4))
    assert Percentiles(there, []).standing("l2_norm", Evaluation((), {"l2_norm": 1e9})).among == RANDOM


def test_a_cost_is_computed_for_random_networks_of_a_space_whose_values_are_not_shipped():
    space = registry.create("spaces", "nbmacro:classes=7")
    metric = make_objective("params")[1]
    task = Task(space, {"params": metric})
    params = np.array([measure(task, genome, {"params": "params"})["params"].value for genome in sample(space)])
    found = Percentiles(record("nbmacro:classes=7", ("params",)), []).standing(
        "params", Evaluation((), {"params": float(np.median(params))})
    )
    assert (found.worse, found.total, found.among) == (int((params > np.median(params)).sum()), 200, RANDOM)


def test_a_score_of_several_metrics_is_counted_by_their_joint_ranks():
    shipped = random_networks(SPEC)
    rows = {name: np.array(shipped.metrics[name].values) for name in ("l2_norm", "snip")}
    place = int(np.argsort(rows["l2_norm"])[-20])
    one = Evaluation((), {name: float(values[place]) for name, values in rows.items()})
    given = Percentiles(record(names=("l2_norm", "snip")), [])
    found = given.score_standing(Score("log_rank", ("l2_norm", "snip")), one)
    ranks = [
        (values[:, None] > values).sum(axis=1) + (values[:, None] == values).sum(axis=1) / 2 for values in rows.values()
    ]
    scores = np.log(ranks).sum(axis=0)
    assert abs(found.worse - int((scores < scores[place]).sum())) <= 2  # the network itself is one more to rank among
    single = given.score_standing(Score("log_rank", ("l2_norm",)), one)
    assert single.worse == given.standing("l2_norm", one).worse
    assert given.score_standing(Score("log_rank", ("l2_norm", "zico")), one) is None


def test_what_failed_is_worst_and_what_was_not_measured_does_not_count():
    there = record("nbmacro", ("swap",), make_setting(registry.create("spaces", "nbmacro"), "size=8,batch=4", None, 0))
    visited = [
        Evaluation((0,), {"swap": 5.0}),
        Evaluation((1,), {}, {"swap": "failed"}),
        Evaluation((2,), {}),  # breaks a constraint by its cost alone
        Evaluation((3,), {"swap": 7.0}),
    ]
    found = Percentiles(there, visited).standing("swap", visited[0])
    assert (found.worse, found.better, found.total) == (1, 1, 2)
    assert Percentiles(there, visited).standing("swap", visited[1]) is None


def test_a_column_of_a_plug_in_that_is_gone_has_no_standing():
    there = RunRecord("gone:a=1", record().columns)
    found = Percentiles(there, [Evaluation((0,), {"macs": 1.0})]).standings(Evaluation((1,), {"macs": 2.0}))
    assert str(found["macs"]) == "rank 2 of 2 candidates of this run"
