"""A network that would compute something else than its module is refused, and the module is left alone."""

import pickle
import random
from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from tracing import made, traced

from nasctl.api import NasctlError, Network
from nasctl.networks import trace_verification
from nasctl.networks.trace_layouts import Plan


class Counting(nn.Module):
    calls = 0

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x):
        self.calls += 1
        return self.a(x) * (1 if self.calls < 2 else 1.5)


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


def zero_branch(self, x):
    return x + self.g * (x if len(x) != 1 else -x)


def small_batches(self, x):
    return self.a(x) * min(len(x), 5)


def large_batches(self, x):
    return self.a(x) if len(x) < 20 else torch.cat([self.a(part) for part in x.split(20)])


def no_grad(self, x):
    with torch.no_grad():
        gate = torch.sigmoid(self.a(x))
    return x * gate


REFUSED = {
    "something else than the module: values of up to": Counting(),
    "the layer mul computes something else than the module": made(
        lambda self, x: self.a(x) * (2 if len(x) != 3 else 3), a=nn.Linear(4, 4)
    ),
    "takes another path at neg": made(zero_branch, g=nn.Parameter(torch.zeros(4))),
    "given 2 for 2 examples and 5 for 67": made(small_batches, a=nn.Linear(4, 4)),
    "its graph depends on the batch": made(large_batches, a=nn.Linear(4, 4)),
    "draws random numbers in evaluation, with rand": made(lambda self, x: x + torch.rand(4)),
    "draws random numbers in evaluation, with normal_": made(lambda self, x: x + torch.empty(4).normal_()),
    "applies dropout in evaluation": made(lambda self, x: F.dropout(x, 0.1)),
    "draws random numbers from random in evaluation": made(lambda self, x: x * random.random()),
    "draws random numbers from numpy.random in evaluation": made(
        lambda self, x: x * float(np.random.choice([1] * 9 + [1.5]))  # noqa: NPY002
    ),
    "numbers from random in evaluation": made(lambda self, x: 2 * x if random.random() < 1e-9 else x),
    "gradients are not those": made(lambda self, x: Straight.apply(3 * x) * x),
    "gradients are not those of the functions": made(no_grad, a=nn.Linear(4, 4)),
    "fails when it runs on random inputs: index 9 is out of bounds": made(
        lambda self, x: x[:, torch.tensor([9])], a=nn.Linear(4, 4)
    ),
    "lengths are values of the input": made(
        lambda self, x: nn.utils.rnn.pack_padded_sequence(x[:, None], torch.ones(len(x)), batch_first=True).data
    ),
    "through nonzero": made(lambda self, x: x[x > 0].sum() * x),
    "it cannot be copied": made(lambda self, x: x, generator=(k for k in range(3))),
    "assigns to an attribute of a tensor": made(lambda self, x: [y := x * 1, setattr(y, "data", x)][0]),
    "compressed": made(lambda self, x: x + self.t.sum(), t=torch.rand(5_000_000)),
    "no values on the meta device": made(lambda self, x: x + self.t, t=torch.empty(4, device="meta")),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_would_be_another_network_is_refused(said):
    with pytest.raises(NasctlError) as error:
        Network.from_module(REFUSED[said], (4,))
    text = str(error.value)
    assert said in text
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript_is_refused():
    with pytest.raises(NasctlError, match="TorchScript"):
        Network.from_module(nn.Sequential(torch.jit.script(nn.Linear(4, 4))), (4,))


def test_a_wrong_layer_is_named(monkeypatch):
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4))
    right = trace_verification.with_tensors

    def wrong(*given):
        network = right(*given)
        network.get_submodule("layer2").forward = lambda x: x
        return network

    monkeypatch.setattr(trace_verification, "with_tensors", wrong)
    with pytest.raises(NasctlError, match="the layer layer2 computes something else than the module"):
        Network.from_module(module, (4,))


