"""Modules written without nasctl become networks that compute and cost the same, or a sentence that says why not."""

import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
from copy import deepcopy
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from paths import ROOT
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nasctl.api import BatchNorm, Conv, Linear, NasctlError, Network, ReLU
from nasctl.networks.python_source import source
from nasctl.testing import SpaceContract


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)  # twice in a pass, and without weights
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.Identity()) if stride > 1 else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.shortcut is not None:
            x = self.shortcut(x)
        y += x
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, 2, 3)
        self.layer1 = nn.Sequential(Residual(8, 8, 1), Residual(8, 16, 2))
        self.fc = nn.Linear(16, 10)

    def forward(self, x, scale=None):
        assert x.shape[1] == 3
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2, 1)
        x = F.adaptive_avg_pool2d(self.layer1(x), 1)
        return self.fc(F.dropout(x.view(x.size(0), -1), 0.5, self.training))


class Mobile(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 8, (3, 5), padding=(1, 2), groups=8), nn.Hardswish(),
            nn.Conv2d(8, 12, 3, dilation=2, groups=2), nn.PReLU(12), nn.GroupNorm(3, 12), nn.Dropout(0.2),
            nn.ConvTranspose2d(12, 4, 3, 2, output_padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        )  # fmt: skip


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        examples, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(examples, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.gamma * self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.blocks = nn.Conv2d(3, 16, 8, 8), nn.Sequential(Block(16, 2), Block(16, 4))
        self.cls, self.pos = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.zeros(1, 17, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(len(x), -1, -1), x), dim=1) + self.pos
        return self.head(self.blocks(x)[:, 0])


class Encoder(nn.Module):
    """Torch's own attention, and a recurrent layer behind it."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(50, 16), nn.Embedding(12, 16)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.lstm = nn.LSTM(16, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 5)

    def forward(self, tokens):
        _, length = tokens.size()
        x = math.sqrt(16) * self.tokens(tokens) + self.places(torch.arange(length, device=tokens.device))
        x, _ = self.lstm(self.encoder(x))
        return self.head(x.mean(1))


class GPT(nn.Module):
    """Attention that is written out, with a mask."""

    def __init__(self):
        super().__init__()
        self.tokens, self.qkv, self.head = nn.Embedding(50, 16), nn.Linear(16, 48), nn.Linear(16, 5)

    def forward(self, tokens):
        x = self.tokens(tokens)
        examples, length, width = x.size()
        q, k, v = (y.view(examples, length, 2, width // 2).transpose(1, 2) for y in self.qkv(x).split(width, dim=2))
        scores = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(k.size(-1)))
        seen = torch.tril(torch.ones(length, length, device=x.device))
        scores = F.softmax(scores.masked_fill(seen == 0, float("-inf")), dim=-1)
        return self.head((scores @ v).transpose(1, 2).contiguous().view(examples, length, width)[:, -1])


class GRU(nn.GRU):
    def forward(self, x):
        return super().forward(x)[0]


MODULES = {
    "resnet": (ResNet, (3, 32, 32)),
    "mobile": (Mobile, (3, 16, 16)),
    "vit": (ViT, (3, 32, 32)),
    "encoder": (Encoder, (12,)),
    "gpt": (GPT, (12,)),
}


def example(shape):
    return torch.randint(50, (3, *shape)) if len(shape) == 1 else torch.randn(3, *shape)


def moved(module, network):
    """The network's module with the weights of the other: by their names, and those of no layer in their order."""
    made, old = network.module(), {key.replace(".", "_"): value for key, value in module.state_dict().items()}
    plain = dict(module.state_dict())
    new = {}
    for key, value in made.state_dict().items():
        name = key.replace(".", "_").removeprefix("layer")
        name = name if name in old else key.replace(".", "_")
        if name not in old:
            name = next(k for k, v in plain.items() if k.endswith(key.rpartition(".")[2]) and v.shape == value.shape)
            name, _ = name.replace(".", "_"), plain.pop(name)
        else:
            plain = {k: v for k, v in plain.items() if k.replace(".", "_") != name}
        new[key] = old[name]
    made.load_state_dict(new)
    return made.eval()


