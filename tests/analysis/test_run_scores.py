"""Scores of runs by measured correlations, and statements about networks that failed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from nasctl import registry
from nasctl.analysis import correlate as correlation
from nasctl.analysis import run_scores
from nasctl.analysis.fidelities import FidelityResult
from nasctl.analysis.rank_correlation import agreement
from nasctl.analysis.run_scores import chosen_score, scores_of_run, stored_sizes
from nasctl.cli import cli
from nasctl.correlations.table import shipped
from nasctl.facade.search import search
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.report.summary import ReportSummary
from nasctl.search.command_line import command_line
from nasctl.search.recorded import run_from_record
from nasctl.search.request import SettingOptions
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

SIZES = {"params", "macs", "depth"}


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout) if "--json" in arguments else (done.stdout, done.stderr)

    return call


def test_failed_networks_are_counted_and_correlated_without():
    truth = np.arange(8.0)
    found = agreement(np.array([np.nan, np.nan, 3, 2, 5, 4, 7, 6]), truth, resamples=0)
    assert (found.failed, found.n) == (2, 8)
    assert found.without_failed == pytest.approx(spearmanr([3, 2, 5, 4, 7, 6], truth[2:]).statistic)
    assert found.spearman.value > found.without_failed
    assert agreement(np.full(3, np.nan), truth[:3], resamples=0).without_failed is None
    assert agreement(np.array([np.nan, 1.0, np.nan]), truth[:3], resamples=0).without_failed is None
    line = correlation.MetricResult("snip", found, 0.1, False)
    (said,) = correlation.CorrelationTable({"accuracy": [line]}).warnings()
    assert "on accuracy metrics failed on 2 of 8 networks, which count as worst; Spearman of snip 0.9" in said
    lines = [line, correlation.MetricResult("grasp", found, 0.1, False)]
    (said,) = correlation.CorrelationTable({"accuracy": lines}).warnings()
    assert " without; grasp 0.9" in said


def test_a_fidelity_states_what_failed():
    found = FidelityResult("fast", Fidelity(), 0.1, {"snip": 0.5, "swap": 0.9}, {"snip": 3, "swap": 0}, {"snip": 0.8})
    assert found.remarks(30) == [
        "snip failed on 3 of 30 networks at fast, which count as worst: Kendall 0.50 with them, 0.80 without"
    ]


def test_a_run_with_the_defaults_of_its_space_has_the_score_that_measurements_favour(nasctl):
    small = "--fidelity=size=8,batch=4,repeats=1"
    nasctl("search", "--space=nbmacro", "--searcher=random", "--budget=6", small)
    choice = next(one for one in shipped().choices if one.family == "skeleton")
    (head,) = nasctl("runs", "show", "--json")["score"].keys() - {"best"}
    assert head == f"log_rank({', '.join(choice.score)})"
    # A space of the family that was not measured has a score that was validated on other spaces, or a size.
    nasctl("search", "--space=resnet", "--searcher=random", "--budget=2", "--fidelity=size=32,batch=2,repeats=1")
    (head,) = nasctl("runs", "show", "--json")["score"].keys() - {"best"}
    assert head == f"log_rank({', '.join(choice.elsewhere)})"
    assert set(choice.elsewhere) <= SIZES
    assert "note: the score is a size" in nasctl("pareto", "show")[1]


def test_a_score_that_measurements_do_not_favour_is_said(nasctl):
    nasctl("search", "--space=nbmacro", "-oplain,macs", "--searcher=random", "--budget=4", "--fidelity=size=8,batch=4")
    assert "note: plain: none orders skeletons better than macs" in nasctl("pareto", "show")[1]
    nasctl("search", "--space=nbmacro", "-omax:params,min:snip", "--budget=4", "--fidelity=size=8,batch=4")
    said = " ".join(nasctl("pareto", "show")[1].split())
    assert "note: max:params, min:snip: none orders skeletons better than macs" in said


def test_the_score_of_a_run_follows_its_task_from_python_and_from_the_command_line(nasctl, tmp_path):
    space, fidelity = "tnb101_micro", "size=16,batch=2,repeats=1"
    heads = {}
    for task in ("", "dense"):
        done = search(
            space, task=task, searcher="random", budget=2, setting=SettingOptions(fidelity), store="python.db"
        )
        (heads[task],) = nasctl("runs", "show", done.name, "--store=python.db", "--json")["score"].keys() - {"best"}
    assert heads[""] != heads["dense"]
    nasctl("search", f"--space={space}", "--task=dense", "--searcher=random", "--budget=2", f"--fidelity={fidelity}")
    (head,) = nasctl("runs", "show", "--json")["score"].keys() - {"best"}
    assert head == heads["dense"]
    (name, record), store = Store("python.db").run(), Store("nasctl.db")
    assert (record.task, record.config, name) == ("dense", {}, store.run()[0])
    assert " --task dense " in command_line(name, record, 2)[0]
    # An older nasctl kept the task of the command line among its options alone.
    older = replace(store.run()[1], task="")
    assert chosen_score(older) == chosen_score(record)
    assert run_from_record(older).trained_for == "dense"


def test_scores_and_reports_read_sizes_that_the_search_has_filed(nasctl, monkeypatch):
    space, fidelity = registry.create("spaces", "resnet"), "--fidelity=size=32,batch=2,repeats=1"
    nasctl("search", "--space=resnet", "--searcher=random", "--budget=4", fidelity)
    store = Store("nasctl.db")
    name, record = store.run()
    found, sizes = store.evaluations(name), stored_sizes(store, name, record)
    head, scores = scores_of_run(record, found, "log_rank:params+depth")
    assert scores_of_run(record, found, "log_rank:params+depth", sizes) == (head, scores)
    for one in found:
        network = space.network(one.genome)
        assert (sizes["params"][one.genome], sizes["macs"][one.genome]) == (network.params, network.macs)
        assert sizes["depth"][one.genome] > 0
    # The sizes are no part of the run.
    assert set(record.columns) == {*record.asked["objectives"]}
    assert {size for one in found for size in one.values} == {*record.columns}
    monkeypatch.setattr(run_scores, "measure", None)
    assert scores_of_run(record, found, "log_rank:params+depth", sizes) == (head, scores)
    shown = nasctl("pareto", "show", "--score=log_rank:params+depth", "--json")
    assert {tuple(one["genome"]): one["score"][head] for one in shown}.items() <= scores.items()
    summary = ReportSummary(store.runs()[0], found, 1.0, sizes)
    monkeypatch.setattr(type(space), "network", lambda self, genome: pytest.fail("a network is built"))
    (params,) = (one for one in summary.series if one.name == "params")
    assert params.values.tolist() == [sizes["params"][one.genome] for one in found]


def test_sizes_that_no_search_has_filed_are_computed(nasctl):
    fidelity = "--fidelity=size=8,batch=4,repeats=1"
    nasctl("search", "--space=nbmacro", "-oplain,macs", "--searcher=random", "--budget=4", fidelity)
    store = Store("nasctl.db")
    name, record = store.run()
    found, sizes = store.evaluations(name), stored_sizes(store, name, record)
    expected = scores_of_run(record, found, "vote:depth+plain", sizes)
    with store.database.writing() as database:  # as an older nasctl left it
        database.execute("DELETE FROM measurement WHERE label IN (SELECT id FROM text WHERE value LIKE 'depth %')")
    sizes = stored_sizes(store, name, record)
    assert sizes["depth"] == {}
    assert scores_of_run(record, found, "vote:depth+plain", sizes) == expected
    # A replay of a run that is stored in full measures nothing.
    nasctl("search", "--space=nbmacro", "-oplain,macs", "--searcher=random", "--budget=4", fidelity)
    assert stored_sizes(store, name, record)["depth"] == {}
    nasctl("search", "--space=nbmacro", "-oplain,macs", "--searcher=random", "--budget=6", fidelity)
    assert len(stored_sizes(store, name, record)["depth"]) == 2


def test_a_run_that_trains_its_candidates_has_no_score():
    goals = [Goal("trained", "max", "identity", "training"), Goal("macs", "min", "log1p", "network")]
    columns = {goal.name: Column(f"{goal.name} v1", "%", goal.cost, goal) for goal in goals}
    record = RunRecord("nbmacro:resolution=8", columns)
    assert chosen_score(record) is None
    found = [Evaluation((k,) * 8, {"trained": 50.0 + k, "macs": 1e6 + k}, {}) for k in range(3)]
    assert scores_of_run(record, found, None) is None
    name, scores = scores_of_run(record, found, "log_rank:trained")  # where a user asks for one
    assert (name, max(scores, key=scores.get)) == ("log_rank(trained)", (2,) * 8)


def test_a_run_of_costs_alone_files_no_sizes(nasctl):
    nasctl("search", "--space=nbmacro", "-oparams,macs", "--searcher=random", "--budget=4")
    store = Store("nasctl.db")
    assert stored_sizes(store, *store.run())["depth"] == {}
