"""Mixtures of several choices have the weights of the networks of single choices, and their outputs."""

from functools import cache

import numpy as np
import pytest
import torch
from torch.func import functional_call
from training.examples import QUICK, colour, images

from nasctl import registry
from nasctl.networks.layers import WeightedSum
from nasctl.supernets.hull import random_genome
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem, default_share
from nasctl.training.events import Ranks

SPEC = "nb201:channels=4,cells=1,resolution=8,classes=3"
OTHERS = (
    "nbmacro:resolution=8,classes=3",
    "tnb101_micro:channels=4,cells=1,resolution=32,classes=3",
    "darts:channels=4,cells=3,resolution=8,classes=3",
    "fbnet:resolution=8,cifar,width=0.5,head=16,classes=3",
    "bossnas:resolution=32,classes=3",
)


@cache
def learner_of(spec):
    space, data = registry.create("spaces", spec), colour(images())
    network = space.network(space.canonical((0,) * len(space.genes)))
    share = default_share(space)
    asked = SupernetProblem(network, space.input, data, QUICK, identity="x", space=space, share=share)
    return SupernetLearner(asked, Ranks())


def shared(spec):
    learner = learner_of(spec)
    learner.optimiser.zero_grad(set_to_none=True)
    learner._networks.visits.clear()
    return learner._problem.space, learner.weights, learner._networks


def everything(space):
    return [range(len(gene.choices)) for gene in space.genes]


def one_hot(space, genome):
    return {
        place: torch.nn.functional.one_hot(torch.tensor(choice), len(gene.choices)).float()
        for place, (gene, choice) in enumerate(zip(space.genes, genome, strict=True))
    }


def check(spec):
    space, weights, networks = shared(spec)
    rng, inputs = np.random.default_rng(0), (torch.randn(4, *space.input.shape),)
    whole = networks._mixtures.of(everything(space), one_hot(space, (0,) * len(space.genes)))
    assert {slot for _, slot, _ in whole.cuts} == set(weights.hull.slots)
    for _ in range(3):
        genome = random_genome(space, rng)
        alone = networks.outputs(genome, inputs)
        found = networks.mixed(everything(space), one_hot(space, genome), inputs)
        assert torch.allclose(found, alone, atol=1e-5)
        gates = {place: torch.ones(1) for place in range(len(genome))}
        gated = networks.mixed([(choice,) for choice in genome], gates, inputs)
        assert torch.allclose(gated, alone, atol=1e-5)
        single = networks._mixtures.of([(choice,) for choice in genome], {})
        assert single.network == space.network(genome)
        assert set(single.cuts) == set(weights.hull.cuts(genome))


def test_a_mixture_with_one_factor_of_each_gene_is_the_network_of_the_genome():
    check(SPEC)


@pytest.mark.slow
@pytest.mark.parametrize("spec", OTHERS)
def test_a_mixture_with_one_factor_of_each_gene_is_the_network_of_the_genome_in_other_spaces(spec):
    check(spec)


def test_factors_multiply_the_outputs_of_operations():
    _, weights, networks = shared(SPEC)
    # Only edge 03 is open, so node 3 is a weighted sum of operations of the cell's input.
    allowed = [(0,), (0,), (0,), (1, 2, 3), (0,), (0,)]
    factors = torch.tensor([0.2, -1.5, 3.0])
    mixture = networks._mixtures.of(allowed, {3: factors})
    given = {**weights.slices(mixture.cuts), **mixture.factors({3: factors})}
    kept = {}
    for name, part in mixture.module.named_children():
        part.register_forward_hook(lambda part, given, found, name=name: kept.__setitem__(name, found))
    functional_call(mixture.module, given, (torch.randn(2, 3, 8, 8),))
    at = "stage1_0_edge03_nor_conv_"
    expected = 0.2 * kept["stem_norm"] - 1.5 * kept[f"{at}1x1_norm"] + 3.0 * kept[f"{at}3x3_norm"]
    assert torch.allclose(kept["stage1_0_node3"], expected, atol=1e-6)


def test_gradients_reach_factors_and_only_weights_that_are_not_frozen():
    space, weights, networks = shared(SPEC)
    factors = {place: torch.full((5,), 1 / 5, requires_grad=True) for place in range(6)}
    inputs = (torch.randn(2, 3, 8, 8),)
    networks.mixed(everything(space), factors, inputs, frozen=True).square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in factors.values())
    assert all(one.grad is None for one in weights.tensors.values())
    assert networks.visits == []
    networks.mixed(everything(space), factors, inputs).square().sum().backward()
    assert all(one.grad is not None for one in weights.tensors.values())
    ((slots, copy),) = networks.visits
    assert (set(slots), copy) == (set(weights.hull.slots), 0)


def test_the_gradient_of_a_gate_is_that_of_its_factor_in_the_mixture():
    space, _, networks = shared(SPEC)
    inputs, path = (torch.randn(4, 3, 8, 8),), (3, 1, 2, 4, 3, 2)
    gates = [torch.ones(1, requires_grad=True) for _ in path]
    alone = networks.mixed([(choice,) for choice in path], dict(enumerate(gates)), inputs)
    whole = {place: one.requires_grad_() for place, one in one_hot(space, path).items()}
    mixed = networks.mixed(everything(space), whole, inputs)
    slopes = torch.autograd.grad(alone.square().sum(), gates)
    expected = torch.autograd.grad(mixed.square().sum(), list(whole.values()))
    chosen = [one[choice] for one, choice in zip(expected, path, strict=True)]
    assert torch.allclose(torch.cat(slopes), torch.stack(chosen), rtol=1e-3, atol=1e-4)


def test_factors_of_darts_are_products_of_those_of_operations_and_inputs():
    space = registry.create("spaces", "darts:channels=4,cells=3,resolution=8,classes=3")
    places = {gene.name: place for place, gene in enumerate(space.genes)}
    node3, first = places["normal.node3.inputs"], places["normal.node3.first"]
    allowed = [(0,)] * len(space.genes)
    allowed[node3], allowed[first] = (0, 1), (3, 4)  # node 3 reads inputs 0 and 1, or 0 and 2
    (layer,) = {
        node.layer for node in space.supernet(allowed).nodes if isinstance(node.layer, WeightedSum)
    }  # the two reduction cells of three have none
    found = {(term.name, term.products) for term in layer.terms}
    pairs = [((node3, pair),) for pair in (0, 1)]
    both = {
        (name, tuple((*pair, (first, choice)) for pair in pairs))
        for name, choice in (("sep_conv_3x3", 3), ("sep_conv_5x5", 4))
    }
    # The second operation is fixed: a pool of input 1 by the first pair, and of input 2 by the second.
    assert found == both | {("max_pool_3x3", (pair,)) for pair in pairs}


def test_genes_need_a_factor_for_each_choice():
    space, _, networks = shared(SPEC)
    inputs = (torch.randn(2, 3, 8, 8),)
    with pytest.raises(ValueError, match="gene 0 has 5 allowed choices and no factors"):
        networks.mixed(everything(space), {}, inputs)
    with pytest.raises(ValueError, match="gene 0 has 5 allowed choices, and factors"):
        networks.mixed(everything(space), dict.fromkeys(range(6), torch.ones(4)), inputs)
