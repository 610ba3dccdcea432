"""Strategies that learn factors of mixed choices: what they find, and that their steps are exact."""

from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
import torch
from supernets.stack import RECIPE, Stack, trained
from training.examples import equal, images
from training.test_distributed import Group

from nasctl import registry
from nasctl.errors import BadOption
from nasctl.networks.graph import Builder
from nasctl.networks.layers import AvgPool, BatchNorm, Conv, Flatten, GlobalAvgPool, Linear, SumTerm, WeightedSum, Zero
from nasctl.problem.space import Gene, Input
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.step_networks import RankBatch
from nasctl.supernets.strategies.drnas import _divergence
from nasctl.testing import strategy_context
from nasctl.training.events import Ranks
from nasctl.training.loop import train

STRATEGIES = ("darts:order=2", "gdas", "drnas:kl=0.01")
PLAIN = replace(RECIPE, flip=False, crop=0, cutout=0)  # without random changes of the images


class Toy:
    """A convolution and a sum of choices, of which one sees nothing and one passes everything on."""

    input = Input((1, 8, 8))
    genes = (Gene("way", ("zeros", "conv", "pool")), Gene("kernel", (1, 3)))

    def canonical(self, genome):
        return tuple(genome)

    def network(self, genome):
        return self.supernet([(choice,) for choice in genome])

    def supernet(self, allowed, gated=False):
        net = Builder(self.input.shape)
        x = self._sum(net, net.inputs[0], 1, allowed[1], gated, {0: ("1", Conv(4)), 1: ("3", Conv(4, 3))})
        x = net.add(BatchNorm(), x, name="norm")
        ways = {0: ("zeros", Zero()), 1: ("conv", Conv(4, 3)), 2: ("pool", AvgPool(3))}
        x = self._sum(net, x, 0, allowed[0], gated, ways)
        x = net.add(Flatten(), net.add(GlobalAvgPool(), x, name="means"), name="flatten")
        return net.build(net.add(Linear(3), x, name="classifier"))

    def _sum(self, net, x, place, choices, gated, parts):
        name = self.genes[place].name
        if len(choices) == 1 and not gated:
            return net.add(parts[choices[0]][1], x, name=name)
        found = [net.add(parts[one][1], x, name=f"{name}.{parts[one][0]}") for one in choices]
        terms = tuple(SumTerm(parts[one][0], (((place, one),),)) for one in choices)
        return net.add(WeightedSum(terms), *found, name=name)

    def reduced(self, fidelity):
        return self


def problem(strategy, **changes):
    space = Toy()
    found = SupernetProblem(
        space.network((1, 1)),
        space.input,
        images(),
        RECIPE,
        identity="x",
        space=space,
        share="blocks",
        strategy=strategy,
    )
    return replace(found, **changes)


def step_of(learner, number=0):
    data = images()
    given, labels = torch.from_numpy(data.inputs[:16]), torch.from_numpy(data.labels[:16])
    return learner.step(given, labels, number, 0.05)


@pytest.mark.parametrize("strategy", ["darts", pytest.param("darts:order=2", marks=pytest.mark.slow), "gdas", "drnas"])
def test_a_choice_that_sees_nothing_is_avoided(strategy):
    spec = f"{strategy}{',' if ':' in strategy else ':'}rate=0.1"
    learner = SupernetLearner(problem(spec, recipe=replace(PLAIN, epochs=5)), Ranks())
    for number in range(30):
        step_of(learner, number)
    assert learner.strategy.chosen()[0] != 0
    way, _ = learner.strategy.probabilities()
    assert way[0] < 0.1  # of three choices
    history = learner.strategy.arrays["history"]
    assert np.isfinite(history).all()
    assert np.allclose(history[0], [1 / 3] * 3 + [1 / 2] * 2, atol=0.002)
    assert np.allclose(history[100], np.concatenate(learner.strategy.probabilities()))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_paused_training_of_choices_ends_in_the_same_bits(strategy, tmp_path):
    whole = trained(problem(strategy), tmp_path / "a")
    trained(problem(strategy), tmp_path / "b", until=5)
    assert equal(whole.state, trained(problem(strategy), tmp_path / "b").state)
    assert np.isfinite(whole.state["strategy/history"].numpy()).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_changes_choices_only_when_it_is_complete(strategy):
    learner = SupernetLearner(problem(strategy), Ranks())
    before = {name: one.copy() for name, one in learner.strategy.arrays.items()}
    told, told_later = learner.strategy.told, []
    learner.strategy.told = lambda *given: told_later.append(given)
    step_of(learner)
    assert all(np.array_equal(one, before[name], equal_nan=True) for name, one in learner.strategy.arrays.items())
    told(*told_later[0])
    assert not np.array_equal(learner.strategy.arrays["alphas"], before["alphas"])
    assert int(learner.strategy.arrays["alpha_updates"]) == 1
    assert (learner.weights.visits <= 1).all()


