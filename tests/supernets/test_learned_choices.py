"""Strategies that learn choices from losses alone, and what is shown of the choices that any strategy has learned."""

import math
from threading import Thread

import numpy as np
import pytest
import torch
from supernets.stack import Stack, problem, trained
from training.examples import equal
from training.test_distributed import Group

from nasctl import registry
from nasctl.api import BadOption, ChoiceController, ControllerOptions
from nasctl.supernets.conditioning import conditioning
from nasctl.supernets.learned_choices import certainty_text, choice_rows, last_probabilities, named
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.plot import gene_groups
from nasctl.supernets.step_networks import RankBatch
from nasctl.testing import strategy_context
from nasctl.training.losses import Prepared

SPECS = ["manas:estimate=ridge,zipf", "enas:memory,scored=2,hidden=8"]


@pytest.mark.parametrize("spec", SPECS)
def test_a_resumed_training_is_the_undisturbed_one(spec, tmp_path):
    whole = trained(problem(spec), tmp_path / "whole").state
    trained(problem(spec), tmp_path / "parts", until=5)
    assert equal(trained(problem(spec), tmp_path / "parts").state, whole)
    assert torch.isfinite(whole["strategy/history"]).all()


def test_processes_learn_the_same_choices(tmp_path):
    group, outcomes = Group(2), [None, None]

    def run(rank):
        with group.turn:
            place, ranks = tmp_path / str(rank), group.ranks(rank)
            outcomes[rank] = trained(problem("enas:hidden=8"), place, ranks=ranks, until=4)

    threads = [Thread(target=run, args=(rank,)) for rank in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    first, second = ({name: one.nan_to_num(-1.0) for name, one in found.state.items()} for found in outcomes)
    assert equal(first, second)


class Half:
    """A half of the examples of a step, which notes what is asked of it."""

    def __init__(self, name, log, loss):
        self.name, self.log, self._loss = name, log, loss

    def inputs(self):
        return (self.name,)

    def loss(self, outputs):
        self.log.append(("loss", self.name, torch.is_grad_enabled()))
        return torch.tensor(self._loss)

    def quality(self, outputs):
        self.log.append(("quality", self.name, torch.is_grad_enabled()))
        return torch.tensor(self._loss)


class Batch:
    def __init__(self, *halves):
        self.halves = lambda: halves


class Networks:
    def outputs(self, genome, inputs):
        return inputs[0], genome


@pytest.mark.parametrize(("spec", "judges"), [("manas", ["loss"]), ("enas:scored=2", ["quality"] * 2)])
def test_weights_learn_from_one_half_and_choices_from_the_other(spec, judges):
    strategy, log = registry.create("strategies", spec, strategy_context(Stack())), []
    batch = Batch(Half("first", log, 0.5), Half("second", log, 0.25))
    found = [float(one) for one in strategy.losses(0, strategy.passes(0), batch, Networks())]
    assert log == [("loss", "first", True), *((kind, "second", False) for kind in judges)]
    assert found == [0.5, *(0.25 if kind == "loss" else 0.75 for kind in judges)]


def test_manas_prefers_choices_with_low_losses():
    strategy = registry.create("strategies", "manas:eta=0.5", strategy_context(Stack(), steps=150))
    for step in range(150):
        genome = strategy.passes(step)[1].genomes[0]
        strategy.told(step, [9.0, strategy.chance * (0.2 if genome[0] == 2 else 1.5)], [])
    assert strategy.probabilities()[0][2] > 0.9
    assert strategy.chosen()[0] == 2
    assert np.allclose(strategy.arrays["history"][0, :4], 0.25)
    assert np.array_equal(strategy.arrays["history"][-1, :4], strategy.probabilities()[0])


def test_the_controller_is_rewarded_for_quality():
    strategy = registry.create("strategies", "enas:scored=4,rate=0.05", strategy_context(Stack(), steps=60))
    for step in range(60):
        scored = [one.genomes[0] for one in strategy.passes(step)[1:]]
        strategy.told(step, [0.0, *(0.1 if genome[0] == 1 else 0.9 for genome in scored)], [])
    assert strategy.probabilities()[0][1] > 0.8
    drawn = [strategy.draw(np.random.default_rng(seed)) for seed in range(20)]
    assert sum(one[0] == 1 for one in drawn) > 12
    with pytest.raises(BadOption, match="scored=0"):
        registry.create("strategies", "enas:scored=0", strategy_context(Stack()))


def test_the_quality_of_words_is_the_inverse_of_their_perplexity():
    learner = SupernetLearner(problem("manas"), Group(1).ranks(0))
    outputs, targets = torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), torch.tensor([0, 2])
    given = RankBatch(learner.learning, outputs, targets, 0, Prepared((outputs,), targets))
    assert float(given.quality(outputs)) == 0.5
    learner.learning.words = True
    assert float(given.quality(outputs)) == pytest.approx(math.exp(-float(given.loss(outputs))))


def test_a_controller_that_ignores_its_past_shows_no_change():
    class Space(Stack):
        def canonical(self, genome):
            return genome

    counts = [len(gene.choices) for gene in Space.genes]
    controller = ChoiceController(counts, 0, ControllerOptions(hidden=8))
    fresh = conditioning(controller, Space())
    controller.arrays["heads"][...] = 0.0
    silent = conditioning(controller, Space())
    assert 0 < fresh.change < 0.1
    assert silent.change == 0
    assert silent.recalled == fresh.recalled > silent.guessed  # the state is the same
    assert fresh.genomes > 0.2
    controller.arrays["embedding"][...] = 0.0
    blind = conditioning(controller, Space())
    assert (blind.genomes, blind.graphs) == (0.0, 0.0)
    assert blind.recalled == blind.guessed


def test_choices_are_shown_with_their_entropy():
    genes = Stack.genes
    history = np.full((101, 11), np.nan)
    history[:3] = np.concatenate([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0], [0.5, 0.5], [1 / 3] * 3])
    found = named(last_probabilities(history, genes), genes)
    assert last_probabilities(history[3:], genes) == []
    rows = choice_rows(found)
    assert rows[0] == ["first.width", "2", "50%", "1.50 of 2.00", "4 25%, 6 25%"]
    assert rows[1][:4] == ["first.kernel", "1", "100%", "0.00 of 1.00"]
    assert certainty_text(found) == ("probabilities of the best choices 33% to 100%, mean entropy 1.02 of 1.40 bits")


def test_genes_with_the_same_choices_are_drawn_together():
    choices = {"a": {"x": 1.0, "y": 0.0}, "b": {"x": 0.2, "z": 0.8}, "c": {"x": 0.5, "y": 0.5}, "d": {"only": 1.0}}
    found = gene_groups(choices)
    assert [(genes, names, columns.tolist()) for genes, names, columns in found] == [
        (["a", "c"], ["x", "y"], [[0, 1], [4, 5]]),
        (["b"], ["x", "z"], [[2, 3]]),
    ]
