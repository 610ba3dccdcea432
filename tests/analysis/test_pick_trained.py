"""A network picked by the accuracy that it was trained to."""

import pytest

from nasctl.analysis.pick import by_best, by_order, by_wish, pick
from nasctl.analysis.pick_trained import asked_word, with_accuracy
from nasctl.errors import NasctlError
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.training_table import TrainingRecord
from nasctl.training.accuracies import TrainedNetworks

NASWOT = Column("naswot", "log", "module", Goal("naswot", "max", "identity", "module"))
MACS = Column("macs", "MACs", "network", Goal("macs", "min", "identity", "network"))
PREDICTED = Column("accuracy@f", "", "module", Goal("accuracy@f.json", "max", "identity", "module"))
RECORD = RunRecord("nbmacro", {"naswot": NASWOT, "macs": MACS})
VISITED = [Evaluation((k,), {"naswot": float(k), "macs": float(k)}) for k in range(4)]
VISITED.append(Evaluation((4,), {"naswot": 0.5, "macs": 2.5}))  # not on the front
SPEC = {"data": "photos", "recipe": {"epochs": 30}, "seed": 0}


def trained(accuracies, measure="accuracy"):
    return TrainedNetworks(
        {
            (k,): TrainingRecord(f"t-{k}", "nbmacro", (k,), SPEC, "finished", {"validation": {measure: value}})
            for k, value in accuracies.items()
        },
        0,
    )


def chosen(rule, accuracies, under=(), word="trained", measure="accuracy"):
    record, visited = with_accuracy(RECORD, VISITED, trained(accuracies, measure), word)
    found = pick(record, visited, rule, under)
    return found.chosen.genome[0], found.front


def test_the_best_trained_network_may_be_off_the_front_of_stand_ins():
    assert chosen(by_best("trained"), {1: 0.7, 3: 0.8, 4: 0.9}) == (4, 3)
    assert chosen(by_best("accuracy"), {1: 0.7, 3: 0.8}, word="accuracy") == (3, 2)


def test_rules_and_bounds_take_it_as_one_more_objective():
    accuracies = {0: 0.5, 1: 0.7, 3: 0.8}
    assert chosen(by_best("macs"), accuracies, ["trained>=0.6"])[0] == 1
    assert chosen(by_best("trained"), accuracies, ["macs<=2"])[0] == 1
    assert chosen(by_order(["trained,macs"], "40%"), accuracies)[0] == 1
    assert chosen(by_wish(["trained=0.55,macs=0"]), accuracies)[0] == 0


def test_of_words_the_least_perplexity_is_the_best():
    assert chosen(by_best("trained"), {1: 90.0, 3: 80.0}, measure="perplexity")[0] == 3
    with pytest.raises(NasctlError, match="have perplexity"):
        with_accuracy(RECORD, VISITED, trained({1: 90.0}, "perplexity"), "accuracy")


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (["trained"], "trained"),
        (["accuracy"], "accuracy"),
        (["accuracy>=0.9"], "accuracy"),
        (["macs=3,trained=0.5"], "trained"),
        (["macs<=3", "naswot"], None),
        (["untrained", "accuracy2"], None),
    ],
)
def test_the_options_name_it(texts, word):
    assert asked_word(texts, RECORD) == word


def test_a_column_of_the_run_comes_first():
    record = RunRecord("nbmacro", {**RECORD.columns, "accuracy@f.json": PREDICTED})
    assert asked_word(["accuracy"], record) is None
    assert asked_word(["trained"], record) == "trained"


@pytest.mark.parametrize("found", [None, trained({}), trained({9: 0.9})])
def test_a_run_without_trained_candidates_is_refused(found):
    with pytest.raises(NasctlError, match="no candidate of this run is trained to the end"):
        with_accuracy(RECORD, VISITED, found, "trained")
