"""Small networks with one layer of each kind, for tests of metrics. Each is a module with weights named here."""

from copy import copy

import torch
import torch.nn.functional as F
from torch import nn

from nasctl.api import Fidelity, Gene, Input, Network
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.registry import create

SHAPE = (3, 8, 8)
CLASSES = 4
SETTING = Setting(fidelity=Fidelity(batch=6))


class ModuleSpace:
    """A space of one network, traced from a module; `change` may mend the network."""

    def __init__(self, build, shape=SHAPE):
        self.input, self.genes, self._build = Input(shape), (Gene("one", (0,)),), build

    def canonical(self, genome):
        return genome

    def network(self, genome):
        return Network.from_module(self._build(), self.input.shape)

    def reduced(self, fidelity):
        return copy(self)


def scores(build, *metrics, shape=SHAPE, setting=SETTING):
    """Return the value or the error of each metric, by name."""
    space = build if hasattr(build, "network") else ModuleSpace(build, shape)
    task = Task(space, {name: create("objectives", name) for name in metrics}, setting)
    found = measure(task, (0,), {name: name for name in metrics})
    return {name: one.error if one.value is None else one.value for name, one in found.items()}


def candidate(build, *needs, shape=SHAPE, setting=SETTING):
    return Candidate(ModuleSpace(build, shape), (0,), setting, frozenset({"module", *needs}))


class Tail(nn.Module):
    """A layer between a stem and a classifier of maps."""

    def __init__(self, layer, channels, act=None):
        super().__init__()
        self.stem, self.layer, self.act = nn.Conv2d(3, 6, 3, padding=1), layer, act or nn.ReLU()
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x):
        return self.fc(self.act(self.layer(self.act(self.stem(x)))).flatten(2).mean(2))


class Rows(nn.Module):
    """A layer on the rows of a map as a sequence, (B, T, D)."""

    def __init__(self, layer, width=6):
        super().__init__()
        self.stem, self.layer, self.fc = nn.Conv2d(3, 6, 3, padding=1), layer, nn.Linear(width, CLASSES)

    def sequence(self, x):
        return F.relu(self.stem(x)).flatten(2).transpose(1, 2)

    def forward(self, x):
        return self.fc(self.layer(self.sequence(x)).mean(1))


class Attending(Rows):
    def __init__(self):
        super().__init__(nn.MultiheadAttention(6, 2, batch_first=True))

    def forward(self, x):
        x = self.sequence(x)
        return self.fc(self.layer(x, x, x, need_weights=False)[0].mean(1))


class Recurrent(Rows):
    def forward(self, x):
        return self.fc(self.layer(self.sequence(x))[0].mean(1))


class Paired(Rows):
    def __init__(self):
        super().__init__(nn.Bilinear(6, 6, 5), 5)

    def forward(self, x):
        x = self.sequence(x)
        return self.fc(self.layer(x, x).mean(1))


class Free(nn.Module):
    """A parameter that a function multiplies with a map."""

    def __init__(self, way):
        super().__init__()
        self.stem, self.fc, self.way = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(5, CLASSES), way
        self.kernel = nn.Parameter(torch.randn(5, 6, 3, 3) if way == "conv2d" else torch.randn(5, 6))

    def forward(self, x):
        x = F.relu(self.stem(x))
        if self.way == "conv2d":
            return self.fc(F.conv2d(x, self.kernel, padding=1).mean((2, 3)))
        x = x.flatten(2).transpose(1, 2)
        if self.way == "linear":
            x = F.linear(x, self.kernel)
        elif self.way == "matmul":
            x = x @ self.kernel.t()
        else:
            x = torch.einsum("btd,od->bto", x, self.kernel)
        return self.fc(x.mean(1))


class Volume(nn.Module):
    """Three-dimensional layers on an image as a volume of one channel."""

    def __init__(self, layer):
        super().__init__()
        self.stem, self.layer, self.fc = nn.Conv2d(3, 6, 3, padding=1), layer, nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.fc(F.relu(self.layer(F.relu(self.stem(x)).unsqueeze(1))).flatten(2).mean(2))


class Line(nn.Module):
    """One-dimensional layers on the flattened map."""

    def __init__(self, layer):
        super().__init__()
        self.stem, self.layer, self.fc = nn.Conv2d(3, 6, 3, padding=1), layer, nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.fc(F.relu(self.layer(F.relu(self.stem(x)).flatten(2))).mean(2))


# Networks by the kind of their middle layer, with the layer's weights.
NETWORKS = {
    "Conv2d": (lambda: Tail(nn.Conv2d(6, 5, 3, padding=1), 5), ["weight"]),
    "rectangular": (lambda: Tail(nn.Conv2d(6, 5, (1, 3), padding=(0, 1)), 5), ["weight"]),
    "Conv1d": (lambda: Line(nn.Conv1d(6, 5, 3, 2)), ["weight"]),
    "Conv3d": (lambda: Volume(nn.Conv3d(1, 5, 3, padding=1)), ["weight"]),
    "ConvTranspose1d": (lambda: Line(nn.ConvTranspose1d(6, 5, 3, 2)), ["weight"]),
    "ConvTranspose2d": (lambda: Tail(nn.ConvTranspose2d(6, 5, 2, 2), 5), ["weight"]),
    "ConvTranspose3d": (lambda: Volume(nn.ConvTranspose3d(1, 5, 2, 2)), ["weight"]),
    "grouped ConvTranspose2d": (lambda: Tail(nn.ConvTranspose2d(6, 4, 2, 2, groups=2), 4), ["weight"]),
    "Linear": (lambda: Rows(nn.Linear(6, 5), 5), ["weight"]),
    "Bilinear": (Paired, ["weight"]),
    "MultiheadAttention": (Attending, ["in_proj_weight", "out_proj.weight"]),
    "LSTM": (lambda: Recurrent(nn.LSTM(6, 6, batch_first=True)), ["weight_ih_l0", "weight_hh_l0"]),
    "GRU": (lambda: Recurrent(nn.GRU(6, 6, batch_first=True)), ["weight_ih_l0", "weight_hh_l0"]),
    "RNN": (lambda: Recurrent(nn.RNN(6, 6, batch_first=True)), ["weight_ih_l0", "weight_hh_l0"]),
    "F.conv2d": (lambda: Free("conv2d"), ["weight"]),
    "F.linear": (lambda: Free("linear"), ["weight"]),
    "@": (lambda: Free("matmul"), ["kernel"]),
    "einsum": (lambda: Free("einsum"), ["kernel"]),
}
