"""Supernets that start from the weights of a trained network."""

from dataclasses import replace

import pytest
import torch
from supernets.stack import Stack, problem
from training.examples import images

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.space import Gene, Input
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.training.events import Ranks


def largest_weights(seed=3):
    """The state dict of the largest network with statistics of its own, as of a trained one."""
    module = Stack().network((3, 1, 1, 2)).module()
    draw = torch.Generator().manual_seed(seed)
    state = {
        name: value if value.ndim == 0 else torch.rand(value.shape, generator=draw) + 0.1
        for name, value in module.state_dict().items()
    }
    module.load_state_dict(state)
    return module.eval()


@pytest.mark.parametrize("strategy", ["elastic", "elastic:teacher=given", "sandwich"])
def test_a_training_starts_from_given_weights(strategy):
    module = largest_weights()
    start = problem(strategy, start=lambda own: own.load_state_dict(module.state_dict()))
    learner = SupernetLearner(start, Ranks())
    x = torch.randn(5, 1, 8, 8)
    module.train()  # as supernets run, with the statistics of the batch
    torch.testing.assert_close(learner.run(learner.context.largest, (x,)), module(x), rtol=0, atol=0)
    if strategy.endswith("given"):
        module.load_state_dict(largest_weights().state_dict())
        torch.testing.assert_close(learner._given((x,)), module.eval()(x), rtol=0, atol=0)


def test_a_smaller_network_may_be_given():
    space, genome = Stack(), (1, 0, 1, 1)
    module = space.network(genome).module()
    start = problem("sandwich", start=lambda own: own.load_state_dict(module.state_dict()), start_genome=genome)
    learner, drawn = SupernetLearner(start, Ranks()), SupernetLearner(problem("sandwich"), Ranks())
    for name, value in learner.weights.module(genome).named_parameters():
        assert torch.equal(value, module.get_parameter(name))
    kernel = next(name for name in drawn.weights.tensors if name.startswith("second.conv.weight"))
    ours, others = learner.weights.tensors[kernel], drawn.weights.tensors[kernel]
    assert torch.equal(ours[4:], others[4:])  # beyond the slice: as drawn
    assert not torch.equal(ours[:4, :4], others[:4, :4])


def test_elastic_needs_weights_and_says_so():
    with pytest.raises(NasctlError, match=r"Cannot train a supernet by elastic from drawn weights"):
        SupernetLearner(problem("elastic"), Ranks())


def test_a_given_network_without_its_classifier_does_not_teach():
    state = largest_weights().state_dict()
    body = {name: value for name, value in state.items() if not name.startswith("classifier")}
    start = problem("elastic:teacher=given", start=lambda own: own.load_state_dict(body, strict=False))
    with pytest.raises(NasctlError, match=r"it has no weights of classifier.weight"):
        SupernetLearner(start, Ranks())
    SupernetLearner(replace(start, strategy="elastic"), Ranks())  # a new classifier may be trained


def test_the_loss_of_elastic_is_that_of_the_paper():
    module, share = largest_weights(), 0.3
    start = problem("elastic:labels=0.3", start=lambda own: own.load_state_dict(module.state_dict()))
    learner, data = SupernetLearner(start, Ranks()), images()
    labels = torch.from_numpy(data.labels[:16])
    prepared = learner.learning.training(torch.from_numpy(data.inputs[:16]), labels, 0)
    first, second = learner.strategy.passes(0)
    whole, part = (learner.run(one.genomes[0], prepared.inputs) for one in (first, second))
    cross = [learner.learning.loss(one, labels) for one in (whole, part)]
    taught = -(whole.detach().softmax(1) * part.log_softmax(1)).sum(1).mean()
    (share * (cross[0] + cross[1]) + (1 - share) * taught).backward()
    expected = {name: one.grad.clone() for name, one in learner.weights.tensors.items() if one.grad is not None}
    learner.optimiser.zero_grad()
    learner._back_propagate((first, second), prepared, 0, learner.learning.weight(labels))
    for name, gradient in expected.items():
        torch.testing.assert_close(learner.weights.tensors[name].grad, gradient)


