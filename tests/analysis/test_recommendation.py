"""The recommended network of a run by hand: within a bound, without one, and by trained accuracy; and its sentence."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl.analysis import percentiles, recommendation
from nasctl.analysis.quality import Quality
from nasctl.analysis.recommendation import recommend
from nasctl.api import Evaluation
from nasctl.cli import cli
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Goal
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

SWAP = Column("swap v0 @ another setting", "patterns", "module", Goal("swap", "max", "identity", "module"))
MS = Column("latency@phone v1", "ms, batch 1", "network", Goal("latency@phone", "min", "identity", "network"))
PARAMS = Column("params v0", "parameters", "network", None)  # only recorded, in another version
SPEC = "nbmacro:canonical=true,classes=10,resolution=32"
RECORD = RunRecord(SPEC, {"swap": SWAP, "latency@phone": MS, "params": PARAMS})
ROWS = [(90, 100, 9e6), (88, 40, 5e6), (80, 20, 6e6), (50, 10, 1e6), (87, 41, 2e6)]  # the last one is dominated
GENOMES = [(k, *(1,) * 7) for k in range(3)] + [(k, 0, *(1,) * 6) for k in range(2)]
VISITED = [
    Evaluation(genome, {"swap": swap, "latency@phone": ms, "params": params})
    for genome, (swap, ms, params) in zip(GENOMES, ROWS, strict=True)
]
EMPTY = Store.reading("no file of this name")


def upper(name, bound):
    return Constraint(name, upper=True, bound=float(bound))


def chosen(*under, record=RECORD, visited=VISITED):
    found = recommend(EMPTY, "mine", record, visited, under=under)
    return GENOMES.index(found.chosen.genome), found.why


@pytest.mark.parametrize(
    ("under", "expected", "why"),
    [
        ([], 2, "closest to the best of every objective"),  # (0.25, 0.11) of the ranges from the best
        ([upper("latency@phone", 50)], 1, "the best swap score within latency@phone<=50"),
        ([upper("latency@phone", 500)], 0, "the best swap score within latency@phone<=500"),
        ([upper("params", 3e6)], 4, "the best swap score within params<=3M"),  # on the front within the bound
        # A lower bound is no budget. Without the last network, (0.2, 0.25) of the ranges from the best.
        ([Constraint("swap", upper=False, bound=60.0)], 1, "closest to the best of every objective within swap>=60"),
        # Of two bounds on one side, the tighter one is named.
        ([upper("latency@phone", 50), upper("latency@phone", 25)], 2, "the best swap score within latency@phone<=25"),
    ],
)
def test_a_bound_decides_what_is_recommended(under, expected, why):
    assert chosen(*under) == (expected, why)


def test_a_network_that_beats_all_others_is_best_in_every_objective(monkeypatch):
    best = Evaluation((1, 1, *(0,) * 6), {"swap": 99.0, "latency@phone": 1.0, "params": 1e6})
    one = recommend(EMPTY, "mine", RECORD, [*VISITED, best])
    assert (one.chosen, one.front, one.why) == (best, 1, "best in every objective, of 6 candidates")
    # So are two networks with equal values, which are both on the front.
    twin = Evaluation((2, 2, *(0,) * 6), dict(best.values))
    assert recommend(EMPTY, "mine", RECORD, [*VISITED, best, twin]).why == "best in every objective, of 7 candidates"
    bounded = [Constraint("swap", upper=False, bound=60.0)]
    assert recommend(EMPTY, "mine", RECORD, [*VISITED, best], under=bounded).why.endswith(
        "objective within swap>=60, of 5 candidates"
    )
    # Nothing else satisfies the bound.
    bounded = [Constraint("swap", upper=False, bound=95.0)]
    why = recommend(EMPTY, "mine", RECORD, [*VISITED, best], under=bounded).why
    assert why == "the only network on the front within swap>=95"
    alone = RunRecord(SPEC, {"swap": SWAP})
    assert recommend(EMPTY, "mine", alone, [*VISITED, best]).why == "best in swap, of 6 candidates"
    accuracy = Quality("validation accuracy", {GENOMES[0]: 70.0, GENOMES[1]: 70.0}, unit="%")
    monkeypatch.setattr(recommendation, "trained_quality", lambda *given: accuracy)
    assert chosen() == (1, "best in every objective, of 2 trained networks")


def test_a_bound_of_the_run_counts_like_one_that_is_given_later():
    record = RunRecord(SPEC, RECORD.columns, (upper("latency@phone", 50),))
    assert chosen(record=record) == chosen(upper("latency@phone", 50))
    assert recommend(EMPTY, "mine", record, VISITED, under=[upper("latency@phone", 5)]) is None


def test_the_budget_is_not_left_unused_where_quality_grows_with_cost():
    # A front on which each millisecond buys quality: the closest to the ideal is in the middle, the best at the bound.
    visited = [
        Evaluation((k % 3, k // 3 % 3, *(1,) * 6), {"swap": float(k), "latency@phone": 10.0 * (k + 1)})
        for k in range(9)
    ]
    found = recommend(EMPTY, "mine", RECORD, visited, under=[upper("latency@phone", 78)])
    assert found.chosen.values["latency@phone"] == 70.0
    assert found.costs == "costs 70 ms"
    assert recommend(EMPTY, "mine", RECORD, visited).chosen.values["latency@phone"] == 50.0


def test_a_run_of_costs_alone_has_the_least_of_a_cost_without_a_bound():
    columns = {"params": Column("params v1", "parameters", "network", Goal("params", "min", "identity", "network"))}
    record = RunRecord(SPEC, {**columns, "latency@phone": MS})
    visited = [Evaluation(one.genome, {key: one.values[key] for key in record.columns}) for one in VISITED]
    assert chosen(upper("latency@phone", 50), record=record, visited=visited) == (
        3,
        "the least params within latency@phone<=50",
    )


def test_true_accuracy_comes_before_the_score(monkeypatch):
    values = {GENOMES[0]: 70.0, GENOMES[4]: 71.5, GENOMES[3]: 60.0}  # the dominated network is the most accurate
    accuracy = Quality("validation accuracy", values, unit="%")
    monkeypatch.setattr(recommendation, "trained_quality", lambda *given: accuracy)
    assert chosen(upper("latency@phone", 50)) == (
        4,
        "the best validation accuracy (71.5%) within latency@phone<=50, of 2 trained networks",
    )
    within = recommend(EMPTY, "mine", RECORD, VISITED, None, [upper("latency@phone", 50)])
    assert not within.best_trained
    # Without a bound: accuracies and costs of trained networks are (70, 100), (71.5, 41) and (60, 10).
    assert chosen() == (4, "closest to the best of every objective, of 3 trained networks")
    values[GENOMES[0]] = 72.0
    assert recommend(EMPTY, "mine", RECORD, VISITED).reason.endswith(
        "; the best validation accuracy has nbmacro-125a (72%, here 71.5%), which costs 100 ms"
    )
    # No trained network satisfies the bound, so the score decides.
    assert chosen(upper("latency@phone", 25), visited=VISITED[:3])[1] == "the best swap score within latency@phone<=25"
    # A loss is better if it is lower.
    loss = Quality("validation loss", {GENOMES[0]: -1.5, GENOMES[1]: -0.5}, unit=" nats", sign=-1)
    monkeypatch.setattr(recommendation, "trained_quality", lambda *given: loss)
    assert chosen(upper("latency@phone", 200)) == (
        1,
        "the best validation loss (0.5 nats) within latency@phone<=200, of 2 trained networks",
    )
    assert recommend(EMPTY, "mine", RECORD, VISITED).chosen.values == VISITED[1].values


def test_the_sentence_has_the_reason_the_standing_and_the_costs(monkeypatch):
    found = recommend(EMPTY, "mine", RECORD, VISITED, under=[upper("latency@phone", 50)])
    # Values of swap in this setting are not shipped, so the standing is the rank in the run, and that is said.
    assert found.sentence == (
        f"recommended: {found.id}, the best swap score within latency@phone<=50; rank 2 of 5 candidates of this run,"
        " costs 40 ms"
    )
    random = {"swap": [89.0, *range(30, 69)]}  # 39 of 40 are worse than 88

    def values(self, name):
        return percentiles.np.array(random[name], dtype=float) if name in random else None

    monkeypatch.setattr(percentiles.Percentiles, "random_values", values)
    found = recommend(EMPTY, "mine", RECORD, VISITED, under=[upper("latency@phone", 50)])
    assert found.standing == "better than 97% of 40 random networks of the space"
    free = recommend(EMPTY, "mine", RECORD, VISITED)
    assert free.reason == (
        "closest to the best of every objective; its swap score is better than 97% of 40 random networks of the space,"
        " costs 20 ms"
    )
    assert str(found.percentiles["latency@phone"]) == "rank 3 of 5 candidates of this run"
    random["swap"] = [*range(70, 80), *range(85, 100)]  # 10 of 25 are worse than 80
    assert recommend(EMPTY, "mine", RECORD, VISITED).standing == (
        "its swap score is better than 40% of 25 random networks of the space, because it trades quality for"
        " latency@phone"
    )


def test_a_score_that_is_a_size_is_larger_not_better(monkeypatch):
    random = {"latency@phone": np.array([5.0, 15.0, 200.0])}
    monkeypatch.setattr(percentiles.Percentiles, "random_values", lambda self, name: random.get(name))
    found = recommend(EMPTY, "mine", RECORD, VISITED, "log_rank:latency@phone")
    assert found.reason == "closest to the best of every objective; costs 20 ms"
    within = recommend(EMPTY, "mine", RECORD, VISITED, "log_rank:latency@phone", [upper("latency@phone", 50)])
    assert within.reason.startswith("the largest latency@phone within latency@phone<=50; larger than 66% of 3")


def test_the_same_network_is_recommended_everywhere(tmp_path):
    def call(*arguments):
        done = CliRunner().invoke(cli, [*arguments, "--store", str(tmp_path / "nasctl.db")], catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return done

    small = ["--space=nbmacro", "-oswap,macs", "--fidelity=size=8,batch=4", "--budget=12", "--searcher=random"]
    search = call("search", *small, "-cmacs<=60M", "--json")
    found = json.loads(search.stdout)
    said = " ".join(search.stderr.partition("recommended: ")[2].partition("next:")[0].split())
    assert said == f"{found['recommended']}, {found['why']}"
    assert re.match(r"the best swap score within macs<=60M; rank 1 of \d+ candidates of this run, costs", found["why"])
    assert f"export --arch {found['recommended']}" in search.stderr
    shown = json.loads(call("runs", "show", "--json").stdout)
    assert shown["recommended"] == {"id": found["recommended"], "why": found["why"]}
    assert f"recommended  {said}" in call("runs", "show").stdout
    picked = json.loads(call("pareto", "pick", "--json").stdout)
    assert (picked["id"], picked["why"]) == (found["recommended"], found["why"])
    (share,) = set(re.findall(r"hypervolume ([\d.]+%)", search.stderr))
    assert f"hypervolume  {share} of the ideal box" in call("runs", "show").stdout
    assert f"{shown['hypervolume']:.1%}" == share


def test_the_reason_for_the_largest_network_is_said(monkeypatch):
    monkeypatch.setattr(recommendation, "scored_by_size", lambda record: True)
    monkeypatch.setattr(recommendation.Percentiles, "is_size", lambda self, score: True)
    within = recommend(EMPTY, "mine", RECORD, VISITED, None, [upper("latency@phone", 50)])
    assert ", because no metric was seen to beat size; " in within.reason
