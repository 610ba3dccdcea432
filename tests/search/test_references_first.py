"""Searches begin with the published networks of their space, and say what became of them."""

from dataclasses import replace

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import HasStartingGenomes, promising, starting_genomes
from nasctl.architectures.references import reference_names, references
from nasctl.errors import NasctlError
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.search.command_line import command_line
from nasctl.search.recorded import run_from_record
from nasctl.search.recorded_hypervolume import hypervolume_scale
from nasctl.search.reference_verdict import sentence, verdicts
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.search.run import Run
from nasctl.search.watch import Watch
from nasctl.store.store import Store

SPACE = "attentivenas:resolution=32,classes=10"  # seven published networks, and no module to measure
COSTS = ("params", "macs")
DEFAULT = SettingOptions()
ASKED = SearchRequest(SPACE, (), COSTS, searcher="random:batch=10")


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", SPACE)


@pytest.fixture(scope="module")
def named(space):
    return {name: one.genome for name, one in references(space).items()}


def visited(run, store, budget):
    return [visit.evaluation.genome for visit in run.search(store, budget)]


# Searchers that need a scored pool or a supernet are given the networks, but have no population to breed from.
SEARCHERS = [
    name for name in registry.names("searchers") if not getattr(registry.load("searchers", name), "needs", frozenset())
]


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_every_searcher_begins_with_them_and_resumes_by_replay(tmp_path, named, searcher):
    run = replace(ASKED, searcher=searcher).run(DEFAULT)
    whole = visited(run, Store(tmp_path / "whole"), 40)
    assert whole[:7] == list(named.values())
    assert len(set(whole)) == 40
    store = Store(tmp_path / "stopped")
    assert visited(run, store, 12) == whole[:12]
    assert visited(run, store, 40) == whole
    assert visited(replace(ASKED, searcher=searcher, references=False).run(DEFAULT), store, 10) != whole[:10]


def test_a_problem_names_them_to_searchers_and_random_genomes_follow(space, named):
    task = Task(space, {name: registry.create("objectives", name) for name in COSTS})
    problem = SearchProblem(task, tuple(named.values()))
    assert isinstance(problem, HasStartingGenomes)
    assert starting_genomes(problem) == list(named.values())
    drawn = promising(problem, np.random.default_rng(0), 10)
    assert drawn[:7] == list(named.values())
    assert len(set(drawn)) == 10
    assert promising(problem, np.random.default_rng(0), 3) == list(named.values())[:3]
    seen = list(named.values())[:6]
    assert promising(problem, np.random.default_rng(0), 1, seen) == [list(named.values())[6]]
    # Without any, the same genomes are drawn as by earlier versions.
    plain = SearchProblem(task)
    assert promising(plain, np.random.default_rng(0), 5) == promising(
        problem, np.random.default_rng(0), 5, named.values()
    )


def macs_of(name):
    space = registry.create("spaces", SPACE)
    return space.network(references(space)[name].genome).macs


def test_networks_that_break_a_constraint_are_visited_and_told(tmp_path, named, monkeypatch):
    limit = macs_of("attentivenas-a3")
    run = replace(ASKED, constraints=(f"macs<={limit}",), searcher="nsga2").run(DEFAULT)
    searcher, told = run._make_searcher(Store(tmp_path / "store")), []
    tell = searcher.tell
    monkeypatch.setattr(searcher, "tell", lambda *given: told.append(given) or tell(*given))
    monkeypatch.setattr(Run, "_make_searcher", lambda *given: searcher)
    assert len(visited(run, Store(tmp_path / "store"), 40)) == 40
    losses, violations = told[0]
    assert (violations[:7, 0] > 0).tolist() == [macs_of(name) > limit for name in named]
    assert violations[:7].any()
    assert losses[:7, 1].tolist() == [macs_of(name) for name in named]


