"""Networks of modules that were written without nasctl are exported in every format."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasctl.api import Input, Network
from nasctl.architectures.architecture import Architecture
from nasctl.export.export import export
from nasctl.export.model import Model


class Windows(nn.Module):
    """Shared weights, rows, constants of several types, parts inside functions and free weights."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.gamma = nn.Parameter(torch.rand(8))
        self.pos = nn.Parameter(torch.sin(torch.arange(32.0)).view(1, 4, 8), requires_grad=False)
        self.register_buffer("order", torch.randperm(4))
        self.register_buffer("mask", torch.tensor([True, False, True, True]))
        self.mlp, self.head = nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu_()
        x = x.view(len(x), 8, 2, 2, 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 8)
        x = self.mlp(F.gelu(self.mlp(x + self.pos))) * self.gamma
        x = x[:, self.order].masked_fill(~self.mask[:, None], 0.0)
        return self.head(x.view(-1, 4, 4, 8).mean((1, 2)) * self.gamma)


class FrameCounts(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn, self.lstm = (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)),
            nn.LSTM(4, 5, batch_first=True),
        )

    def forward(self, x):
        y = self.cnn(torch.stack(x.chunk(2, 2), 1).flatten(0, 1)).view(len(x), 2, 4)
        out, (h, c) = self.lstm(y)
        return out[:, -1] + h[0] * c[-1]


NAMES = ("block1-0", "re lu", "1x1", "a+b")
MODULES = {
    "windows": Windows,
    "frames": FrameCounts,
    "names": lambda: nn.Sequential(OrderedDict((name, nn.Conv2d(3, 3, 1)) for name in NAMES)),
}


@pytest.fixture(scope="module", params=MODULES)
def model(request):
    torch.manual_seed(0)
    network = Network.from_module(MODULES[request.param](), (3, 4, 4) if request.param != "frames" else (3, 8, 8))
    shape = network.input_shapes[0]
    described = Architecture("mine-0", "mine", (0,), {}, frozenset(), None, Input(shape), network)
    return Model(described, network.module().eval(), torch.randn(3, *shape))


def test_python_weights_and_json(model, tmp_path):
    paths = {name: tmp_path / f"mine.{name}" for name in ("python", "torch", "json")}
    assert all(file.difference.absolute < 1e-6 for file in export(model, paths).files.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm:UserWarning")
@pytest.mark.parametrize("name", ["pt2", "onnx"])
def test_programs(model, tmp_path, name):
    assert export(model, {name: tmp_path / f"mine.{name}"}).files[name].difference.relative < 1e-4
