"""Genes that are decided in the last part of a training, by the loss without each of their choices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from supernets.stack import Stack, trained
from supernets.stack import problem as stacked
from supernets.test_mixed_choices import PLAIN, Toy, problem, step_of
from training.examples import equal

from nasctl import registry
from nasctl.errors import BadOption
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.strategies._selection import ChoiceRemoval
from nasctl.testing import strategy_context
from nasctl.training.events import Ranks

BLANK = "darts:select=perturbation,fixed"


class Batch:
    """A batch whose loss is the sum of the outputs."""

    size = 4

    def inputs(self):
        return ()

    def loss(self, outputs):
        return outputs.sum()


class Masked:
    """Networks that return the factors that they are given."""

    def entangled(self, factors, inputs, frozen):
        return factors


def test_masked_mixtures_have_zeros_for_choices_that_are_gone_and_one_for_a_decided_choice():
    removal = ChoiceRemoval(strategy_context(Stack(), steps=60), lambda: (0, 1, 2, 3), part=1.0)
    removal.arrays["decided"][1] = 0
    shares = {gene: torch.full((len(one.choices),), 1 / len(one.choices)) for gene, one in enumerate(Stack.genes)}
    factors = removal.masked(Masked(), shares)([[0, 2], [0], [0, 1], [0, 1, 2]], ())
    assert [one.tolist() for one in factors.values()][:3] == [[0.25, 0, 0.25, 0], [1, 0], [0.5, 0.5]]
    assert removal.begun(0)


class Networks:
    """Networks whose loss falls with the factors of allowed choices, by their worth."""

    def __init__(self, worth):
        self.worth, self.asked = worth, []

    def mixed(self, allowed, factors, inputs, frozen):
        assert frozen
        self.asked.append((allowed, factors))
        total = 0.0
        for gene, choices in enumerate(allowed):
            shares = factors[gene] if gene in factors else torch.ones(1)
            total += sum(float(share) * self.worth[gene][c] for share, c in zip(shares, choices, strict=True))
        return torch.tensor([-total])

    def gathered(self, rows):
        return rows


def test_each_gene_has_its_steps_and_keeps_the_choice_whose_removal_hurts_most():
    context = strategy_context(Toy(), steps=60)
    removal, networks = ChoiceRemoval(context), Networks([[1.0, 5.0, 2.0], [3.0, 1.0]])
    factors = {0: torch.tensor([0.2, 0.5, 0.3]), 1: torch.tensor([0.5, 0.5])}
    shares = [one.numpy() for one in factors.values()]
    decided = []
    for step in range(60):
        assert removal.begun(step) == (step >= 40)
        removal.measure(step, removal.summed(networks, factors, frozen=True), Batch(), networks)
        removal.told(step, shares)
        decided.append(removal.arrays["decided"].tolist())
    assert decided[48].count(-1) == 2
    assert decided[49].count(-1) == 1
    assert decided[59] == [1, 0]
    assert sorted(removal.arrays["removal_steps"].tolist()) == [2, 2]  # a quarter of ten steps
    assert len(networks.asked) == 2 * (3 + 2)
    allowed, own = networks.asked[0]
    (tried,) = [gene for gene, choices in enumerate(allowed) if len(choices) < len(shares[gene])]
    assert own[tried].tolist() == pytest.approx(factors[tried][allowed[tried]].tolist())
    removal.summed(networks, factors, frozen=True)([[1], [0]], ())
    assert networks.asked[-1][1] == {}  # decided genes have no factors
    assert [one.tolist() for one in removal.distribution(shares)] == [[0, 1, 0], [1, 0]]


def test_a_gene_without_losses_keeps_the_most_probable_choice():
    removal = ChoiceRemoval(strategy_context(Toy(), steps=1))
    removal.told(0, [np.array([0.1, 0.2, 0.7]), np.array([0.6, 0.4])])
    assert removal.allowed == [[2], [0]]


@pytest.mark.parametrize("steps", [3, 4])
def test_fewer_steps_than_genes_are_refused_before_the_first_step(steps):
    context = strategy_context(Toy(), steps=steps)  # the last third of 3 steps has one, of 4 rounded to one
    made = registry.create("strategies", BLANK, context)
    with pytest.raises(BadOption, match=f"Cannot decide 2 genes in the last third of {steps} steps, which has 1"):
        made.passes(0)
    enough = registry.create("strategies", BLANK, strategy_context(Toy(), steps=6))
    assert len(enough.passes(0)) == 1


def test_equal_factors_and_removals_avoid_a_choice_that_sees_nothing():
    learner = SupernetLearner(problem(BLANK, recipe=replace(PLAIN, epochs=5)), Ranks())
    steps = learner.context.steps
    for number in range(steps):
        step_of(learner, number)
        if number < steps // 2:
            assert not learner.strategy.arrays["alphas"].any()
            assert int(learner.strategy.arrays["alpha_updates"]) == 0
    way, _ = learner.strategy.chosen()
    assert way != 0
    assert learner.strategy.probabilities()[0].tolist() == np.eye(3)[way].tolist()
    assert np.allclose(learner.strategy.arrays["history"][100], np.concatenate(learner.strategy.probabilities()))


@pytest.mark.parametrize(
    "strategy",
    [
        BLANK,
        pytest.param("drnas:select=perturbation", marks=pytest.mark.slow),
        pytest.param("gdas:select=perturbation", marks=pytest.mark.slow),
    ],
)
def test_a_paused_selection_ends_in_the_same_bits(strategy, tmp_path):
    whole = trained(problem(strategy), tmp_path / "a")
    for pause in (5, 7):
        trained(problem(strategy), tmp_path / "b", until=pause)
    assert equal(whole.state, trained(problem(strategy), tmp_path / "b").state)
    assert (whole.state["strategy/decided"] >= 0).all()


def test_a_selection_by_masked_weights_resumes_in_the_same_bits_and_decides_all_genes(tmp_path):
    given = stacked("tangle:rate=0.05,select=perturbation")
    whole = trained(given, tmp_path / "a")
    trained(given, tmp_path / "b", until=9)
    assert equal(whole.state, trained(given, tmp_path / "b").state)
    assert (whole.state["strategy/decided"] >= 0).all()
    assert int(whole.state["strategy/alpha_updates"]) == 8  # fixed in the last third of 12 steps
    row = whole.state["strategy/history"][100].tolist()
    assert sorted(row) == [0] * 7 + [1] * 4


def test_drawn_paths_end_in_mixtures_that_decide_genes():
    strategy = "gdas:rate=0.05,select=perturbation"
    learner = SupernetLearner(problem(strategy, recipe=replace(PLAIN, epochs=5)), Ranks())
    steps = learner.context.steps
    for number in range(steps):
        assert learner.strategy.arrays["alpha_updates"] == min(number, round(steps * 2 / 3))
        step_of(learner, number)
    way, _ = learner.strategy.chosen()
    assert way != 0  # the choice that sees nothing adds nothing to a mixture
    assert (learner.strategy.arrays["decided"] >= 0).all()
    assert learner.strategy.probabilities()[0].tolist() == np.eye(3)[way].tolist()


def test_trainings_are_known_as_before_their_strategies_could_select():
    assert registry.spelled_out("strategies", "gdas") == "gdas:decay=0.001,rate=0.0003"
    assert "select" not in registry.spelled_out("strategies", "tangle")
    assert registry.spelled_out("strategies", "gdas:select=perturbation").endswith("select=perturbation")


@pytest.mark.parametrize(
    "spec", ["darts:select=best", "darts:fixed", "drnas:select=best", "gdas:select=best", "tangle:select=best"]
)
def test_selections_without_sense_are_refused(spec):
    with pytest.raises(BadOption, match=r"^Cannot (select|use)"):
        registry.create("strategies", spec, strategy_context(Toy(), steps=10))
