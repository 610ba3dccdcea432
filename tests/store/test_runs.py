"""The runs of a store: how they are started, found, listed and deleted, and which questions a name stands for."""

import time

import pytest

from nasctl.errors import NasctlError, RunChanged, UnknownName
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.store.measurements import Measurement
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import RunSummary, Store

ASKED = {
    "space": "chain",
    "objectives": ["loss"],
    "record": [],
    "constraints": [],
    "searcher": "random",
    "seed": 0,
    "setting": "x",
    "tables": {},
}


def column(name, version=1, cost="module"):
    return Column(f"{name} v{version}", "s", cost, Goal(name, "min", "identity", cost))


def value(number, seconds=0.5):
    return Measurement(number, None, seconds)


LOSS = RunRecord("chain", {"loss": column("loss")}, asked=ASKED)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def clock(monkeypatch):
    """The seconds since the epoch, which a test sets."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_store_without_runs_says_how_to_start_one(store):
    with pytest.raises(NasctlError) as raised:
        store.run()
    assert str(raised.value) == f"the store {store.path} holds no run yet; `nasctl search` starts one"


def test_a_run_is_found_by_its_name_or_a_beginning_that_no_other_has(store):
    other = RunRecord("grid", {"size": column("size")})
    for name, record in (("seed1", LOSS), ("seed10", other), ("mine", LOSS)):
        store.journal(name, record)
    assert store.run("seed1") == ("seed1", LOSS)  # which is a beginning of the other one too
    assert store.run("seed10") == store.run("seed10"[:6]) == ("seed10", other)
    assert store.run("m") == ("mine", LOSS)
    assert store.run() == ("mine", LOSS)
    store.journal("seed10", other)
    assert store.run() == ("seed10", other)


def test_a_beginning_of_several_names_is_refused(store):
    for name in ("seed1", "seed2", "mine"):
        store.journal(name, LOSS)
    with pytest.raises(NasctlError) as raised:
        store.run("seed")
    assert str(raised.value) == "2 runs begin with 'seed': seed2, seed1; give more of the name"


def test_the_nearest_name_of_a_run_is_offered(store):
    store.journal("seed1", LOSS)
    store.journal("mine", LOSS)
    with pytest.raises(UnknownName) as raised:
        store.run("sed1")
    assert str(raised.value) == "no run is called 'sed1'; did you mean 'seed1'?"
    with pytest.raises(UnknownName) as raised:
        store.run("xyz")
    assert str(raised.value) == "no run is called 'xyz'; there is: mine, seed1"


def test_runs_are_listed_by_their_last_start(store, clock):
    store.journal("first", LOSS).visit((0, 1), {"loss v1": value(1.0)})
    clock[0] = 900.0  # the clock was set back, which changes no order
    log = store.journal("second", LOSS)
    log.visit((0, 1), {})
    log.visit((1, 1), {})
    assert store.runs() == [RunSummary("second", LOSS, 900.0, 2), RunSummary("first", LOSS, 1000.0, 1)]
    clock[0] = 950.0
    store.journal("first", LOSS)
    assert store.runs() == [RunSummary("first", LOSS, 950.0, 1), RunSummary("second", LOSS, 900.0, 2)]


def test_a_run_that_is_resumed_keeps_the_record_of_its_last_start(store):
    store.journal("run", LOSS).visit((0, 1), {"loss v1": value(1.0)})
    later = RunRecord("chain", LOSS.columns, asked=ASKED, versions={"nasctl": "2"}, config={"budget": 7})
    store.journal("run", later)
    _, found = store.run("run")
    assert (found.versions, found.config) == ({"nasctl": "2"}, {"budget": 7})
    assert store.evaluations("run") == [Evaluation((0, 1), {"loss": 1.0})]


def test_a_name_with_another_question_is_refused(store):
    store.journal("run", LOSS)
    with pytest.raises(NasctlError) as raised:
        store.journal("run", RunRecord("chain", LOSS.columns, asked=ASKED | {"seed": 1, "searcher": "nsga2"}))
    assert str(raised.value) == (
        "run 'run' was started with other values of searcher, seed; give this one another name with --run"
    )
    assert store.run("run") == ("run", LOSS)


@pytest.mark.parametrize("asked", [{}, ASKED])
def test_a_run_of_a_script_and_a_run_of_the_command_line_are_different_questions(asked, store):
    store.journal("run", RunRecord("chain", LOSS.columns, asked=asked))
    with pytest.raises(NasctlError) as raised:
        store.journal("run", RunRecord("chain", LOSS.columns, asked={} if asked else ASKED))
    assert str(raised.value) == (
        "run 'run' was started with other values of constraints, objectives, record, searcher, seed, setting, space,"
        " tables; give this one another name with --run"
    )


def test_a_run_with_another_version_of_objectives_is_left_as_it_is(store):
    before = RunRecord("chain", {"size": column("size"), "loss": column("loss"), "speed": column("speed")})
    store.journal("run", before)
    with pytest.raises(RunChanged) as raised:
        store.journal(
            "run", RunRecord("chain", before.columns | {"speed": column("speed", 2), "loss": column("loss", 2)})
        )
    assert str(raised.value) == (
        "run 'run' was made with another version of loss, speed and is left as it is; give this one another name"
        " with --run"
    )
    assert store.run("run") == ("run", before)


def test_a_record_that_cannot_be_read_again_is_not_written(store):
    with pytest.raises(NasctlError, match="what was asked is not what is measured"):
        store.journal("run", RunRecord("chain", {"size": column("size")}, asked=ASKED))
    assert store.runs() == []


def test_a_deleted_run_leaves_other_runs_and_its_measurements(store):
    for name in ("mine", "other"):
        store.journal(name, LOSS).visit((0, 1), {"loss v1": value(1.0)})
    store.delete("mine")
    assert [(run.name, run.visited) for run in store.runs()] == [("other", 1)]
    assert store.evaluations("other") == [Evaluation((0, 1), {"loss": 1.0})]
    again = store.journal("mine", LOSS)
    assert again.path() == []
    assert again.known((0, 1), ["loss v1"]) == {"loss v1": value(1.0)}
    with store.database.reading() as database:
        assert database.execute("SELECT count(*) FROM visit").fetchone() == (1,)


def test_visits_have_the_values_the_errors_and_the_seconds_of_the_run_alone(store):
    both = RunRecord("chain", {"loss": column("loss"), "speed": column("speed")})
    log = store.journal("both", both)
    log.visit((1, 0), {"loss v1": value(1.0, 0.25), "speed v1": Measurement(None, "OSError: none", 0.5)})
    log.visit((0, 1), {"loss v1": value(2.0, 4.0)})
    log.visit((0, 0), {})
    assert list(store.visits("both")) == [
        (Evaluation((1, 0), {"loss": 1.0}, {"speed": "OSError: none"}), 0.75),
        (Evaluation((0, 1), {"loss": 2.0}), 4.0),
        (Evaluation((0, 0), {}), 0),
    ]
    store.journal("one", LOSS).visit((1, 0), {})
    assert list(store.visits("on")) == [(Evaluation((1, 0), {"loss": 1.0}), 0.25)]
    assert store.evaluations("both")[1:] == [Evaluation((0, 1), {"loss": 2.0}), Evaluation((0, 0), {})]


def test_a_genome_that_is_visited_twice_is_two_candidates(store):
    log = store.journal("run", LOSS)
    log.visit((0, 1), {"loss v1": value(1.0)})
    log.visit((0, 1), {})
    assert store.evaluations("run") == [Evaluation((0, 1), {"loss": 1.0})] * 2


def test_a_candidate_that_breaks_a_constraint_by_its_costs_has_its_costs_alone(store):
    columns = {"size": column("size", cost="network"), "loss": column("loss")}
    free, bound = RunRecord("chain", columns), RunRecord("chain", columns, (Constraint("size", True, 5.0),))
    for name, record in (("free", free), ("bound", bound)):
        store.journal(name, record).visit((0, 1), {"size v1": value(6.0, 0.25), "loss v1": value(1.0, 8.0)})
    assert list(store.visits("free")) == [(Evaluation((0, 1), {"size": 6.0, "loss": 1.0}), 8.25)]
    assert list(store.visits("bound")) == [(Evaluation((0, 1), {"size": 6.0}), 0.25)]


def test_spaces_have_measured_genomes_of_their_own(store):
    store.journal("run", LOSS)
    assert store.spaces() == []
    for space, genome in (("grid", (2, 12)), ("chain", (0, 1)), ("grid", (0, 0))):
        store.ledger(space, ["loss v1"]).file(genome, {"loss v1": value(1.0)})
    assert sorted(store.spaces()) == ["chain", "grid"]
    assert sorted(store.genomes("grid")) == [(0, 0), (2, 12)]
    assert store.genomes("chain") == [(0, 1)]
    assert store.genomes("none") == []