def test_the_gradient_of_order_2_is_that_through_a_step_of_the_weights():
    rate = 0.5
    learner = SupernetLearner(problem(f"darts:order=2,inner_rate={rate}"), Ranks())
    strategy, networks, weights = learner.strategy, learner._networks, learner.weights
    data = images()
    given, labels = torch.from_numpy(data.inputs[:16]), torch.from_numpy(data.labels[:16])
    own, other = RankBatch(learner.learning, given, labels, 0, learner.learning.training(given, labels, 0)).halves()
    leaves = strategy.alphas.leaves()

    def factors():
        return strategy.factors(leaves, 0, np.random.default_rng(0), given)

    before = {name: one.detach().clone() for name, one in weights.tensors.items()}
    found = strategy._unrolled(leaves, factors, own, other, networks)
    assert all(torch.equal(one, before[name]) for name, one in weights.tensors.items())

    loss = strategy.mixed(networks, factors(), own)
    inner = torch.autograd.grad(loss, list(weights.tensors.values()), create_graph=True)
    moved = {name: one - rate * slope for (name, one), slope in zip(weights.tensors.items(), inner, strict=True)}
    leaf, weights.parameters[0] = weights.parameters[0], moved
    expected = torch.autograd.grad(strategy.mixed(networks, factors(), other), leaves)
    weights.parameters[0] = leaf
    direct = torch.autograd.grad(strategy.mixed(networks, factors(), other), leaves)
    for one, exact in zip(found, expected, strict=True):
        assert torch.allclose(one, exact, rtol=0.02, atol=1e-4)
    plain, exact = torch.cat(direct), torch.cat(expected)
    assert (plain - exact).norm() > 0.05 * exact.norm()  # the second term is not negligible here


def test_gdas_trains_the_network_that_it_draws():
    learner = SupernetLearner(problem("gdas"), Ranks())
    for number in range(4):
        before = learner.weights.visits.copy()
        (one,) = learner.strategy.passes(number)
        step_of(learner, number)
        trained_slots = {
            slot
            for slot, new in zip(learner.weights.parameters[0], (learner.weights.visits - before)[0], strict=True)
            if new
        }
        assert trained_slots == {slot for _, slot, _ in learner.weights.hull.cuts(one.genomes[0])}


def test_a_gate_before_a_norm_has_no_gradient():
    networks = SupernetLearner(problem("gdas"), Ranks())._networks
    gates = {place: torch.ones(1, requires_grad=True) for place in (0, 1)}
    inputs = (torch.from_numpy(images().inputs[:16]).float(),)
    found = networks.mixed([(1,), (1,)], gates, inputs).square().sum()
    way, kernel = torch.autograd.grad(found, list(gates.values()))
    assert abs(float(kernel)) < 1e-3 * abs(float(way))  # the norm follows the sum of kernels


def test_the_divergence_of_drnas_draws_concentrations_to_1():
    assert float(_divergence(torch.zeros(5))) == pytest.approx(0, abs=1e-6)
    away = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    (slope,) = torch.autograd.grad(_divergence(away), away)
    assert slope[0] > 0


@pytest.mark.parametrize("spec", ["darts", "gdas", "drnas", "darts:order=3", "darts:rate=0", "drnas:kl=-1"])
def test_spaces_without_mixtures_and_options_without_sense_are_refused(spec):
    space = Toy() if ":" in spec else Stack()
    with pytest.raises(BadOption, match=r"^Cannot (use|learn choices)"):
        registry.create("strategies", spec, strategy_context(space, steps=10))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_ranks_learn_the_same_choices(strategy, tmp_path):
    asked, group, outcomes = problem(strategy), Group(2), [None, None]

    def run(rank):
        with group.turn:
            outcomes[rank] = train(asked, tmp_path / str(rank), ranks=group.ranks(rank), learner=SupernetLearner)

    threads = [Thread(target=run, args=(rank,)) for rank in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert equal(outcomes[0].state, outcomes[1].state)
    alone = train(asked, tmp_path / "alone", learner=SupernetLearner)
    # Draws do not depend on the rank, so only the statistics of norms differ.
    for name in ("strategy/alphas", "strategy/history"):
        assert torch.allclose(outcomes[0].state[name], alone.state[name], atol=0.01)