def test_a_branch_times_zero_is_compared(monkeypatch):
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.gamma = nn.Linear(4, 4), nn.Parameter(torch.zeros(4))

        def forward(self, x):
            return x + self.gamma * self.a(x)

    monkeypatch.setattr(trace_verification, "with_tensors", _with_noise(trace_verification.with_tensors, "a"))
    with pytest.raises(NasctlError, match="the layer a computes something else"):
        Network.from_module(Branch(), (4,))


def _with_noise(original, name):
    def changed(*given):
        network = original(*given)
        network.get_submodule(name).forward = lambda x: x
        return network

    return changed


def test_the_module_and_all_generators_are_left_alone():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 2))
    calls = []
    module[0].register_forward_hook(lambda *given: calls.append(given[1][0].device.type))
    module.train()
    before = deepcopy(module.state_dict()), set(module.__dict__), dict(module[1].__dict__)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    Network.from_module(module, (3, 8, 8))
    after = module.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before[0].items())
    assert module.training
    assert module[1].training
    assert set(module.__dict__) == before[1]
    assert {k: v for k, v in module[1].__dict__.items() if k != "training"}.keys() == before[2].keys() - {"training"}
    assert all(parameter.grad is None for parameter in module.parameters())
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert "forward" not in module[0].__dict__
    assert len(calls) == 4  # of copies, whose hook is the same function


def test_classes_of_torch_are_restored():
    class Norm(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x)

    before = vars(nn.BatchNorm2d).get("forward"), torch.autograd.Function.apply
    Network.from_module(nn.Sequential(Norm(3)), (3, 4, 4))
    with pytest.raises(NasctlError):
        Network.from_module(nn.Sequential(Norm(5)), (3, 4, 4))
    assert (vars(nn.BatchNorm2d).get("forward"), torch.autograd.Function.apply) == before


def test_a_module_on_the_meta_device_is_compared_with_weights_that_are_drawn():
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    assert Network.from_module(module, (3, 8, 8)).params == 4 * 28 + 8 + 290


def test_a_norm_without_statistics_that_fails_for_one_example():
    traced(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.ReLU())[0:1], (4,))
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False))
    assert Network.from_module(module, (4,)).params == 28


def test_a_module_that_keeps_a_value_of_its_last_run():
    def keeps(self, x):
        self.last = self.a(x)
        return self.last * 2

    module = made(keeps, a=nn.Linear(4, 4))
    module(torch.randn(2, 4))
    last = module.last
    traced(module, (4,))
    assert Network.from_module(module, (4,)).params == 20
    assert last.grad_fn is not None


def test_nan_is_equal_to_nan():
    traced(made(lambda self, x: torch.log(x) / 0.0), (4,))


@pytest.mark.parametrize(
    "functions",
    [
        (lambda x: torch.where(x > 0, 1, 0) * x.long(), lambda x: torch.where(x > 0, 1.0, 0.0) * x.long()),
        (lambda x: torch.where(x > 0, True, False), lambda x: torch.where(x > 0, 1, 0)),
        (lambda x: torch.copysign(x, 0.0), lambda x: torch.copysign(x, -0.0)),
        (lambda x: x.round().long() * 2, lambda x: x.round().long() * 2.0),
    ],
)
def test_constants_that_python_holds_for_equal_are_different_layers(functions):
    networks = [traced(made(lambda self, x, call=call: call(self.a(x)).float(), a=nn.Linear(4, 4)), (4,))
                for call in (*functions, functions[0])]  # fmt: skip
    layers = [{node.layer for node in network.nodes} for network in networks]
    assert layers[0] == layers[2] != layers[1]
    assert layers[0] == {pickle.loads(pickle.dumps(layer)) for layer in layers[2]}


def test_long_chains_take_linear_time(monkeypatch):
    calls = []
    layout = Plan.layout
    monkeypatch.setattr(Plan, "layout", lambda self, record: calls.append(record) or layout(self, record))
    counts = []
    for number in (50, 100):
        calls.clear()
        Network.from_module(made(lambda self, x, n=number: [x := (x * 2).add_(1) for _ in range(n)][-1]), (4,))
        counts.append(len(calls))
    assert counts[1] <= 2.1 * counts[0]
