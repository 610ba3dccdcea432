"""Trainings that compare: of one data, recipe and seed, the newest of each network."""

import pytest

from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.training.accuracies import trained_networks

SPACE = "nbmacro:canonical=true,classes=10,resolution=32"
SPEC = {"data": "photos#1f split=0.8-0.1-0.1 seed=0", "recipe": {"epochs": 30}, "seed": 0, "threads": 1}


def part(value, measure="accuracy"):
    none = {"loss": 1.0, "accuracy": None, "perplexity": None, "examples": 100, "error": 0.012}
    return {**none, measure: value}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "s.db")


def file(store, name, genome, started, state="finished", result=None, **changes):
    spec = {**SPEC, **changes}
    result = {"validation": part(0.7), "test": part(0.713)} if result is None else result
    store.file_training(TrainingRecord(name, SPACE, genome, spec, state, result, 1.0, started))


def test_a_store_without_trainings_has_none(store):
    assert trained_networks(store, SPACE) is None
    file(store, "a", (1,), 1.0)
    assert trained_networks(store, "another") is None
    assert trained_networks(store, SPACE, [(2,)]) is None


def test_results_are_told_with_their_errors(store):
    file(store, "a", (1,), 1.0)
    file(store, "b", (2,), 2.0, "stopped at rung 1", {"validation": part(0.4)})
    found = trained_networks(store, SPACE)
    assert (found.head, found.text((1,)), found.cell((1,))) == ("test accuracy (%)", "71.3% ± 1.2%", "71.3 ± 1.2")
    assert (found.text((2,)), found.text((3,)), found.value((2,))) == ("rung 1", "", None)
    assert (found.value((1,)), found.error((1,)), found.best) == (0.713, 0.012, (1,))
    assert found.sentence((1,)) == "71.3% ± 1.2% on test, 70.0% ± 1.2% on validation"
    assert found.facts((1,))["training"] == "a"
    assert found.note([(1,), (2,), (3,)]) == (
        "test accuracy is of 1 trained network (photos, 30 epochs, seed 0), and 1 more that did not end"
    )


def test_the_recipe_with_most_finished_trainings_counts_then_the_newest(store):
    file(store, "a", (1,), 1.0)
    file(store, "b", (2,), 2.0)
    file(store, "c", (1,), 3.0, recipe={"epochs": 5})
    found = trained_networks(store, SPACE)
    assert ({one.name for one in found.records.values()}, found.others) == ({"a", "b"}, 1)
    file(store, "d", (2,), 4.0, recipe={"epochs": 5})
    found = trained_networks(store, SPACE)
    assert ({one.name for one in found.records.values()}, found.others) == ({"c", "d"}, 2)


def test_trainings_on_other_machines_compare_and_finished_ones_come_first(store):
    file(store, "a", (1,), 1.0)
    file(store, "b", (1,), 2.0, "unfinished", {}, threads=2)
    assert trained_networks(store, SPACE).records[1,].name == "a"
    file(store, "c", (1,), 3.0, threads=4)
    assert trained_networks(store, SPACE).records[1,].name == "c"


def test_networks_that_begin_with_weights_of_their_own_compare(store):
    file(store, "a", (1,), 1.0, start="1f")
    file(store, "b", (2,), 2.0, start="2e", processes=2)
    file(store, "c", (3,), 3.0, start="")
    assert {one.name for one in trained_networks(store, SPACE).records.values()} == {"a", "b"}


def test_networks_are_chosen_on_the_validation_part(store):
    file(store, "a", (1,), 1.0, result={"validation": part(0.8), "test": part(0.6)})
    file(store, "b", (2,), 2.0, result={"validation": part(0.7), "test": part(0.9)})
    assert trained_networks(store, SPACE).best == (1,)


def test_of_words_the_least_perplexity_is_the_best(store):
    file(store, "a", (1,), 1.0, result={"validation": part(90.0, "perplexity"), "test": part(95.0, "perplexity")})
    file(store, "b", (2,), 2.0, result={"validation": part(80.0, "perplexity"), "test": part(99.0, "perplexity")})
    found = trained_networks(store, SPACE)
    assert (found.head, found.cell((1,)), found.error((1,)), found.best) == ("test perplexity", "95", None, (2,))
