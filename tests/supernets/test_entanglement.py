"""Entangled weights: masks of single choices give the networks of these choices, and factors have exact gradients."""

from functools import cache
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from supernets.stack import Stack, problem, trained
from supernets.test_slices import inputs_of, shared
from training.examples import equal
from training.test_distributed import Group

from nasctl import registry
from nasctl.errors import BadOption, NasctlError
from nasctl.networks.graph import Builder
from nasctl.networks.layers import Conv, Flatten, GlobalAvgPool, Linear, ReLU
from nasctl.problem.space import Gene, Input
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull, random_genome
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.step_networks import SharedNetworks
from nasctl.testing import StrategyContract, strategy_context
from nasctl.training.events import Ranks, RanksLost

NB201 = "nb201:channels=4,cells=1,resolution=8"

STEPS = 60

NORMED = 1e-3  # distance of outputs over their spread; batch norms over few examples make rounding errors grow


def networks_of(weights):
    context = TrainingContext(weights.hull, 0, 10)
    return SharedNetworks(weights, Ranks(), context), context.entanglement


def stack():
    return SharedWeights(Hull.of(ElasticNetworks(Stack(), "entangled")), seed=0)


def one_hot(space, genome, genes):
    return {gene: torch.eye(len(space.genes[gene].choices))[genome[gene]] for gene in genes}


def soft(space, genes, seed=0):
    rng = np.random.default_rng(seed)
    draws = {gene: rng.random(len(space.genes[gene].choices)) + 0.1 for gene in genes}
    return {gene: torch.tensor(one / one.sum(), dtype=torch.float32) for gene, one in draws.items()}


def distance(found, expected):
    found, expected = found.detach(), expected.detach()
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
    "attentivenas": ["stem.width", "mb1.width", "mb2.width", "mb3.width", "mb7.width"],
    "nats_size": ["reduction1.channels", "cell2.channels", "reduction2.channels", "cell3.channels"],
    "tnb101_macro": [f"module{number}" for number in range(1, 7)],
    "bert": ["hidden", "layers", *(f"layer{n}.{gene}" for n in range(4) for gene in ("operation", "depth"))],
    "flexibert": ["layers", *(f"layer{n}.{gene}" for n in range(4) for gene in ("hidden", "heads", "operation"))],
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


@cache
def context_of(spec):
    space = Stack() if spec == "stack" else registry.create("spaces", spec)
    return TrainingContext(Hull.of(ElasticNetworks(space, "entangled")), 0, 40)


class TestTangle(StrategyContract):
    @pytest.fixture(params=["stack", NB201])
    def context(self, request):
        return context_of(request.param)

    @pytest.fixture(params=["tangle:method=gdas"])
    def strategy(self, request):
        return request.param


def test_mixtures_run_slices_of_a_branch_in_that_branch():
    """Kernels of 1 are the centre of kernels of 3, in one branch of which they share the norm."""
    weights = SharedWeights(context_of(NB201)._hull, seed=0)
    _, found = networks_of(weights)
    assert [[one.members for one in own] for own in found.branches] == [[(0,), (1,), (2, 3), (4,)]] * 6
    factors = soft(weights.networks.space, range(6))
    masked = found.masked(weights.parameters[0], factors)
    assert len(masked.slots) == len(set(masked.slots)) == len(weights.tensors)
    one, three = factors[0][2:4]
    name = "stage1_0_edge01_nor_conv_3x3_conv.weight"
    (slot,) = [slot for slot in masked.slots if slot.startswith("stage1.0.edge01.conv.weight|")]
    ratio = masked.views[name] / weights.tensors[slot]
    assert torch.allclose(ratio[:, :, 1, 1], torch.tensor(1.0))
    assert torch.allclose(ratio[:, :, 0, 2], three / (one + three))
    sums = torch.stack([factors[0][1], one + three, factors[0][4]])
    assert torch.allclose(masked.views["stage1_0_node1.factors"], sums)


