"""Strategies with weights and losses of their own: resumption, several processes, and what each of them trains."""

from dataclasses import replace
from threading import Thread

import pytest
import torch
from training.examples import QUICK, colour, images
from training.test_distributed import Group

from nasctl import registry
from nasctl.problem.space import Input
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.trained_supernet import SupernetFacts, TrainedSupernet, write
from nasctl.training.events import Ranks
from nasctl.training.loop import train

SPEC = "nb201:resolution=8,cells=1,channels=4,classes=3"
SHORT = replace(QUICK, epochs=1, batch=8, warmup=0.0, evaluate=0)
STRATEGIES = ["experts:hidden=8", "blockwise:paths=2,hidden=8,width=4", "cross_path:queue=20,hidden=8,width=4"]


def supernet(strategy, recipe=SHORT, spec=SPEC, share="blocks"):
    space = registry.create("spaces", spec)
    network = space.network(space.canonical((0,) * len(space.genes)))
    data = colour(images(number=48, side=8))
    return SupernetProblem(
        network, Input(network.input_shapes[0]), data, recipe, 3, "s", space=space, share=share, strategy=strategy
    )


def trained(path, asked, state):
    """Write trained weights, and return them as they are read."""
    examples = torch.from_numpy(asked.data.inputs[:8])
    facts = SupernetFacts(
        SPEC, "blocks", asked.strategy, 3, 6, "classes", ("0", "1", "2"), (128.0,) * 3, (64.0,) * 3, "d", {}, {}, "0"
    )
    write(path / "w.safetensors", state, examples, facts)
    return TrainedSupernet(path / "w.safetensors")


def one_step(learner, asked, number=0):
    given, labels = (torch.from_numpy(one[:8]) for one in asked.data.examples("train", list(range(48))))
    return learner.step(given, labels, number, 0.1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_paused_training_with_own_weights_ends_in_the_same_bits(strategy, tmp_path):
    asked = supernet(strategy, replace(SHORT, ema=0.5))
    whole = train(asked, tmp_path / "a", learner=SupernetLearner)
    train(asked, tmp_path / "b", learner=SupernetLearner, until=3)
    again = train(asked, tmp_path / "b", learner=SupernetLearner)
    assert whole.state.keys() == again.state.keys()
    assert [key for key in whole.state if not torch.equal(whole.state[key], again.state[key])] == []
    assert whole.results == again.results


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_ranks_have_the_same_weights(strategy, tmp_path):
    asked, group, outcomes = supernet(strategy), Group(2), [None, None]

    def run(rank):
        with group.turn:
            place, ranks = tmp_path / str(rank), group.ranks(rank)
            outcomes[rank] = train(asked, place, ranks=ranks, learner=SupernetLearner, until=4)

    threads = [Thread(target=run, args=(rank,)) for rank in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    first, second = (one.state for one in outcomes)
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


def test_experts_mix_slices_of_all_copies():
    asked = supernet("experts:copies=3,hidden=8")
    learner = SupernetLearner(asked, Ranks())
    for number in range(3):  # the last layer of the router leaves zero, then the first one learns too
        one_step(learner, asked, number)
    genome = learner.context.largest
    shares = learner.strategy.mixture(genome)
    assert shares.shape == (len(learner.context.layers), 3)
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)))
    assert float(shares.detach().std(1).max()) > 0
    other = learner.strategy.mixture(learner.context.smallest)
    assert not torch.equal(shares, other)
    views = learner.weights.views(genome)
    parameter, slot, _ = learner.weights.hull.cuts(genome)[0]
    row = learner.context.layers.index(slot.partition("|")[0].rpartition(".")[0])
    copies = torch.stack([own[slot] for own in learner.weights.parameters])
    assert not torch.equal(copies[0], copies[1])
    expected = (shares[row].view(-1, *[1] * (copies.ndim - 1)) * copies).sum(0)
    assert torch.allclose(views[parameter], expected)
    assert bool((learner.weights.visits == learner.weights.visits[0]).all())


def test_a_trained_mixture_gives_the_weights_that_were_trained(tmp_path):
    asked = supernet("experts:hidden=8")
    learner = SupernetLearner(asked, Ranks())
    for number in range(3):
        one_step(learner, asked, number)
    found = trained(tmp_path, asked, learner.state())
    genome = learner.strategy.passes(2)[0].genomes[0]
    views, own = found.weights.views(genome), learner.weights.views(genome)
    assert views.keys() == own.keys()
    assert all(torch.equal(views[name], own[name]) for name in own)
    module = found.module(genome)
    assert all(torch.equal(module.get_parameter(name), own[name]) for name in own)


def test_one_expert_is_a_single_path_training(tmp_path):
    alone, mixed = (
        train(supernet(one), tmp_path / one[:3], learner=SupernetLearner, until=3)
        for one in ("single_path", "experts:copies=1,hidden=8")
    )
    slots = [key for key in alone.state if key.startswith("slots/")]
    assert slots
    assert all(torch.equal(alone.state[key], mixed.state[key]) for key in slots)
