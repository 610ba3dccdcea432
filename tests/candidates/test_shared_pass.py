"""What metrics share: that one failure spoils no other metric, and that parts which run twice count twice."""

import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.api import Builder, Call, Conv, Fidelity, Flatten, GlobalAvgPool, Input, Layer, Linear, Network, ReLU
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.candidates.shared_pass import shared_pass
from nasctl.candidates.sign_codes import SignCodes
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.networks.torch_functions import node_facts

SETTING = Setting(fidelity=Fidelity(batch=8))


class Once(torch.autograd.Function):
    """Times two, and differentiable unless it is broken."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        if Once.broken:
            raise RuntimeError("no way back")
        return 2 * gradient


class Thorn(nn.Module):
    def forward(self, x):
        return Once.apply(x)


@dataclass(frozen=True)
class ThornLayer(Layer):
    def module(self, *inputs):
        return Call(Thorn)


class Images:
    """One convolution, a rectifier, and something that may not be differentiable before them."""

    input = Input((3, 8, 8))

    def __init__(self, *first):
        self.genes, self._first = (), first

    def canonical(self, genome):
        return genome

    def network(self, genome):
        net = Builder(self.input.shape)
        (x,) = net.inputs
        for k, layer in enumerate(self._first):
            x = net.add(layer, x, name=f"first{k}")
        x = net.add(Conv(12, 3), x, name="conv")
        x = net.add(ReLU(), x, name="act")
        x = net.add(Flatten(), net.add(GlobalAvgPool(), x, name="pool"), name="flat")
        return net.build(net.add(Linear(4), x, name="linear"))

    def reduced(self, fidelity):
        return self


def values(space, *names):
    task = Task(space, {name: registry.create("objectives", name) for name in names}, SETTING)
    return measure(task, (), {name: name for name in names})


def test_a_pass_that_fails_spoils_nothing_but_what_it_is_about():
    Once.broken = True
    space = Images(ThornLayer())
    alone = {name: values(space, name)[name] for name in ("naswot", "snip", "jacov", "grasp")}
    together = values(space, *alone)
    assert [one.value for one in alone.values()] == [together[name].value for name in alone]
    assert [one.error for one in alone.values()] == [together[name].error for name in alone]
    assert "no way back" in alone["jacov"].error
    assert alone["snip"].value > 0
    Once.broken = False
    assert values(space, "jacov")["jacov"].error is None


def test_what_failed_keeps_nothing_alive():
    Once.broken = True
    gc.disable()
    try:
        given = Candidate(Images(ThornLayer()), (), SETTING, frozenset({"input_gradients"}))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no way back"):
                _ = given.input_gradients
        gone = weakref.ref(given)
        del given
        assert gone() is None
    finally:
        gc.enable()


def test_parts_that_run_twice_count_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.act = nn.Linear(5, 5), nn.ReLU()

        def forward(self, x):
            return self.act(self.layer(self.act(self.layer(x))))

    needs = frozenset({"activations", "saliences", "curvature"})
    examples, labels = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 5
    module = Twice().double()
    found = shared_pass(module, examples.double(), labels, needs)
    assert [codes.units for codes in found.activations.values()] == [5, 5]
    assert len(found.saliences) == 2
    weight = module.layer.weight.requires_grad_()
    (first,) = torch.autograd.grad(
        nn.functional.cross_entropy(module(examples.double()), labels), weight, create_graph=True
    )
    (exact,) = torch.autograd.grad((weight.detach() * first).sum(), weight)
    torch.testing.assert_close(found.curvature["layer.weight"], exact, rtol=1e-5, atol=1e-8)


def test_codes_of_few_units_are_dependent():
    # 64 examples, and no more than 13 dimensions in which their codes of 12 units can differ.
    codes = type("Given", (), {"setting": Setting(), "activations": {"act": of_units(12)}})()
    with pytest.raises(ValueError, match="linearly dependent"):
        registry.create("objectives", "naswot")(codes)


def of_units(units):
    rng = np.random.default_rng(0)
    numbers = rng.permutation(1 << units)[:64]
    signs = (numbers[:, None] >> np.arange(units) & 1) * 2.0 - 1
    return SignCodes.of(torch.tensor(signs))


def test_a_network_without_weights_fails_by_name():
    class Bare(Images):
        def network(self, genome):
            net = Builder(self.input.shape)
            x = net.add(GlobalAvgPool(), *net.inputs, name="pool")
            return net.build(net.add(Flatten(), x, name="flat"))

    for name in ("snip", "fisher", "grasp", "synflow"):
        assert values(Bare(), name)[name].error.startswith("ValueError: ")


def test_a_clamp_at_a_tensor_spoils_no_other_need():
    class Clamped(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.low = nn.Linear(4, 4), nn.Parameter(torch.zeros(4))

        def forward(self, x):
            return self.a(x).clamp(min=self.low).clamp(min=0)

    network = Network.from_module(Clamped(), (4,))
    node = next(node for node in network.nodes if "low" in repr(node.layer))
    assert node_facts(node).failure == ""
    assert not node_facts(node).rectifies
    assert any(node_facts(node).rectifies for node in network.nodes)
    examples, labels = torch.randn(6, 4), torch.arange(6) % 4
    alone = shared_pass(network.module(), examples, labels, frozenset({"gradients"}), network)
    both = shared_pass(network.module(), examples, labels, frozenset({"gradients", "activations"}), network)
    assert alone.gradients.keys() == both.gradients.keys()
    assert len(both.activations) == 1