def test_mixtures_give_networks_of_single_choices_and_gradients():
    weights = SharedWeights(context_of(NB201)._hull, seed=0)
    networks, _ = networks_of(weights)
    space, inputs = weights.networks.space, (torch.randn(4, 3, 8, 8),)
    genome = (2, 3, 1, 4, 2, 0)
    found = networks.entangled(one_hot(space, genome, range(6)), inputs)
    assert distance(found, networks.outputs(genome, inputs)) < NORMED
    factors = {gene: one.requires_grad_() for gene, one in soft(space, range(6)).items()}
    gradients = torch.autograd.grad(
        networks.entangled(factors, inputs, frozen=True).square().sum(), list(factors.values())
    )
    assert all(one[1:].abs().min() > 0 for one in gradients)
    hard = {gene: (one_hot(space, genome, [gene])[gene] - one.detach() + one) for gene, one in factors.items()}
    networks.entangled(hard, inputs).sum().backward()
    assert all(
        one.grad.isfinite().all() for one in (*factors.values(), *weights.tensors.values()) if one.grad is not None
    )


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["nbmacro", "tnb101_micro", "darts", "fbnet", "bossnas"])
@torch.no_grad()
def test_mixtures_of_other_spaces_give_networks_of_single_choices(spec):
    weights = shared(spec)
    networks, found = networks_of(weights)
    space, rng = weights.networks.space, np.random.default_rng(3)
    assert set(found.kinds) == {"mixed"}
    for _ in range(3):
        genome = random_genome(space, rng)
        inputs = inputs_of(weights, genome, 4)
        expected = networks.outputs(genome, inputs)
        mixed = networks.entangled(one_hot(space, genome, range(len(genome))), inputs)
        spread = (expected - expected.mean(0)).norm()  # 0 where a network lets nothing through
        assert (mixed - expected).norm() <= NORMED * spread + 1e-6


@pytest.mark.parametrize(
    ("spec", "option", "words"),
    [
        ("nb201", "", "--share entangled"),
        ("stack", "warmup=1", "warmup"),
        ("stack", "method=sgd", "method"),
        pytest.param("nats_size:resolution=8", "", "others=keep", marks=pytest.mark.slow),
    ],
)
def test_refusals_name_a_remedy(spec, option, words):
    context = context_of(spec) if spec != "nb201" else strategy_context(registry.create("spaces", NB201))
    with pytest.raises(BadOption, match=words):
        registry.create("strategies", f"tangle:{option}".rstrip(":"), context).passes(0)


@pytest.mark.slow
def test_other_genes_keep_the_choice_of_the_largest_network():
    context = context_of("nats_size:resolution=8")
    made = registry.create("strategies", "tangle:others=keep", context)
    assert context.gene_kinds() == ("sliced", *["other"] * 4)
    assert made.chosen()[1:] == (7, 7, 7, 7)
    with pytest.raises(NasctlError, match=r"reduction1.channels.*no factors"):
        context.entanglement.masked({"x": torch.zeros(1)}, {1: torch.ones(8)})


class Resolutions(Stack):
    """The space with another resolution as a gene."""

    genes = (*Stack.genes, Gene("resolution", (6, 8), ordered=True))

    def canonical(self, genome):
        return (*super().canonical(genome[:4]), genome[4])

    def network(self, genome):
        side = self.genes[4].choices[genome[4]]
        return self._network(genome[:4], (1, side, side))


def test_trained_weights_need_no_trial_of_slices(tmp_path):
    asked = problem("tangle")
    outcome = trained(asked, tmp_path, until=1)
    made = registry.create("strategies", "tangle", context_of("stack"))
    for name, array in made.arrays.items():
        array[...] = outcome.state[f"strategy/{name}"].numpy()
    made._context = SimpleNamespace(largest=made._context.largest, space=Stack(), holds=made._context.holds)
    assert made.chosen() == Stack().canonical(made.chosen())


def test_resolutions_are_drawn_and_not_learned():
    hull = Hull.of(ElasticNetworks(Resolutions(), "entangled"))
    context = TrainingContext(hull, 0, 40)
    made = registry.create("strategies", "tangle", context)
    assert context.gene_kinds() == (*["sliced"] * 4, "free")
    assert made.probabilities()[4].tolist() == [0.5, 0.5]
    assert made.chosen()[4] == 1
    networks = SharedNetworks(SharedWeights(hull, 0), Ranks(), context)
    inputs = (torch.randn(4, 1, 8, 8),)
    genome = (1, 0, 1, 1, 0)
    found = networks.entangled(one_hot(Resolutions(), genome, range(5)), inputs)
    assert distance(found, networks.outputs(genome, inputs)) < NORMED
    with pytest.raises(NasctlError, match=r"resolution.*factor 1"):
        networks.entangled({4: torch.tensor([0.5, 0.5])}, inputs)


