"""Rank correlation of metrics with known values, comparison of fidelities, and scores of runs."""

import csv
import json
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.analysis import correlate as correlation
from nasctl.analysis import run_scores, score
from nasctl.analysis.aggregate import Score
from nasctl.analysis.fidelities import compare_fidelities
from nasctl.analysis.timing import median_seconds
from nasctl.architectures import known_values
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.cli import cli
from nasctl.errors import NasctlError, UnknownName
from nasctl.evaluation.task import Task
from nasctl.pareto.losses import front
from nasctl.problem.constraints import Constraint
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.store.measurements import Measurement
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store
from nasctl.system import files
from nasctl.testing import drawn

SPACE = "nb201:channels=4,cells=1"
SMALL = "--fidelity=size=8,cells=1,batch=4"
SIZES = {"params", "macs", "depth"}


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        if "--json" not in arguments:
            return done.stdout, done.stderr
        return json.loads(done.stdout, parse_constant=pytest.fail)  # NaN is no JSON

    return call


@pytest.fixture
def truth(tmp_path):
    """A table of 60 cells: the closed form of SynFlow as "good", its negative as "bad", and one value for all."""
    space = registry.create("spaces", SPACE)
    metric = registry.create("objectives", "expected_synflow")
    with (tmp_path / "truth.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["arch", "good", "bad", "same", "rare"])
        cells = [genome for genome in dict.fromkeys(map(space.canonical, drawn(space, 70))) if 3 in genome]
        for k, genome in enumerate(cells):
            value = metric(Candidate(space, genome, Setting(fidelity=Fidelity(8, 1, 4)), frozenset({"scored"})))
            table.writerow([space.spell(genome), value, -value, 1, k if k == 3 else ""])
    return "truth.csv"


def correlate(truth, *more):
    return ("objective", "correlate", f"--space={SPACE}", "--truth", truth, SMALL, *more)


def test_a_metric_that_is_the_truth_has_a_correlation_of_one(nasctl, truth):
    score = "--score=mean_rank:expected_synflow+naswot"
    options = correlate(truth, "-oexpected_synflow,naswot", "--column=good", "--column=bad", score)
    found = nasctl(*options, "--sample=30", "--json")
    assert list(found) == ["good", "bad"]
    good, bad = ({line["metric"]: line for line in lines} for lines in found.values())
    names = {"expected_synflow", "naswot", *SIZES, "mean_rank(expected_synflow, naswot)"}
    assert good.keys() == bad.keys() == names
    assert good["expected_synflow"]["spearman"]["value"] == pytest.approx(1)
    assert good["expected_synflow"]["kendall"] == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert good["expected_synflow"]["top"]["value"] == pytest.approx(1)
    assert bad["expected_synflow"]["spearman"]["value"] == pytest.approx(-1)
    for line in good.values():
        assert line["n"] == 30
        assert line["spearman"]["low"] <= line["spearman"]["value"] <= line["spearman"]["high"]
        assert line["spearman"]["value"] == pytest.approx(-bad[line["metric"]]["spearman"]["value"], abs=1e-9)
        assert (line["seconds"] is None) == ("(" in line["metric"])
    kendalls = [line["kendall"]["value"] for line in found["good"]]
    assert kendalls == sorted(kendalls, reverse=True)
    assert good["params"]["spearman"]["value"] > 0  # larger is taken as better
    options = correlate(truth, "-oexpected_synflow", "--column=bad", "--sample=30", "--lower-is-better", "--json")
    lower = {line["metric"]: line for line in nasctl(*options)["bad"]}
    assert lower.keys() == {"expected_synflow", *SIZES}
    assert lower == {name: {**good[name], "seconds": pytest.approx(good[name]["seconds"], abs=1)} for name in lower}


def test_tables_and_warnings_for_people(nasctl, truth):
    out, err = nasctl(*correlate(truth, "-oexpected_synflow", "--column=good", "--column=bad"))
    lines = out.splitlines()
    assert lines[0] == lines[5] == "metric\tSpearman\tKendall\ttop 10%\tfailed\ts each"
    assert lines[1].startswith("expected_synflow\t1.000 [1.000, 1.000]\t1.000 [1.000, 1.000]\t1.000 ")
    assert {line.partition("\t")[0] for line in lines[1:5]} == {"expected_synflow", *SIZES}
    assert re.search(
        rf"^good, \d\d architectures of {SPACE}; data=dead_leaves,fidelity=size=8,cells=1,batch=4", err, re.M
    )
    assert "Warning: on good" not in err
    assert any(f"Warning: on bad these do not beat {size}, which is free: expected_synflow" in err for size in SIZES)


def test_a_score_that_loses_to_a_size_is_named(nasctl, truth):
    score = "--score=mean_rank:expected_synflow+snip"
    _, err = nasctl(*correlate(truth, "-oexpected_synflow,snip", "--column=bad", score))
    (line,) = [line for line in err.splitlines() if "do not beat" in line]
    assert "mean_rank(expected_synflow, snip)" in line
    assert "expected_synflow, " in line


def test_what_orders_nothing_is_none_and_a_dash(nasctl, truth):
    (found,) = nasctl(*correlate(truth, "-oexpected_synflow", "--column=same", "--json")).values()
    assert all(line["spearman"] is line["kendall"] is line["top"] is None for line in found)
    out, err = nasctl(*correlate(truth, "-oexpected_synflow", "--column=same"))
    assert "Warning" not in err
    assert "expected_synflow\t-\t-\t-\t0\t" in out


def test_a_sample_is_of_the_seed_and_what_all_columns_have(tmp_path, truth, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(truth)
    one, same, other = (correlation.sample_known_values(path, SPACE, ["good"], 20, seed) for seed in (0, 0, 1))
    assert one.genomes == same.genomes != other.genomes
    assert len(set(one.genomes)) == 20
    both = correlation.sample_known_values(path, SPACE, ["good", "rare"], 20, 0)
    assert (len(both.genomes), both.columns["rare"].tolist()) == (1, [3.0])
    whole = correlation.sample_known_values(path, SPACE, ["good", "bad"], 1000, 0)
    assert np.array_equal(whole.columns["good"], -whole.columns["bad"])
    (tmp_path / "apart.csv").write_text('arch,a,b\n"3,3,3,3,3,3",1,\n"3,3,3,3,3,1",,1\n')
    with pytest.raises(NasctlError, match=r"no architecture of apart.csv has a value in each of a, b"):
        correlation.sample_known_values(Path("apart.csv"), SPACE, ["a", "b"], 20, 0)


def test_a_table_is_parsed_once_for_all_columns(tmp_path, truth, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parsed = Counter()

    def counted(function):
        return lambda *given: parsed.update([function.__name__]) or function(*given)

    for module, name in ((files, "read"), (known_values, "_rows"), (known_values, "_genome")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    one = correlation.sample_known_values(Path(truth), SPACE, ["good"], 1000, 0)
    once = Counter(parsed)
    parsed.clear()
    found = correlation.sample_known_values(Path(truth), SPACE, ["good", "bad", "same"], 1000, 0)
    assert parsed == once
    assert parsed["read"] == parsed["_rows"] == 1
    assert found.genomes == one.genomes
    assert np.array_equal(found.columns["good"], -found.columns["bad"])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--column=goood"], "no column of truth.csv is called 'goood'; did you mean 'good'?"),
        ([], "truth.csv has several columns of numbers; name one of good, bad, same, rare"),
        (["--column=good", "--space=nbmacro"], "no column of truth.csv holds an architecture of nbmacro"),
        (["--column=good", "--truth=none.csv"], "cannot read none.csv: No such file"),
        (["--column=good", "--truth=empty.csv"], "empty.csv holds no table"),
        (["--column=good", "--score=vot:params+macs"], "no aggregation is called 'vot'; did you mean 'vote'?"),
        (
            ["--column=good", "--score=vote:params+jacov"],
            "no metric here is called 'jacov'; there is: expected_synflow",
        ),
        (["--column=good", "--score=vote"], "'vote' is no score; name each metric once"),
        (["--column=good", "--sample=3"], "3 is not in the range"),
        (["--column=good", "-o", "synflwo"], "did you mean 'synflow'?"),
        (["--column=good", "-o", "snip", "--torch-device=cuda:99"], "torch cannot use 'cuda:99' here"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_measured(tmp_path, monkeypatch, truth, more, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    done = CliRunner().invoke(cli, correlate(truth, "-oexpected_synflow", *more), catch_exceptions=False)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "nasctl.db").exists()


def test_calibration_compares_levels_with_the_full_one(nasctl):
    options = ["objective", "calibrate", f"--space={SPACE}", "-onaswot,expected_synflow,macs", "--sample=4"]
    rows = nasctl(*options, "--form=size=8,cells=1,batch=4", "--json")
    assert [row["name"] for row in rows] == ["full", "balanced", "fast", "size=8,cells=1,batch=4", "full, other seed"]
    assert all(row["tau"].keys() == {"naswot", "expected_synflow"} for row in rows)  # macs is of the real network
    assert rows[0]["tau"] == pytest.approx({"naswot": 1, "expected_synflow": 1})
    assert rows[-1]["tau"]["expected_synflow"] == pytest.approx(1)  # which draws nothing
    assert rows[0]["fidelity"] == rows[-1]["fidelity"] == {"size": None, "cells": None, "batch": 64, "repeats": 1}
    assert rows[3]["fidelity"] == {"size": 8, "cells": 1, "batch": 4, "repeats": 1}
    assert all(abs(tau) <= 1 + 1e-9 for row in rows for tau in row["tau"].values())
    lines = nasctl(*options)[0].splitlines()
    assert lines[0] == "level\tfidelity\ts each\tnaswot\texpected_synflow"
    assert lines[1].startswith("full\tbatch=64,repeats=1\t")
    assert lines[-1].startswith("full, other seed\tbatch=64,repeats=1\t")
    assert len(lines) == 5


class Counted:
    """The first gene of a genome, counting the calls."""

    unit, direction, transform, version = "1", "max", "identity", "1"
    needs = frozenset({"module"})

    def __init__(self):
        self.calls = 0

    def __call__(self, candidate):
        self.calls += 1
        return float(candidate.genome[0])


def stored(path, task, genomes, seconds):
    """Store values of the task's metrics as if each had taken so many seconds, (genomes, metrics)."""
    labels = task.record(SPACE).labels
    ledger = Store(path).ledger(registry.spelled_out("spaces", SPACE), labels.values())
    for genome, row in zip(genomes, seconds, strict=True):
        ledger.file(
            genome,
            {label: Measurement(float(genome[0]), None, one) for label, one in zip(labels.values(), row, strict=True)},
        )


def test_the_seconds_of_the_store_are_shown_and_nothing_is_timed_again(tmp_path):
    space, metrics = registry.create("spaces", SPACE), {"one": Counted(), "other": Counted()}
    task, genomes = Task(space, metrics), list(dict.fromkeys(map(space.canonical, drawn(space, 9))))[:5]
    stored(tmp_path / "store", task, genomes, [(1, 10), (2, 20), (3, 30), (100, 40), (5, 500)])
    rows = {row.evaluation.genome: row for row in score.score_genomes(task, SPACE, genomes, Store(tmp_path / "store"))}
    known = correlation.KnownSample(genomes, {"truth": np.arange(5.0)})
    lines = correlation.correlate_metrics(task, [], known, rows, False, 0).columns["truth"]
    assert {line.name: line.seconds for line in lines} == {"one": 3, "other": 30}
    assert [metric.calls for metric in metrics.values()] == [0, 0]


def test_calibration_shows_the_seconds_of_the_store(tmp_path):
    space, metrics = registry.create("spaces", SPACE), {"one": Counted(), "other": Counted()}
    task, genomes = Task(space, metrics), list(dict.fromkeys(map(space.canonical, drawn(space, 9))))[:5]
    small = replace(task, setting=replace(task.setting, fidelity=Fidelity(batch=4)))
    stored(tmp_path / "store", task, genomes, [(1, 10), (2, 20), (3, 30), (100, 40), (5, 500)])
    stored(tmp_path / "store", small, genomes, [(1, 1)] * 5)
    forms = {"full": task.setting.fidelity, "small": Fidelity(batch=4)}
    found = list(compare_fidelities(task, SPACE, forms, genomes, Store(tmp_path / "store")))
    assert [form.seconds for form in found[:2]] == [33, 2]
    assert [metric.calls for metric in metrics.values()] == [5, 5]  # those of the other seed, once each


def test_a_failure_does_not_lower_the_seconds_of_a_metric():
    rows = [
        score.Scored(Evaluation((k,), {} if k else {"one": 1.0}, {"one": "ValueError: no"} if k else {}), {"one": s})
        for k, s in enumerate((7.0, 0.1, 0.1))
    ]
    assert median_seconds(rows, "one") == 7
    assert median_seconds(rows[1:], "one") == 0.1


class Flat:
    """The same for all but one, or what the seed of the weights is."""

    unit, direction, transform, version = "1", "max", "identity", "1"
    needs = frozenset({"module"})

    def __init__(self, seeded):
        self.seeded = seeded

    def __call__(self, candidate):
        if self.seeded:
            return (-1) ** candidate.setting.seed * float(candidate.genome[0])
        if candidate.setting.batch < 64:
            raise ValueError("too few")
        return 1.0


def test_a_level_without_an_order_has_no_tau(tmp_path):
    space = registry.create("spaces", SPACE)
    genomes = [(k, 3, 3, 3, 3, 3) for k in range(5)]
    task = Task(space, {"flat": Flat(False), "seeded": Flat(True)})
    forms = {"full": Fidelity(), "small": Fidelity(batch=4)}
    found = list(compare_fidelities(task, SPACE, forms, genomes, Store(tmp_path / "store")))
    assert [form.tau["flat"] for form in found] == [None, None, None]
    assert [form.tau["seeded"] for form in found] == pytest.approx([1, 1, -1])
    assert [form.failed["flat"] for form in found] == [0, 5, 0]


def test_there_is_nothing_to_calibrate_in_a_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["objective", "calibrate", f"--space={SPACE}", "-oparams,macs"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "the fidelity does not matter to params, macs; give a metric with --objective" in done.stderr


def ranked(values):
    """Ranks as shares, by counting; what is not there is worst."""
    known = [-math.inf if value is None else value for value in values]
    return [(sum(v < x for v in known) + (sum(v == x for v in known) + 1) / 2) / len(known) for x in known]


@pytest.fixture
def searched(nasctl):
    options = ["--record=params", "--constraint=naswot>=28", "--budget=25", SMALL]
    nasctl("search", f"--space={SPACE}", "-onaswot,expected_synflow,macs", *options)
    store = Store("nasctl.db")
    name, record = store.run()
    return record, store.evaluations(name)


def test_the_score_of_a_run_is_that_of_its_ranks(nasctl, searched):
    record, found = searched
    held = [one for one in found if one.values.get("naswot", 0) >= 28]
    assert 0 < len(held) < len(found)
    columns = [ranked([one.values.get(name) for one in held]) for name in ("naswot", "expected_synflow")]
    by_hand = {one.genome: math.log(a) + math.log(b) for one, a, b in zip(held, *columns, strict=True)}
    head, scores = run_scores.scores_of_run(record, found, None)
    assert (head, scores) == ("log_rank(naswot, expected_synflow)", pytest.approx(by_hand))
    shown = nasctl("pareto", "show", "--json")
    assert [row["score"] for row in shown] == [{head: pytest.approx(by_hand[tuple(row["genome"])])} for row in shown]
    rows = [line.split("\t") for line in nasctl("pareto", "show")[0].splitlines()]
    assert rows[0][-1] == f"score: {head}"
    assert [float(row[-1]) for row in rows[1:]] == pytest.approx([row["score"][head] for row in shown], rel=1e-4)


def test_a_score_is_never_an_objective(nasctl, searched):
    record, found = searched
    assert {goal.name for goal in record.goals} == {"naswot", "expected_synflow", "macs"}
    assert {name for one in found for name in one.values} == {"naswot", "expected_synflow", "macs", "params"}
    asked = nasctl("runs", "show", "--json")
    assert asked["objectives"] == ["naswot", "expected_synflow", "macs"]
    best = [row["id"] for row in nasctl("pareto", "show", "--score=vote:naswot+macs", "--json")]
    assert best == [row["id"] for row in nasctl("pareto", "show", "--json")]
    assert len(best) == len(front(found, record.goals, record.constraints))


def test_a_score_of_ones_own(nasctl, searched):
    held = [one for one in searched[1] if one.values.get("naswot", 0) >= 28]
    ranks = [ranked([one.values.get(name) for one in held]) for name in ("naswot", "params")]  # more is better
    by_hand = {one.genome: (a + b) / 2 for one, a, b in zip(held, *ranks, strict=True)}
    shown = nasctl("pareto", "show", "--score=mean-rank:naswot+params", "--json")
    head = "mean_rank(naswot, params)"
    assert [row["score"] for row in shown] == [{head: pytest.approx(by_hand[tuple(row["genome"])])} for row in shown]
    done = CliRunner().invoke(cli, ["pareto", "show", "--score=log_rank:snip+macs"])
    assert done.exit_code == 2
    assert "no metric here is called 'snip'; there is: naswot, expected_synflow, macs, params, depth" in done.stderr


def test_runs_show_who_is_best(nasctl, searched):
    record, found = searched
    head, scores = run_scores.scores_of_run(record, found, None)
    shown = nasctl("runs", "show", "--json")["score"]
    assert shown[head] == pytest.approx(max(scores.values()), abs=1e-6)
    genome = nasctl("show", shown["best"], f"--space={SPACE}", "--json")["genome"]
    assert scores[tuple(genome)] == max(scores.values())
    assert re.search(rf"^score +{re.escape(head)} \S+, best {shown['best']}$", nasctl("runs", "show")[0], re.M)


def test_a_run_of_costs_alone_has_no_score(nasctl):
    nasctl("search", "--space=nbmacro", "-oparams,macs", "--budget=20")
    assert all(row["score"] == {} for row in nasctl("pareto", "show", "--json"))
    assert nasctl("pareto", "show")[0].splitlines()[0] == "id\tparams (parameters)\tmacs (MACs)"
    assert nasctl("runs", "show", "--json")["score"] == {}


def test_a_run_is_scored_without_the_plugins_that_made_it():
    goals = [Goal("gone", "min", "identity", "module"), Goal("cost", "min", "identity", "network")]
    record = RunRecord("nbmacro", {goal.name: Column(f"{goal.name} v1", "1", goal.cost, goal) for goal in goals})
    found = [Evaluation((0,), {"gone": 3.0, "cost": 1.0}), Evaluation((1,), {"gone": 2.0, "cost": 1.0})]
    found.append(Evaluation((2,), {"cost": 1.0}, {"gone": "ValueError: broken"}))
    assert run_scores.scores_of_run(record, found, None) == (
        "log_rank(gone)",
        pytest.approx({(0,): math.log(2 / 3), (1,): 0, (2,): math.log(1 / 3)}),
    )
    held = replace(record, constraints=(Constraint("cost", True, 1.0), Constraint("gone", False, 2.5)))
    found.append(Evaluation((3,), {"cost": 1.5}))  # breaks one by its cost, so nothing else was measured
    assert run_scores.scores_of_run(held, found, "log_rank:gone+cost") == ("log_rank(gone, cost)", {(0,): 0})
    assert run_scores.scores_of_run(record, [], None) == ("log_rank(gone)", {})
    with pytest.raises(UnknownName, match="no metric here is called 'went'"):
        run_scores.scores_of_run(record, found, "vote:went")


def test_scores_know_only_what_is_measured():
    task = Task(registry.create("spaces", SPACE), {"params": registry.create("objectives", "params")})
    assert correlation.parse_scores(task, ["log-rank:params"]) == [Score("log_rank", ("params",))]
    with pytest.raises(UnknownName, match="no metric here"):
        correlation.parse_scores(task, ["log_rank:naswot"])