def test_the_question_says_what_a_run_began_with(named):
    run, without = ASKED.run(DEFAULT), replace(ASKED, references=False).run(DEFAULT)
    assert run.references == tuple(named.values())
    assert len(run.asked["references"]) == 7
    assert run.asked["references"][0].startswith("attentivenas.")
    assert (without.references, without.asked["references"]) == ((), [])
    past = replace(run, references=None)
    assert "references" not in past.asked
    assert len({run.name, without.name, past.name}) == 3
    # A space that names none has the names of runs that it always had.
    other = SearchRequest("nbmacro", (), COSTS)
    assert other.run(DEFAULT) == replace(other, references=False).run(DEFAULT)
    assert "references" not in other.run(DEFAULT).asked
    assert "references" not in Run("mbconv", COSTS).asked  # the library's own run begins with none


def test_the_same_words_resume_a_run_of_a_version_that_began_with_none_or_with_others(tmp_path, named):
    store, today = Store(tmp_path / "nasctl.db"), ASKED.run(DEFAULT)
    assert ASKED.run(DEFAULT, store=store) == today
    past = replace(today, references=None)
    visited(past, store, 5)
    found = ASKED.run(DEFAULT, store=store)
    assert (found.name, found.references) == (past.name, None)
    (remark,) = [" ".join(map(str.strip, ASKED.remarks(found, DEFAULT)[-2:]))]
    assert "goes on as it began, with no reference networks; a new run begins with 7" in remark
    fewer = replace(today, references=tuple(named.values())[:2])
    visited(fewer, store, 5)
    assert ASKED.run(DEFAULT, store=store).name == fewer.name  # rather than one that began with none
    visited(today, store, 5)
    assert ASKED.run(DEFAULT, store=store).name == today.name
    # To want none is another question than to begin with some, and the same search as one of an earlier version.
    unwanted = replace(ASKED, references=False)
    assert unwanted.run(DEFAULT, store=store).name == past.name
    assert replace(unwanted, seed=1).run(DEFAULT, store=store).references == ()


def test_a_record_rebuilds_the_run_and_its_command(tmp_path, named):
    store = Store(tmp_path / "nasctl.db")
    for request, flag in ((ASKED, False), (replace(ASKED, references=False), True)):
        run = request.run(DEFAULT)
        visited(run, store, 30)
        _, record = store.run(run.name)
        assert run_from_record(record).references == run.references
        line, _ = command_line(run.name, record, 30)
        assert line.endswith("--no-references") == flag
        scale, _ = hypervolume_scale(record, store.evaluations(run.name))
        assert set(scale.best) == set(COSTS)


def test_a_bound_may_be_a_reference_networks_own_value(named):
    run = replace(ASKED, constraints=("macs<=AttentiveNAS_A1", "params<=9M")).run(DEFAULT)
    macs, params = run.task.constraints
    assert (macs, params.bound) == (Constraint("macs", True, float(macs_of("attentivenas-a1"))), 9e6)
    assert [one.reference for one in run.bounds] == ["attentivenas-a1", ""]
    lines = Watch(run, 10, None).opening()
    assert f"subject to: {macs.text('MACs')} (as attentivenas-a1 has), params<=9M" in lines
    assert any(line.startswith("begins with the reference networks attentivenas-a0, ") for line in lines)


@pytest.mark.parametrize(
    ("space", "bound", "message"),
    [
        (SPACE, "macs<=mobilenetv3-large", "is bounded by 'mobilenetv3-large'; give a number, or attentivenas-a0, "),
        ("nbmacro", "macs<=darts-v2", "is bounded by 'darts-v2'; give a number$"),
        (SPACE, "synflow>=attentivenas-a0", "Cannot bound synflow by attentivenas-a0: its own value would have to be"),
    ],
)
def test_a_bound_that_is_no_number_is_refused(space, bound, message):
    with pytest.raises(NasctlError, match=message):
        SearchRequest(space, (), COSTS, constraints=(bound,)).run(DEFAULT).task  # noqa: B018


