"""Trainings in a store: filed, found by the beginning of a name, listed by network, and deleted."""

from dataclasses import replace

import pytest

from nasctl.errors import NasctlError, UnknownName
from nasctl.store import Store, TrainingRecord

RESULT = {"test": {"loss": 0.5, "accuracy": 0.75, "examples": 100, "error": 0.0433, "perplexity": None}}
RECORD = TrainingRecord(
    name="nbmacro-1c9f2a07",
    space="nbmacro:classes=10",
    genome=(0, 1, 2),
    spec={"space": "nbmacro:classes=5", "seed": 0, "data": "digits"},
    started=10.0,
    folder="nasctl-trainings/nbmacro-1c9f2a07",
)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "s.db")
    made.file_training(RECORD)
    return made


def test_a_training_is_read_back_as_it_was_filed(store, tmp_path):
    assert store.training(RECORD.name) == RECORD
    done = replace(RECORD, state="finished", result=RESULT, seconds=12.5)
    store.file_training(done)
    assert Store.reading(tmp_path / "s.db").trainings() == [done]


def test_the_first_start_stays(store):
    store.file_training(replace(RECORD, started=99.0, seconds=3.0))
    found = store.training(RECORD.name)
    assert (found.started, found.seconds) == (10.0, 3.0)


def test_another_question_of_the_same_name_is_refused_and_changes_nothing(store):
    other = replace(RECORD, spec={**RECORD.spec, "seed": 1, "data": "photos"}, state="finished")
    with pytest.raises(NasctlError, match="of another data and seed; give this one another name with --name"):
        store.file_training(other)
    with pytest.raises(NasctlError, match="of another network"):
        store.file_training(replace(RECORD, genome=(0, 0, 0)))
    assert store.trainings() == [RECORD]


def test_trainings_are_listed_last_started_first_and_by_network(store):
    second = replace(RECORD, name="nbmacro-2", genome=(2, 2, 2), started=20.0)
    third = replace(RECORD, name="nb201-3", space="nb201", started=15.0)
    for one in (second, third):
        store.file_training(one)
    assert store.trainings() == [second, third, RECORD]
    assert store.trainings(RECORD.space) == [second, RECORD]
    assert store.trainings(RECORD.space, RECORD.genome) == [RECORD]


def test_a_training_is_found_by_the_beginning_of_its_name(store):
    assert store.training("nbmacro") == RECORD
    longer = replace(RECORD, name=f"{RECORD.name}-2")
    store.file_training(longer)
    assert store.training(RECORD.name) == RECORD
    with pytest.raises(NasctlError, match="2 trainings begin with 'nbm'"):
        store.training("nbm")
    with pytest.raises(UnknownName, match="no training is called 'nb201'"):
        store.training("nb201")


def test_a_store_without_trainings_names_the_command(tmp_path):
    with pytest.raises(NasctlError, match="holds no training yet; `nasctl train` starts one"):
        Store.reading(tmp_path / "none.db").training("a")


def test_a_deleted_training_is_gone_and_its_network_is_known_still(store):
    store.delete_training(RECORD.name)
    assert store.trainings() == []
    assert store.genomes(RECORD.space) == [RECORD.genome]
    assert store.spaces() == [RECORD.space]
