"""Values without the batch in front: recurrent layers, time first, windows, and layers on tables."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from tracing import made, traced

from nasctl.networks.torch_layers import Repeated


def first(self, x):
    return self.a(x)[0][:, -1]


def states(self, x):
    _, (h, c) = self.a(x)
    return torch.cat((h[-1], h[-2], c[0]), 1)


def all_outputs(self, x):
    out, (h, c) = self.a(x)
    return out.mean(1) + torch.cat((h[0], h[1]), 1) * torch.cat((c[-2], c[-1]), 1)


def initial_state(self, x):
    zero = torch.zeros(4, x.size(0), 5)
    return self.a(x, (zero, zero + 1))[0]


def time_first(self, x):
    out, (h, _) = self.a(x.permute(1, 0, 2))
    return out[-1] + h[0].repeat(1, 2)


LSTMS = [first, states, all_outputs, initial_state, time_first]


@pytest.mark.parametrize("forward", LSTMS)
def test_lstm(forward):
    layer = nn.LSTM(4, 5, 2, bidirectional=True, batch_first=forward is not time_first)
    network = traced(made(forward, a=layer), (6, 4))
    assert network.macs == 6 * 2 * 4 * 5 * (4 + 5 + 10 + 5)


@pytest.mark.parametrize(
    ("layer", "forward"),
    [
        (nn.GRU(4, 5, batch_first=True), lambda self, x: self.a(x)[1][-1]),
        (nn.GRU(4, 5), lambda self, x: self.a(x.transpose(0, 1))[1].squeeze(0)),
        (nn.RNN(4, 5, nonlinearity="relu"), lambda self, x: self.a(x.transpose(0, 1))[0].transpose(0, 1)),
        (nn.LSTM(4, 5, proj_size=3, batch_first=True), lambda self, x: self.a(x)[0]),
    ],
)
def test_other_recurrent_layers(layer, forward):
    traced(made(forward, a=layer), (6, 4))


def test_an_lstm_over_many_steps_is_one_layer():
    network = traced(made(first, a=nn.LSTM(8, 8, 2, batch_first=True, bidirectional=True)), (512, 8))
    assert len(network.nodes) == 2
    assert network.macs == 512 * 2 * 4 * 8 * (8 + 8 + 16 + 8)


class Attends(nn.Module):
    def __init__(self, forward, **options):
        super().__init__()
        self.attn, self.run = nn.MultiheadAttention(8, 2, **options), forward

    def forward(self, x):
        return self.run(self, x)


def masked(self, x):
    mask = torch.triu(torch.ones(x.shape[1], x.shape[1]), 1).bool()
    return self.attn(x, x, x, attn_mask=mask, need_weights=False)[0]


def padded(self, x):
    padding = torch.zeros(x.shape[:2], dtype=torch.bool)
    padding[:, -1] = True
    return self.attn(x, x, x, key_padding_mask=padding)[0]


def weights_too(self, x):
    out, weights = self.attn(x, x, x)
    return weights @ out


def in_time_first(self, x):
    x = x.transpose(0, 1)
    return self.attn(x, x, x)[0].transpose(0, 1)


@pytest.mark.parametrize("forward", [masked, padded, weights_too, in_time_first])
def test_attention(forward):
    network = traced(Attends(forward, batch_first=forward is not in_time_first), (5, 8))
    products = 2 * 5 * 5 * 8 + (5 * 5 * 8 if forward is weights_too else 0)
    assert network.macs == 4 * 5 * 8 * 8 + products


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformers(batch_first, norm_first):
    options = {"batch_first": batch_first, "norm_first": norm_first, "dropout": 0.1}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", **options), 2)
    parts = {"encoder": encoder, "decoder": nn.TransformerDecoderLayer(8, 2, 16, **options), "q": nn.Embedding(3, 8)}

    def forward(self, x):
        queries = self.q.weight.unsqueeze(0).repeat(x.shape[0], 1, 1)
        if not batch_first:
            x, queries = x.transpose(0, 1), queries.transpose(0, 1)
        out = self.decoder(queries, self.encoder(x))
        return out if batch_first else out.transpose(0, 1)

    traced(made(forward, **parts), (4, 8))


def windows(self, x):
    batch, height, width, size = x.shape
    x = x.view(batch, height // 2, 2, width // 2, 2, size).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, size)
    x = self.norm(x)
    x = self.proj(F.scaled_dot_product_attention(*self.qkv(x).chunk(3, -1))) + self.attn(x, x, x)[0]
    x = x.view(batch, height // 2, width // 2, 2, 2, size).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height, width, size)


def test_windows_are_parts_of_an_example():
    parts = {
        "norm": nn.LayerNorm(8), "qkv": nn.Linear(8, 24), "proj": nn.Linear(8, 8),
        "attn": nn.MultiheadAttention(8, 2, batch_first=True),
    }  # fmt: skip
    network = traced(made(windows, **parts), (4, 6, 8))
    assert sum(isinstance(node.layer, Repeated) for node in network.nodes) == 1


class Frames(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.lstm = nn.LSTM(4, 5)

    def forward(self, x):
        batch, frames = x.shape[:2]
        y = self.cnn(x.flatten(0, 1)).view(batch, frames, -1)
        return self.lstm(y.transpose(0, 1))[0][-1]


def test_a_network_for_each_frame():
    network = traced(Frames(), (3, 3, 6, 6))
    assert network.macs == 3 * (4 * 3 * 9 * 16 + 4 * 5 * 9)
    assert [node.name for node in network.nodes if isinstance(node.layer, Repeated)] == ["cnn.0", "cnn.1", "cnn.3"]


TABLES = {
    "mlp": lambda self, x: x + self.b(torch.relu(self.a(torch.arange(12.0).view(3, 4)))),
    "mlp used twice": lambda self, x: (lambda t: (x + t) * t.mean())(self.a(torch.arange(12.0).view(3, 4))),
    "weights mixed": lambda self, x: (lambda m: x * m[0] + self.a(x) * m[1])(self.b.bias.softmax(0)),
    "convolution of a table": lambda self, x: x + self.c(self.b.weight.view(1, 4, 4))[..., :4],
}


@pytest.mark.parametrize("said", TABLES)
def test_layers_on_values_that_do_not_depend_on_the_input(said):
    names = TABLES[said].__code__.co_names + tuple(
        n for c in TABLES[said].__code__.co_consts if hasattr(c, "co_names") for n in c.co_names
    )
    parts = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Conv1d(4, 3, 3, padding=1)}
    network = made(TABLES[said], **{name: part for name, part in parts.items() if name in names})
    if "bias" in names or "weight" in names:
        for name, parameter in network.named_parameters():
            if name in ("b.weight", "b.bias") and name.partition(".")[2] not in names:
                parameter.requires_grad_(False)
    traced(network, (3, 4))


TOKENS = {
    "one hot": lambda self, x: self.a(F.one_hot(x, 7).float()),
    "look-up of a parameter": lambda self, x: self.a.weight[x],
    "bag": lambda self, x: self.e(x),
    "embedding and positions": lambda self, x: self.t(x) + self.p(torch.arange(x.shape[1])) * (x != 0).unsqueeze(-1),
}


@pytest.mark.parametrize("said", TOKENS)
def test_integer_inputs(said):
    parts = {
        "a": nn.Linear(7, 7, bias="one" in said),
        "e": nn.EmbeddingBag(7, 3),
        "t": nn.Embedding(7, 3),
        "p": nn.Embedding(5, 3),
    }
    names = TOKENS[said].__code__.co_names
    traced(made(TOKENS[said], **{name: part for name, part in parts.items() if name in names}), (5,), tokens=7)