GOALS = (Goal("snip", "max", "identity", "module"), Goal("macs", "min", "identity", "network"))


def judged(space, named, rows, limit=100.0):
    """Verdicts on two networks and what a search found: (snip, macs) by name, or by number."""
    genomes = [one for one in ((k,) + (0,) * 26 for k in range(2)) if one not in named.values()]
    known = {**named, "x": genomes[0], "y": (1, 1, *genomes[0][2:])}
    found = [
        Evaluation(known[name], {"snip": snip, "macs": macs} if snip is not None else {"macs": macs}, {})
        for name, (snip, macs) in rows.items()
    ]
    given = verdicts(space, found, GOALS, (Constraint("macs", True, limit),))
    back = {genome: name for name, genome in known.items()}
    return {
        one.name.removeprefix("attentivenas-"): back.get(one.dominated_by) for one in given if one.feasible
    }, sentence(given, lambda genome: reference_names(space).get(genome) or back[genome])


A0, A1, A2 = (f"attentivenas-a{k}" for k in range(3))


def test_a_network_is_dominated_if_nothing_is_better_in_it(space, named):
    found, said = judged(space, named, {A0: (5, 10), A1: (5, 20), A2: (9, 90), "x": (6, 20), "y": (7, 10)})
    assert found == {"a0": "y", "a1": "y", "a2": None}
    assert said == (
        f"reference networks, 2 of 3 dominated: {A0} by y, {A1} by y (no objective worse, one or more better);"
        f" {A2} is on the front"
    )


def test_equal_values_dominate_nothing_and_references_may_dominate_each_other(space, named):
    found, said = judged(space, named, {A0: (5, 10), A1: (4, 10), "x": (5, 10)})
    assert found == {"a0": None, "a1": "x"}  # a network that the search found comes before a reference network
    found, said = judged(space, named, {A0: (5, 10), A1: (4, 10)})
    assert found == {"a0": None, "a1": A0}
    assert said.startswith(f"reference networks, 1 of 2 dominated: {A1} by {A0} (")


def test_networks_that_break_a_constraint_or_failed_are_named_apart(space, named):
    found, said = judged(space, named, {A0: (5, 10), A1: (9, 500), A2: (None, 10), "x": (4, 9)})
    assert found == {"a0": None}
    assert said == f"reference networks: {A0} is on the front; {A1} breaks a constraint; {A2} failed"
    assert judged(space, named, {A1: (9, 500), "x": (4, 9)})[1] == f"the reference network {A1} breaks a constraint"


def test_a_single_reference_network_is_not_counted(space, named):
    assert judged(space, named, {A0: (5, 10), "x": (4, 9)})[1] == f"the reference network {A0} is on the front"
    assert judged(space, named, {A0: (5, 10), "x": (6, 9)})[1] == (
        f"the reference network {A0} is dominated by x (no objective worse, one or more better)"
    )
    said = judged(space, named, {A0: (5, 10), A1: (5, 500), "x": (6, 9)})[1]
    assert said == (
        f"reference networks: {A0} is dominated by x (no objective worse, one or more better); {A1} breaks a constraint"
    )
    assert judged(space, named, {"x": (4, 9)}) == ({}, "")


def test_a_search_ends_with_the_verdict(tmp_path):
    run = replace(ASKED, objectives=("macs", "max:params")).run(DEFAULT)
    watch = Watch(run, 30, None)
    watch.follow(Store(tmp_path / "store"))
    said = " ".join(map(str.strip, watch.closing()))
    assert "reference networks, " in said
    verdict = watch.json_values()["references"]
    assert set(verdict) == {f"attentivenas-a{k}" for k in range(7)}
    dominated = sum(one["dominated_by"] is not None for one in verdict.values())
    assert f"{dominated or 'none'} of 7 dominated" in said