@pytest.fixture(scope="module", params=MODULES)
def pair(request):
    kind, shape = MODULES[request.param]
    torch.manual_seed(0)
    module = kind()
    return module.eval(), Network.from_module(module, shape), shape


def test_computes_the_same(pair):
    module, network, shape = pair
    x = example(shape)
    torch.testing.assert_close(moved(module, network)(x), module(x))


def test_costs_what_the_module_and_torch_say(pair):
    module, network, shape = pair
    assert network.params == sum(map(torch.numel, module.parameters()))
    with FlopCounterMode(display=False) as counter:
        deepcopy(module).to("meta")(example(shape).to("meta"))
    assert counter.get_total_flops() == 2 * 3 * network.macs


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # fvcore still scripts and traces
@pytest.mark.filterwarnings("ignore:.*:torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_costs_what_fvcore_says(name):
    from fvcore.nn import FlopCountAnalysis

    kind, shape = MODULES[name]
    module, network = kind().eval(), Network.from_module(kind(), shape)
    found = FlopCountAnalysis(module, torch.randn(1, *shape)).unsupported_ops_warnings(False)
    counted = found.uncalled_modules_warnings(False).by_operator()
    attention = 2 * 17 * 17 * 16 * 2 if name == "vit" else 0  # two products in two blocks, which it does not see
    assert counted["conv"] + counted["linear"] + attention == network.macs


def test_can_be_written_as_source(pair):
    _, network, shape = pair
    names = {}
    exec(source(network, vocabulary=50 * (len(shape) == 1)), names)
    module, rebuilt = network.module().eval(), names["Net"]().eval()
    rebuilt.load_state_dict(module.state_dict())
    x = example(shape)
    assert torch.equal(rebuilt(x), module(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm:UserWarning")  # torch's own way with them
def test_can_be_exported_for_any_batch(pair):
    _, network, shape = pair
    module, x = network.module().eval(), example(shape)
    program = torch.export.export(module, (x[:2],), dynamic_shapes=(({0: torch.export.Dim("batch")},),))
    torch.testing.assert_close(program.module()(x), module(x))


def test_layers_that_nasctl_has_become_its_own():
    network = Network.from_module(ResNet(), (3, 32, 32))
    kinds = [type(node.layer) for node in network.nodes]
    assert {kind.__module__ for kind in kinds} == {"nasctl.networks.layers"}
    assert [kinds.count(kind) for kind in (Conv, BatchNorm, ReLU, Linear)] == [6, 4, 5, 1]
    assert network.nodes[4].name == "layer1.0.bn1"


def test_what_recurrent_layers_and_attention_cost():
    # Gates read input and state: 4 gates of 8, in 2 directions, over 12 tokens. Projections in and out, then products.
    lstm, attention = 12 * 2 * 4 * 8 * (16 + 8), 12 * 4 * 16 * 16 + 2 * 12 * 12 * 16
    costs = {node.name: node.layer.macs(*node.in_shapes) for node in Network.from_module(Encoder(), (12,)).nodes}
    assert (costs["lstm"], costs["encoder.self_attn"]) == (lstm, attention)
    assert Network.from_module(nn.Sequential(nn.Conv1d(4, 6, 3, 2, groups=2)), (4, 9)).macs == 6 * 2 * 3 * 4
    assert Network.from_module(nn.ConvTranspose2d(4, 6, 3), (4, 5, 5)).macs == 25 * 9 * 4 * 6


def module(forward, **parts):
    """A module with these parts."""
    made = type("Odd", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        made.register_buffer(name, part) if isinstance(part, torch.Tensor) else setattr(made, name, part)
    return made


REFUSED = {
    "branches on the values": module(lambda self, x: x if x.sum() > 0 else -x),
    "does not return one tensor": module(lambda self, x: (x, x)),
    "has no batch in front": module(lambda self, x: x.sum()),
    "changes table, a tensor of the module": module(lambda self, x: x + self.table.add_(1), table=torch.zeros(4)),
    "changes a value in place": module(lambda self, x: (y := x.chunk(2, 1), y[0].add_(1))[0][1] + x[:, :2]),
    "converts them to numbers of Python": module(lambda self, x: x * float(x.max())),
    "a.weight is of torch.float16": module(lambda self, x: self.a(x.half()), a=nn.Linear(4, 4).half()),
    "computes something else": module(lambda self, x: x * 2 if len(x) != 3 else x * 3),
    "its graph depends on the batch": module(lambda self, x: x if len(x) == 2 else (-x).abs()),
    "missing 1 required positional argument": module(lambda self, x, y: x + y),
    "must have same reduction dim": module(lambda self, x: self.a(x), a=nn.Linear(5, 4)),
}  # fmt: skip


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_traced_is_said(said):
    with pytest.raises(NasctlError) as error:
        Network.from_module(REFUSED[said], (4,))
    text = str(error.value)
    assert said in text
    assert text.startswith("Odd cannot be made a network: ")
    assert "\n" not in text


def hooked():
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda layer, given, out: 3 * out)
    return nn.Sequential(layer)


@pytest.mark.parametrize(
    ("odd", "shape"),
    [
        (module(lambda self, x: self.a(x)[:, 1:], a=nn.Linear(4, 4)), (2, 4)),  # not one of several outputs
        (hooked(), (2, 4)),
        (nn.Sequential(nn.LayerNorm((5, 5)), nn.Flatten(), nn.Unflatten(1, (5, 5))), (5, 5)),
        (nn.Sequential(nn.ConstantPad1d(1, -math.inf)), (4, 4)),
        (module(lambda self, x: torch.cat([x], 1)), (4,)),
        (module(lambda self, x: x + F.relu(self.a(x), inplace=True), a=nn.BatchNorm2d(3)), [3, 4, 4]),
    ],
)
def test_what_is_easily_mistaken(odd, shape):
    x, network, names = example(tuple(shape)), Network.from_module(odd, shape), {}
    exec(source(network), names)
    made = moved(odd.eval(), network)
    rebuilt = names["Net"]().eval()
    rebuilt.load_state_dict(made.state_dict())
    torch.testing.assert_close(made(x), odd(x))
    assert torch.equal(rebuilt(x), made(x))


def test_the_module_is_left_alone():
    module = Mobile()
    before = deepcopy(module.state_dict())
    assert Network.from_module(module, (3, 16, 16)) == Network.from_module(module, (3, 16, 16))
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.fixture(scope="module")
def mynet(tmp_path_factory):
    """The worked example of docs/spaces.md, installed as its page says: the folder that it is in."""
    page = (ROOT / "docs" / "spaces.md").read_text().partition("## A space of your own")[2]
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL))
    folder, about = tmp_path_factory.mktemp("mynet"), tomllib.loads(blocks["toml"])["project"]
    (folder / "mynet.py").write_text(blocks["python"])
    info = folder / "mynet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    points = "\n".join(f"{name} = {value}" for name, value in about["entry-points"]["nasctl.spaces"].items())
    (info / "entry_points.txt").write_text(f"[nasctl.spaces]\n{points}\n")
    (folder / "commands").write_text(blocks["console"])
    return folder


class TestMyNet(SpaceContract):
    @pytest.fixture
    def space(self, mynet, monkeypatch):
        monkeypatch.syspath_prepend(mynet)
        return import_module("mynet").MyNet()


@pytest.mark.slow  # three processes, one of which searches
def test_the_commands_of_the_worked_example(mynet, tmp_path):
    for line in (mynet / "commands").read_text().replace("--budget 40", "--budget 8").splitlines():
        words = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(mynet)}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert {path.suffix for path in tmp_path.iterdir()} == {".db", ".onnx", ".png", ".py"}
