"""Entangled weights: masks of single choices give the networks of these choices, and factors have exact gradients."""

import numpy as np
import pytest
import torch
from supernets.stack import Stack, problem, trained
from supernets.test_slices import inputs_of, shared
from training.examples import equal

from nasctl.supernets.context import TrainingContext
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.entanglement import entanglement_of
from nasctl.supernets.hull import Hull, random_genome
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.step_networks import SharedNetworks
from nasctl.training.events import Ranks

NORMED = 1e-3  # distance of outputs over their spread; batch norms over few examples make rounding errors grow


def networks_of(weights):
    largest = TrainingContext(weights.hull, 0, 10).largest
    return SharedNetworks(weights, Ranks(), largest), entanglement_of(weights.hull, largest)


def stack():
    return SharedWeights(Hull.of(ElasticNetworks(Stack(), "entangled")), seed=0)


def one_hot(space, genome, genes):
    return {gene: torch.eye(len(space.genes[gene].choices))[genome[gene]] for gene in genes}


def soft(space, genes, seed=0):
    rng = np.random.default_rng(seed)
    draws = {gene: rng.random(len(space.genes[gene].choices)) + 0.1 for gene in genes}
    return {gene: torch.tensor(one / one.sum(), dtype=torch.float32) for gene, one in draws.items()}


def distance(found, expected):
    return float((found - expected).norm() / (expected - expected.mean(0)).norm())


@torch.no_grad()
def check_one_hot(weights, number):
    """Networks of random choices of the sliced genes are the largest network with masked weights."""
    space, (networks, found), rng = weights.networks.space, networks_of(weights), np.random.default_rng(3)
    sliced = [gene for gene, kind in enumerate(found.kinds) if kind == "sliced"]
    for _ in range(number):
        drawn = random_genome(space, rng)
        genome = found.masks.changed({gene: drawn[gene] for gene in sliced})
        inputs = inputs_of(weights, genome, 4)
        expected = networks.outputs(genome, inputs)
        assert distance(networks.entangled(one_hot(space, genome, sliced), inputs), expected) < NORMED
    return found


def test_one_hot_factors_give_the_networks_of_single_choices():
    found = check_one_hot(stack(), 12)
    assert set(found.kinds) == {"sliced"}


# Genes of each space whose choices are no slices of the largest network's weights.
OTHERS = {
    "mbconv": [],
    "proxyless": [],
    "resnet": [],
    "vit": [],
    "bignas": ["mb2.width"],  # with equal widths the shortcut is the identity, and has no weights
    "nats_size": ["reduction1.channels", "cell2.channels", "reduction2.channels", "cell3.channels"],
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", OTHERS)
def test_one_hot_factors_in_spaces_of_slices(spec):
    weights = shared(spec)
    found = check_one_hot(weights, 3)
    genes = weights.networks.space.genes
    assert [genes[gene].name for gene, kind in enumerate(found.kinds) if kind == "other"] == OTHERS[spec]


def test_gradients_of_factors_equal_finite_differences():
    weights = stack()
    networks, _ = networks_of(weights)
    for one in weights.tensors.values():
        one.data = one.data.double() + 0.1  # shifts of norms begin at 0
    inputs = (torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double(),)
    factors = {gene: one.double().requires_grad_() for gene, one in soft(Stack(), range(4)).items()}

    def loss(given):
        return networks.entangled(given, inputs, frozen=True).square().sum()

    gradients = torch.autograd.grad(loss(factors), list(factors.values()))
    for gene, gradient in zip(factors, gradients, strict=True):
        for choice in range(len(gradient)):
            step = torch.zeros_like(gradient)
            step[choice] = 1e-6
            ends = [loss({**factors, gene: factors[gene] + sign * step}).item() for sign in (1, -1)]
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float(gradient[choice]), rel=1e-4, abs=1e-6)


def test_masks_are_sums_over_the_choices_that_have_a_number():
    weights = stack()
    _, found = networks_of(weights)
    width, kernel, deep = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.25, 0.75]), torch.tensor([0.4, 0.6])
    masks = found.masks.masks({0: width, 1: kernel, 2: deep}, torch.device("cpu"))

    def mask(name):
        (slot,) = [one for one in masks if one.startswith(f"{name}|")]
        shape = weights.hull.slots[slot].shape
        return torch.stack([one.broadcast_to(shape) for one, _ in masks[slot]]).prod(0)

    channels = torch.tensor([1, 1, 0.9, 0.9, 0.7, 0.7, 0.4, 0.4])
    places = torch.full((3, 3), 0.75)
    places[1, 1] = 1
    assert torch.allclose(mask("first.conv.weight")[:, 0], channels[:, None, None] * places)
    assert torch.allclose(mask("first.norm.weight"), channels)  # a mask of the convolution alone is normalised away
    assert torch.allclose(mask("second.norm.bias"), torch.full((6,), 0.6))
    assert torch.allclose(mask("second.conv.weight")[0, :, 0, 0], 0.6 * channels)


def test_weights_learn_through_masks_and_frozen_ones_do_not():
    weights = stack()
    networks, _ = networks_of(weights)
    inputs = (torch.randn(4, 1, 8, 8),)
    networks.entangled(soft(Stack(), range(4)), inputs).sum().backward()
    assert all(one.grad is not None for one in weights.tensors.values())
    assert len(networks.visits) == 1
    assert not networks.entangled(soft(Stack(), range(4)), inputs, frozen=True).requires_grad


@pytest.mark.parametrize(
    "method", ["drnas", pytest.param("darts", marks=pytest.mark.slow), pytest.param("gdas", marks=pytest.mark.slow)]
)
def test_resumed_training_equals_an_undisturbed_one(tmp_path, method):
    given = problem(f"tangle:method={method},rate=0.05")
    whole = trained(given, tmp_path / "whole")
    trained(given, tmp_path / "parts", until=5)
    again = trained(given, tmp_path / "parts")
    assert equal(whole.state, again.state)
    assert whole.state["strategy/alpha_updates"] == 12