class Lines:
    """A convolution of 1 or 3 on images whose class only neighbours of a pixel tell."""

    input = Input((1, 8, 8))
    genes = (Gene("kernel", (1, 3), ordered=True), Gene("width", (2, 4), ordered=True))

    def canonical(self, genome):
        return genome

    def network(self, genome):
        kernel, width = (gene.choices[k] for gene, k in zip(self.genes, genome, strict=True))
        net = Builder(self.input.shape)
        x = net.add(ReLU(), net.add(Conv(width, kernel, bias=True), net.inputs[0], name="conv"), name="act")
        x = net.add(Flatten(), net.add(GlobalAvgPool(), x, name="pool"), name="flatten")
        return net.build(net.add(Linear(2), x, name="classifier"))

    def reduced(self, fidelity):
        return self


def lines(number):
    """Images of signs that are constant in rows or in columns: a single pixel says nothing about the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(number) % 2
    signs = rng.choice([-1.0, 1.0], (number, 8, 1)).astype(np.float32).repeat(8, 2)
    return np.where(labels[:, None, None] == 0, signs, signs.transpose(0, 2, 1))[:, None], labels


@pytest.mark.parametrize(
    "method", ["gdas", pytest.param("darts", marks=pytest.mark.slow), pytest.param("drnas", marks=pytest.mark.slow)]
)
def test_the_kernel_that_can_tell_the_classes_is_chosen(method):
    hull = Hull.of(ElasticNetworks(Lines(), "entangled"))
    context = TrainingContext(hull, 1, STEPS)
    made = registry.create("strategies", f"tangle:method={method},rate=0.02,decay=0", context)
    weights = SharedWeights(hull, 0)
    networks, optimiser = SharedNetworks(weights, Ranks(), context), torch.optim.Adam(weights.tensors.values(), 0.02)
    images, labels = (torch.from_numpy(one) for one in lines(64))
    batch = Halves(images, labels)
    for step in range(STEPS):
        optimiser.zero_grad()
        (loss,) = made.losses(step, made.passes(step), batch, networks)
        loss.backward()
        optimiser.step()
        made.told(step, [loss.item()], [])
    assert made.chosen()[0] == 1
    assert made.probabilities()[0][1] > 0.6


class Halves:
    """A batch of examples, whose halves are alike."""

    def __init__(self, images, labels):
        self.images, self.labels, self.size = images, labels, len(labels)

    def halves(self):
        return self, self

    def inputs(self, view=0):
        return (self.images,)

    def loss(self, outputs):
        return torch.nn.functional.cross_entropy(outputs, self.labels)


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


def test_a_step_that_another_rank_leaves_changes_no_choices():
    asked = []

    def reduce(flat):
        asked.append(flat)
        if len(asked) == 3:  # sizes and gradients of the choices came before, the gradients of the weights come last
            raise RanksLost("a process has ended")

    given = problem("tangle:rate=0.05")
    learner = SupernetLearner(given, Ranks(0, 2, reduce))
    before = {name: one.copy() for name, one in learner.strategy.arrays.items() if name.startswith("alpha")}
    examples, labels = (torch.from_numpy(one) for one in given.data.examples("train", np.arange(16)))
    with pytest.raises(RanksLost):
        learner.step(examples, labels, 0, 0.05)
    assert len(before) == 4
    for name, one in before.items():
        assert np.array_equal(learner.strategy.arrays[name], one)
    learner.step(examples, labels, 0, 0.05)
    assert int(learner.strategy.arrays["alpha_updates"]) == 1


def test_two_ranks_learn_the_same_choices(tmp_path):
    asked, group, outcomes = problem("tangle:method=drnas,rate=0.05"), Group(2), [None, None]

    def run(rank):
        with group.turn:
            outcomes[rank] = trained(asked, tmp_path / str(rank), ranks=group.ranks(rank), until=3)

    threads = [Thread(target=run, args=(rank,)) for rank in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    first, second = (one.state for one in outcomes)
    assert first["strategy/alpha_updates"] == 3
    assert [key for key in first if not torch.equal(first[key].nan_to_num(), second[key].nan_to_num())] == []
