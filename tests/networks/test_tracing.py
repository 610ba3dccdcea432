"""Modules as people write them become networks that compute the same."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.utils.checkpoint import checkpoint
from tracing import made, traced

from nasctl.api import BatchNorm, Conv, Linear, Network


def linear(inputs=4, outputs=4):
    return nn.Linear(inputs, outputs)


def out_of_place(self, x):
    z = x * 1
    torch.add(z, 1, out=z)
    return z


def in_place_on_a_slice(self, x):
    y = x * 1
    y[:, :2] += 1
    y[:, 3] = x[:, 0]
    return y * y.sum()


def in_place_on_a_view(self, x):
    y = x * 1
    y.view(-1, 2, 2).mul_(2).add_(1)
    return y + x


def in_place_and_returned(self, x):
    y = self.a(x)
    z = y.view(-1, 2, 2)
    y.relu_().clamp_(max=0.5)
    return z.flatten(1) + y


def filled(self, x):
    out = torch.zeros(x.shape[0], 6)
    out[:, :4] = self.a(x)
    out[:, 4:] = x[:, :2]
    return out


def masked(self, x):
    y = x.clone()
    y.masked_fill_(y > 0, 3.0).neg_()
    return F.threshold(y, 0.1, 20.0, inplace=True)


IN_PLACE = [out_of_place, in_place_on_a_slice, in_place_on_a_view, in_place_and_returned, filled, masked]


@pytest.mark.parametrize("forward", IN_PLACE)
def test_changes_in_place_are_values_of_their_own(forward):
    parts = {"a": linear()} if "a" in forward.__code__.co_names else {}
    traced(made(forward, **parts), (4,))


ODD_NAMES = ("block1-0", "re lu", "1x1", "a+b", "class", "½", "naïve", "block1_0", "forward_", "x" * 80)


def test_names_that_are_no_identifiers():
    blocks = OrderedDict((name, nn.Conv2d(3, 3, 1)) for name in ODD_NAMES)
    network = traced(nn.Sequential(blocks), (3, 5, 5))
    attributes = [node.name.replace(".", "_") for node in network.nodes]
    assert len(set(attributes)) == len(ODD_NAMES)
    assert all(name.isidentifier() for name in attributes)


TUPLES = {
    "cat of chunks": lambda self, x: torch.cat(torch.chunk(x, 2, 1), 1),
    "reversed": lambda self, x: torch.cat(x.chunk(2, 1)[::-1], dim=1),
    "stack of unbind": lambda self, x: torch.stack(x.unbind(1), 2),
    "slice of split": lambda self, x: torch.cat(torch.split(x, 2, 1)[1:3], 1),
    "list built in a loop": lambda self, x: torch.cat([part * k for k, part in enumerate(x.split(3, 1))], 1),
    "star": lambda self, x: torch.einsum("bchw,bdhw->bcd", *x.chunk(2, 1)),
    "sum of a list": lambda self, x: sum(x.chunk(4, 1)),
    "named tuple": lambda self, x: torch.cat((x.max(1).values, x.min(dim=1)[1].float()), 1),
    "sizes": lambda self, x: torch.cat(x.split([1, 3, 4], dim=1)[1:], 1),
    "meshgrid": lambda self, x: x + sum(torch.meshgrid(torch.arange(4.0), torch.ones(4), indexing="ij")),
}


@pytest.mark.parametrize("said", TUPLES)
def test_tuples_go_whole_from_one_function_to_another(said):
    traced(made(TUPLES[said]), (8, 4, 4))


class PlainNorm(nn.BatchNorm2d):
    pass


class NormAct(nn.BatchNorm2d):
    def forward(self, x):
        return F.relu(super().forward(x))


class FunctionalNormAct(nn.BatchNorm2d):
    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.SiLU()

    def forward(self, x):
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
        training = self.training or (self.running_mean is None and self.running_var is None)
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, 0.1 if training else 0.0, self.eps
        )
        return self.act(x)


class ChannelNorm(nn.LayerNorm):
    def forward(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps).permute(
            0, 3, 1, 2
        )


class FrozenNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x):
        scale = (self.weight * (self.running_var + 1e-5).rsqrt()).reshape(1, -1, 1, 1)
        return x * scale + self.bias.reshape(1, -1, 1, 1) - self.running_mean.reshape(1, -1, 1, 1) * scale


NORMS = {PlainNorm: 8, NormAct: 8, FunctionalNormAct: 8, ChannelNorm: 8, FrozenNorm: 0}


@pytest.mark.parametrize("kind", NORMS)
def test_subclasses_of_norms(kind):
    network = traced(nn.Sequential(nn.Conv2d(3, 4, 1), kind(4)), (3, 8, 8))
    assert network.params == 16 + NORMS[kind]
    norms = [node for node in network.nodes if isinstance(node.layer, BatchNorm)]
    assert len(norms) == issubclass(kind, nn.BatchNorm2d)


class SameConv(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


class StandardConv(nn.Conv2d):
    def forward(self, x):
        mean, var = self.weight.mean((1, 2, 3), keepdim=True), self.weight.var((1, 2, 3), keepdim=True)
        return self._conv_forward(x, (self.weight - mean) / (var + 1e-5).sqrt(), self.bias)


class PaddedConv(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(F.pad(x, (1, 1, 1, 1)), weight, bias)


class ScaledLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Gru(nn.GRU):
    def forward(self, x):
        return super().forward(x)[0][:, -1]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (SameConv(3, 4, 2, 2), (3, 8, 8)),
        (StandardConv(3, 4, 3), (3, 8, 8)),
        (PaddedConv(3, 4, 3), (3, 8, 8)),
        (ScaledLinear(4, 3), (4,)),
        (Gru(4, 3, batch_first=True), (5, 4)),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (4,)),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), (4,)),
    ],
)
def test_subclasses_of_layers_with_a_forward_of_their_own(layer, shape):
    traced(nn.Sequential(layer, nn.ReLU()), shape)


def test_functions_with_parameters_are_layers():
    network = traced(nn.Sequential(SameConv(3, 4, 2, 2), nn.Flatten(), ScaledLinear(64, 3)), (3, 8, 8))
    layers = {node.name: node.layer for node in network.nodes}
    assert layers["layer0"] == Conv(4, 2, 2, bias=True)
    assert layers["layer2"] == Linear(3)


def drop_path(x, p, training):
    return x if not training or p == 0 else x * torch.empty(x.shape[0], 1).bernoulli_(1 - p) / (1 - p)


def helper(x, scale):
    return checked(x) * scale


def checked(x):
    assert isinstance(x, torch.Tensor)
    if type(x) is not torch.Tensor or torch.jit.is_scripting():
        raise TypeError(x)
    torch._assert(x.shape[1] == 4, "four")
    return x


fx.wrap("drop_path")
fx.wrap("helper")


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return grad * gate * (1 + x * (1 - gate))


PYTHON = {
    "wrapped": lambda self, x: helper(x, 2) + drop_path(self.a(x), 0.2, self.training),
    "checkpoint": lambda self, x: (
        checkpoint(self.a, x, use_reentrant=False) + checkpoint(self.a, x, use_reentrant=True)
    ),
    "custom function": lambda self, x: Swish.apply(self.a(x)),
    "no_grad of shapes": lambda self, x: self.a(x) * len(x.shape) + x.size(-1) // 2,
    "constants": lambda self, x: self.a(x) * torch.arange(4) + torch.ones(1, 4, dtype=torch.float64).float(),
    "values of constants": lambda self, x: self.a(x) * sum(torch.linspace(0, 1, 3).tolist()),
    "with the batch": lambda self, x: self.a(x) + torch.zeros(x.size(0), 1) + x.new_ones(len(x), 4),
    "mean over the batch": lambda self, x: self.a(x) - x.mean(0) / x.shape[0],
    "device": lambda self, x: self.a(x.to(x.device)) if x.device.type == "cpu" and x.is_cpu else x,
    "constant masks": lambda self, x: (
        self.a(x)[:, torch.arange(4) > 1] * x[:, torch.tensor([True, False, True, False])]
    ),
    "detach": lambda self, x: self.a(x) + (x - x.detach()),
    "fft": lambda self, x: torch.fft.fft(self.a(x)).real,
    "einops": lambda self, x: self.a(x).reshape(x.shape[0], 2, -1).permute(0, 2, 1).reshape(len(x), -1),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")  # torch's checkpoints
@pytest.mark.parametrize("said", PYTHON)
def test_python_of_forward(said):
    traced(made(PYTHON[said], a=linear()), (4,))


def jitted(x):
    return x * torch.sigmoid(x)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("after", [lambda x: x, F.relu_, lambda x: x.view(-1, 2, 8) + torch.ones(1)])
def test_what_the_recorder_does_not_see_is_traced_by_torch_export(after):
    function = torch.jit.script(jitted)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 16)
            self.register_buffer("scale", torch.rand(16))

        def forward(self, x):
            x = function(self.norm(self.conv(x)))
            return after(self.fc(F.layer_norm(x.flatten(1), (16,))) * self.scale)

    network = traced(Model(), (3, 4, 4))
    assert network.macs == 4 * 27 * 4 + 256
    assert BatchNorm() in [node.layer for node in network.nodes]


class Positions(nn.Module):
    def __init__(self, trained):
        super().__init__()
        self.pos = nn.Parameter(torch.sin(torch.arange(48.0)).view(1, 6, 8), requires_grad=trained)

    def forward(self, x):
        return x + self.pos


class MaskedConv(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4, 3)
        self.mask = nn.Parameter((torch.arange(108) % 3 == 0).float().view(4, 3, 3, 3), requires_grad=False)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias)


def table(self, x):
    bias = self.table[self.index.view(-1)].view(3, 3, -1).permute(2, 0, 1)
    return (x @ x.transpose(1, 2)).unsqueeze(1) + bias + self.mask


CONSTANTS = {
    "frozen": (Positions(False), (6, 8)),
    "trained": (Positions(True), (6, 8)),
    "mask of a layer": (nn.Sequential(MaskedConv(), nn.ReLU()), (3, 5, 5)),
    "buffer": (made(lambda self, x: x * self.scale, scale=torch.rand(4)), (4,)),
    "attribute": (made(lambda self, x: x * self.values[0], values=[torch.rand(4, dtype=torch.float64).float()]), (4,)),
    "numbers in forward": (made(lambda self, x: x * torch.tensor([1.0, 2.5, -1e-30, 4e20])), (4,)),
    "types": (
        made(
            lambda self, x: x[:, self.i] * self.b + self.d.float() + self.n.nan_to_num(),
            i=torch.tensor([3, 1]), b=torch.tensor([True, False]), d=torch.rand(2, dtype=torch.float64),
            n=torch.tensor([float("nan"), float("inf")]),
        ),
        (4,),
    ),
    "empty and scalar": (made(lambda self, x: x * self.s + self.e.sum(), s=torch.tensor(3.0), e=torch.empty(0)), (4,)),
    "relative positions": (
        made(table, table=nn.Parameter(torch.rand(5, 2)), index=torch.arange(9).view(3, 3) % 5, mask=torch.rand(3, 3)),
        (3, 8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("said", CONSTANTS)
def test_frozen_parameters_and_buffers_keep_their_values(said):
    module, shape = CONSTANTS[said]
    network = traced(module, shape)
    assert "Constant" not in str(network.module().state_dict().keys())


def test_a_frozen_mask_of_a_layer_is_no_parameter():
    assert traced(MaskedConv(), (3, 5, 5)).params == 112


def test_networks_with_other_constants_are_not_equal():
    networks = [traced(made(lambda self, x: x * self.a, a=torch.full((4,), value)), (4,)) for value in (1.0, 1.0, 2.0)]
    assert networks[0] == networks[1] != networks[2]
    assert networks[0].spans[0].emission.key != networks[2].spans[0].emission.key


def test_a_module_that_is_all_frozen_is_no_module_of_constants():
    module = nn.Sequential(Positions(True), nn.Linear(8, 4)).requires_grad_(False)
    network = Network.from_module(module, (6, 8))
    assert network.params == 48 + 36
    parameters = list(network.module().parameters())
    assert all(parameter.requires_grad for parameter in parameters)
    assert torch.equal(parameters[0], module[0].pos)


SHARED = {
    "a layer twice": lambda self, x: self.a(torch.relu(self.a(x))),
    "a layer in a loop": lambda self, x: [x := torch.tanh(self.a(x)) for _ in range(4)][-1],
    "weights in functions": lambda self, x: self.a(x) + F.linear(x, self.a.weight),
    "weight of a function twice": lambda self, x: (x * self.g).relu() * self.g,
    "tied transposed": lambda self, x: torch.relu(self.a(x)) @ self.a.weight,
    "a norm twice": lambda self, x: self.n(torch.relu(self.n(x))),
}


@pytest.mark.parametrize("said", SHARED)
def test_shared_weights_are_shared_in_the_network(said):
    names = SHARED[said].__code__.co_names
    every = {"a": linear(), "n": nn.BatchNorm1d(4), "g": nn.Parameter(torch.rand(4))}
    parts = {name: part for name, part in every.items() if name in names or (said.endswith("loop") and name == "a")}
    network = traced(made(SHARED[said], **parts), (4,))
    module = network.module()
    module(torch.randn(3, 4)).sum().backward()
    assert len(list(module.children())) == len(network.nodes)
    assert set(module.state_dict()) >= {name for name, _ in module.named_parameters()}


class TiedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.cell = nn.Embedding(11, 6), nn.LSTMCell(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        state, outputs = None, []
        for x in self.tokens(tokens).unbind(1):
            state = self.cell(x, state)
            outputs.append(self.head(state[0]))
        return torch.stack(outputs, 1)


def test_tied_embeddings_and_a_cell_in_a_loop():
    network = traced(TiedLanguageModel(), (5,), tokens=11)
    assert network.macs == 5 * (2 * 4 * 36 + 66)
