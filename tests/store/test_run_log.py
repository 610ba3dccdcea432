"""The log of a run: what it visits, what it was told of failures, and which run it refuses to go on with."""

import json

import pytest

from nasctl.errors import NasctlError, RunChanged
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.store.measurements import Measurement
from nasctl.store.run_log import counted_labels
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

COSTS = {"size": "network", "loss": "module", "speed": "module"}


def record(*names, **options):
    """The record of a run that optimises objectives of these names."""
    return RunRecord(
        "chain",
        {name: Column(f"{name} v1", "s", COSTS[name], Goal(name, "min", "identity", COSTS[name])) for name in names},
        **options,
    )


def value(number, seconds=0.5):
    return Measurement(number, None, seconds)


def failure(seconds=0.5):
    return Measurement(None, "MemoryError: no room", seconds)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def failed_column(store):
    with store.database.reading() as database:
        return [text and json.loads(text) for (text,) in database.execute("SELECT failed FROM visit ORDER BY position")]


def test_visits_are_numbered_from_zero_in_their_order(store):
    log = store.journal("run", record("loss"))
    assert log.path() == []
    genomes = [(3, 1), (0, 12), (3, 0), (10, 2)]
    for number, genome in enumerate(genomes):
        assert log.visit(genome, {"loss v1": value(float(number))}) == {"loss v1": value(float(number))}
    assert log.path() == genomes
    assert store.journal("run", record("loss")).path() == genomes
    assert store.journal("other", record("loss")).path() == []
    with store.database.reading() as database:
        assert database.execute("SELECT position FROM visit ORDER BY position").fetchall() == [(0,), (1,), (2,), (3,)]
    assert list(store.visits("run")) == [
        (Evaluation(genome, {"loss": float(number)}), 0.5) for number, genome in enumerate(genomes)
    ]


def test_a_log_names_its_run_and_its_record(store):
    log = store.journal("run", record("loss"))
    assert (log.run, log.record, log.elsewhere) == ("run", record("loss"), ())


def test_a_log_names_the_other_machines_of_its_run(store):
    store.journal("run", record("loss", machines=("old", "slow")))
    log = store.journal("run", record("loss", machines=("new", "slow")))
    assert log.elsewhere == ("old",)
    assert log.record.machines == ("old", "slow", "new")
    assert store.run("run")[1].machines == ("old", "slow", "new")


def test_only_the_labels_that_are_asked_for_are_known(store):
    log = store.journal("run", record("loss", "speed", "size"))
    log.file((0, 1), {"loss v1": value(1.0), "speed v1": failure()})
    assert log.known((0, 1), ["loss v1", "size v1"]) == {"loss v1": value(1.0)}
    assert log.known((0, 1), ["speed v1", "loss v1"]) == {"loss v1": value(1.0), "speed v1": failure()}
    assert log.known((0, 1), ["loss v1"], 0) == {"loss v1": value(1.0)}  # the run has made no visit yet
    assert log.known((1, 0), ["loss v1"]) == log.known((1, 0), ["loss v1"], 5) == {}


def test_a_replay_is_told_the_failures_of_then(store):
    log = store.journal("run", record("loss", "speed"))
    log.visit((0, 0), {"loss v1": value(7.0), "speed v1": value(8.0)})
    log.visit((0, 1), {"loss v1": failure(2.0), "speed v1": value(3.0)})
    log.replace((0, 1), {"loss v1": value(4.0, 5.0), "speed v1": value(99.0)})
    labels = ["loss v1", "speed v1"]
    assert log.known((0, 1), labels) == {"loss v1": value(4.0, 5.0), "speed v1": value(3.0)}
    then = {"loss v1": failure(5.0), "speed v1": value(3.0)}  # the seconds are those of the last measurement
    assert log.known((0, 1), labels, 1) == then
    assert log.known((0, 1), ["speed v1"], 1) == {"speed v1": value(3.0)}
    assert log.known((0, 0), labels, 0) == {"loss v1": value(7.0), "speed v1": value(8.0)}
    replay = store.journal("run", record("loss", "speed"))
    replay.visit((0, 0), {})
    assert replay.visit((0, 1), {}) == then


