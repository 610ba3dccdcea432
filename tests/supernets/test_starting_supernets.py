"""Trainings of supernets that begin with the weights of another supernet, and decide its choices one by one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from supernets.stack import problem as stacked
from supernets.trained import SPACE, supernet
from training.examples import equal

from nasctl.cli import cli
from nasctl.errors import BadOption, NasctlError
from nasctl.store.store import Store
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.mixture_loss import MixtureLoss
from nasctl.supernets.request import SupernetRequest
from nasctl.supernets.starting_slices import starting_file
from nasctl.supernets.strategies.perturbation import Perturbation
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.testing import strategy_context
from nasctl.training.events import Ranks
from nasctl.training.loop import train
from nasctl.training.request import RecipeOptions
from nasctl.training.training import Work

RECIPE = RecipeOptions(epochs=1, fields=("batch=128", "rate=0.01"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("starts") / "nasctl.db"


@pytest.fixture(scope="module")
def path(store):
    return supernet(store)


def request(start, strategy="perturbation", **changes):
    own = {"space": SPACE, "data": "digits", "split": "0.7,0.2,0.1", "share": "blocks", "recipe": RECIPE}
    return SupernetRequest(**(own | {"strategy": strategy, "start": start} | changes))


def learner_of(asked):
    found, data = asked.supernet()
    notes = []
    problem = found.problem(data, Work(workers=0, start=asked.start, note=notes.append))
    return SupernetLearner(problem, Ranks()), problem, notes


def test_a_training_begins_with_all_weights_and_visits_of_a_supernet(path):
    learner, _, notes = learner_of(request(path, "single_path"))
    given = TrainedSupernet(path).weights
    assert notes == ["begins with the weights of the supernet tiny"]
    assert np.array_equal(learner.weights.visits, given.visits)
    for name, value in learner.weights.tensors.items():
        assert torch.equal(value, given.tensors[name])


@pytest.mark.slow
def test_genes_of_a_supernet_are_decided_one_by_one_and_a_paused_training_ends_in_the_same_bits(path, tmp_path):
    _, problem, _ = learner_of(request(path))
    whole = train(problem, tmp_path / "a", learner=SupernetLearner)
    train(problem, tmp_path / "b", learner=SupernetLearner, until=4)
    assert equal(whole.state, train(problem, tmp_path / "b", learner=SupernetLearner).state)
    decided = whole.state["strategy/decided"].tolist()
    none = next(iter(problem.space.genes)).choices.index("none")
    assert min(decided) >= 0
    assert none not in decided  # a choice that adds nothing is never kept
    assert whole.state["strategy/removal_steps"].tolist() == [1] * 6


@pytest.mark.slow
def test_factors_are_those_that_the_supernet_has_learned(store):
    given = supernet(store, "learned", strategy="darts:rate=0.1", steps=4)
    learner, _, _ = learner_of(request(given))
    expected = TrainedSupernet(given).strategy
    assert learner.strategy.chosen() == expected.chosen()
    for own, other in zip(learner.strategy.probabilities(), expected.probabilities(), strict=True):
        assert own == pytest.approx(other)


def test_masked_weights_of_a_space_without_sums_are_decided(tmp_path):
    given = stacked("perturbation", start_supernet=lambda strategy, weights: None)
    whole = train(given, tmp_path, learner=SupernetLearner)
    assert whole.state["strategy/decided"].min() >= 0
    assert bool(whole.state["strategy/masks"])


def test_without_a_supernet_one_sentence_says_what_is_missing():
    for given, words in ((None, "from drawn weights"), (lambda module: None, "from the weights of one network")):
        with pytest.raises(NasctlError, match=f"by perturbation {words}: it trains a trained supernet further"):
            SupernetLearner(stacked("perturbation", start=given), Ranks())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": SPACE.replace("channels=4", "channels=8")}, "Give --space nb201:canonical"),
        ({"share": "entangled"}, "and --share blocks"),
        ({"strategy": "elastic"}, "this strategy makes one network elastic"),
        ({"strategy": "experts"}, "equal copies stay equal"),
    ],
)
def test_a_supernet_that_does_not_fit_is_refused_in_one_sentence(changes, message, path):
    with pytest.raises(NasctlError, match=message) as caught:
        learner_of(request(path, **changes))
    assert str(caught.value).startswith("Cannot begin with the weights of the supernet tiny: ")


@pytest.mark.slow
def test_the_copy_of_a_mean_teacher_is_left_out(store):
    given = supernet(store, "averaged", strategy="cross_path:queue=64", steps=20)
    learner, _, _ = learner_of(request(given))
    for name, value in TrainedSupernet(given).weights.parameters[0].items():
        assert torch.equal(learner.weights.parameters[0][name], value)
    loss = MixtureLoss(TrainedSupernet(given), 60)
    assert 0 < loss([range(5)] * 6, ())[0] < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "message"),
    [("few_shot:bands=2", "has several copies of them"), ("blockwise:paths=2", "trains no classifier")],
)
def test_a_supernet_without_one_network_of_all_choices_is_refused(strategy, message, store):
    given = supernet(store, "copied", strategy=strategy, steps=20)
    with pytest.raises(NasctlError, match=message):
        learner_of(request(given))


def test_a_supernet_that_has_changed_is_refused(path):
    asked = request(path)
    found, data = asked.supernet()
    problem = replace(found, start="0" * 16).problem(data, Work(workers=0, start=path))
    with pytest.raises(NasctlError, match="have changed since the training was asked for"):
        SupernetLearner(problem, Ranks())


def test_fewer_steps_than_genes_are_refused():
    made = Perturbation(strategy_context(stacked("perturbation").space, steps=3))
    with pytest.raises(BadOption, match=r"Cannot decide 4 genes in 3 steps: .* or a smaller batch\.$"):
        made.passes(0)


def test_another_split_is_doubted(path):
    asked = request(path, split="0.6,0.2,0.2")
    (doubt,) = asked.doubts(asked.supernet()[1])
    assert doubt.startswith("Warning: what --from names was trained on another split of this data")


def test_names_of_supernets_and_trainings_are_found(store, path):
    assert starting_file(Path("tiny"), Store.reading(str(store))) == path
    with pytest.raises(NasctlError, match=r"--from tony is no file, and .*; supernets: .*tiny"):
        starting_file(Path("tony"), Store.reading(str(store)))


@pytest.mark.slow
def test_the_command_decides_a_supernet_of_the_store(store, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = f"supernet train --space {SPACE} --data digits --split 0.7,0.2,0.1 --strategy perturbation --from tiny"
    options = f" --epochs 1 --set batch=128 --set evaluate=0 --name decided --store {store} --json"
    done = CliRunner().invoke(cli, (words + options).split(), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert "begins with the weights of the supernet tiny" in done.stderr
    assert json.loads(done.stdout)["supernet"] == "decided"
    chosen = CliRunner().invoke(cli, ["supernet", "select", "decided", "--store", str(store)], catch_exceptions=False)
    assert chosen.stdout.startswith("nb201")
    assert "nasctl train --arch" in chosen.stderr
    assert "export" not in chosen.stderr