class Torch(Stack):
    """The space made of torch modules that know nothing of nasctl."""

    def network(self, genome):
        return Network.from_module(plain(genome), self.input.shape)


def plain(genome):
    """The modules of `Torch`: a convolution whose width and kernel are genes."""
    width, kernel = Stack.genes[0].choices[genome[0]], Stack.genes[1].choices[genome[1]]
    layers = {
        "conv": torch.nn.Conv2d(1, width, kernel, padding=kernel // 2),
        "norm": torch.nn.BatchNorm2d(width),
        "act": torch.nn.GELU(),
        "pool": torch.nn.AdaptiveAvgPool2d(1),
        "flat": torch.nn.Flatten(),
        "out": torch.nn.Linear(width, 3),
    }
    net = torch.nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net


def test_a_trained_module_of_a_user_becomes_elastic():
    space = Torch()
    own = plain((3, 1, 0, 0)).train()
    own(torch.randn(16, 1, 8, 8))  # statistics of its own
    weights = Network.weights_of_module(own.eval(), space.input.shape)
    module = space.network((3, 1, 0, 0)).module()
    module.load_state_dict(weights)
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(module.eval()(x), own(x), rtol=0, atol=0)
    given = problem("elastic", space=space, network=space.network((3, 1, 0, 0)))
    learner = SupernetLearner(replace(given, start=lambda one: one.load_state_dict(weights)), Ranks())
    torch.testing.assert_close(learner.run(learner.context.largest, (x,)), own.train()(x), rtol=0, atol=0)


class Gates(Torch):
    """The space made of layers of torch that join the weights of several gates."""

    genes = (Gene("first.width", (4, 8), ordered=True), Gene("kind", ("lstm", "gru", "attention")))
    input = Input((2, 6, 4))

    def canonical(self, genome):
        return tuple(genome)

    def network(self, genome):
        return Network.from_module(Gated(self.genes[0].choices[genome[0]], genome[1]), self.input.shape)


class Gated(torch.nn.Module):
    """A recurrent or an attention layer on the columns of an image."""

    def __init__(self, width, kind):
        super().__init__()
        self.into = torch.nn.Linear(12, width)
        if kind == 2:
            self.mix = torch.nn.MultiheadAttention(width, 2, batch_first=True)
        else:
            self.mix = (torch.nn.LSTM, torch.nn.GRU)[kind](width, width, batch_first=True)
        self.out = torch.nn.Linear(width, 3)

    def forward(self, x):
        x = self.into(x.flatten(1, 2).transpose(1, 2))
        if isinstance(self.mix, torch.nn.MultiheadAttention):
            return self.out(self.mix(x, x, x, need_weights=False)[0].mean(1))
        return self.out(self.mix(x)[0].mean(1))


@pytest.mark.parametrize(
    ("kind", "weight", "gates"), [(0, "weight_hh_l0", 4), (1, "bias_ih_l0", 3), (2, "in_proj_weight", 3)]
)
def test_each_gate_of_a_narrow_layer_is_a_slice_of_the_same_gate(kind, weight, gates):
    networks = ElasticNetworks(Gates(), "entangled")
    hull = Hull.of(networks)
    shared, narrow = SharedWeights(hull, 0), (0, kind)
    own = dict(networks.module(narrow).named_parameters())
    ((name, slot),) = [(one, slot) for one, slot, _ in hull.cuts(narrow) if one.endswith(weight)]
    whole = shared.tensors[slot].unflatten(0, (gates, -1))
    expected = whole[:, : own[name].shape[0] // gates].flatten(0, 1)[(..., *[slice(k) for k in own[name].shape[1:]])]
    assert torch.equal(shared.views(narrow)[name], expected)
    assert hull.has_gates
    again = Hull.read(networks, hull.text())
    assert again.cuts(narrow) == hull.cuts(narrow)
    assert [slot.shape for slot in again.slots.values()] == [slot.shape for slot in hull.slots.values()]