def test_a_visit_keeps_the_failures_that_it_was_told_and_nothing_else(store):
    log = store.journal("run", record("loss", "speed"))
    log.visit((0, 0), {"loss v1": value(7.0), "speed v1": value(8.0)})
    log.visit((0, 1), {"loss v1": value(7.0), "speed v1": failure()})
    with store.database.reading() as database:
        ((label,),) = database.execute("SELECT id FROM text WHERE value = 'speed v1'").fetchall()
    assert failed_column(store) == [None, {str(label): "MemoryError: no room"}]


def test_failures_from_a_position_on_can_be_forgotten(store):
    log = store.journal("run", record("loss"))
    other = store.journal("other", record("loss"))
    genomes = [(0, 0), (0, 1), (1, 0)]
    for genome in genomes:
        log.visit(genome, {"loss v1": failure()})
        other.visit(genome, {})
    log.untold(1)
    for genome in genomes:
        log.replace(genome, {"loss v1": value(1.0)})
    known = [log.known(genome, ["loss v1"], position)["loss v1"] for position, genome in enumerate(genomes)]
    assert known == [failure(), value(1.0), value(1.0)]
    assert other.known((1, 0), ["loss v1"], 2) == {"loss v1": failure()}


def test_a_replay_that_is_told_of_a_failure_for_the_first_time_keeps_it(store):
    log = store.journal("run", record("loss"))
    log.visit((0, 0), {"loss v1": failure()})
    log.visit((0, 1), {"loss v1": failure()})
    log.untold(0)
    replay = store.journal("run", record("loss"))
    assert replay.visit((0, 0), {}) == {"loss v1": failure()}
    replay.replace((0, 0), {"loss v1": value(1.0)})
    replay.replace((0, 1), {"loss v1": value(2.0)})
    again = store.journal("run", record("loss"))
    assert again.visit((0, 0), {}) == {"loss v1": failure()}
    assert again.visit((0, 1), {}) == {"loss v1": value(2.0)}


def test_a_run_that_goes_elsewhere_is_refused_and_nothing_is_recorded(store):
    log = store.journal("run", record("loss"))
    log.visit((0, 0), {})
    log.visit((0, 1), {})
    replay = store.journal("run", record("loss"))
    replay.visit((0, 0), {})
    with pytest.raises(RunChanged) as raised:
        replay.visit((1, 1), {"loss v1": value(1.0)})
    assert str(raised.value) == (
        "run 'run' went to 0,1 as candidate 1 before and to 1,1 now: nasctl, a library or a file of yours has changed;"
        " start a new run with another --seed or --run name"
    )
    assert store.genomes("chain") == [(0, 0), (0, 1)]
    assert replay.known((1, 1), ["loss v1"]) == {}
    assert replay.visit((0, 1), {}) == {}  # the position is still the one before


def test_a_run_that_was_deleted_while_it_ran_is_refused(store):
    log = store.journal("run", record("loss"))
    log.visit((0, 0), {})
    store.delete("run")
    with pytest.raises(NasctlError) as raised:
        log.visit((0, 1), {"loss v1": value(1.0)})
    assert str(raised.value) == "run 'run' was deleted while it ran; type the same command to start it anew"
    assert store.genomes("chain") == [(0, 0)]


@pytest.mark.parametrize(
    ("size", "counted"), [(5.0, ["size", "loss"]), (5.5, ["size"]), (None, ["size"])], ids=["kept", "broken", "failed"]
)
def test_only_costs_count_for_a_genome_that_breaks_a_constraint_by_them(size, counted):
    asked = record("size", "loss", constraints=(Constraint("size", True, 5.0), Constraint("loss", True, 1.0)))
    found = {"size v1": value(size) if size else failure(), "loss v1": value(3.0)}
    assert counted_labels(asked, (0, 1), found) == {name: f"{name} v1" for name in counted}
