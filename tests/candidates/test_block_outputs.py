"""The blocks of networks: what a space declares, and what follows from names and wiring."""

import math

import torch
from torch import nn

from nasctl import registry
from nasctl.api import Builder, Candidate, Classifier, Conv, Fidelity, Network, ReLU, Setting
from nasctl.candidates.block_outputs import map_positions
from nasctl.testing import drawn


def test_a_network_says_where_its_blocks_end():
    net = Builder((3, 4, 4))
    x = net.add(Conv(5), *net.inputs, name="a")
    y = net.add(Conv(5), x, name="b")
    z = net.add(ReLU(), y, name="c")
    out = net.add(Classifier(10), z, name="d")
    assert map_positions(net.build(out, block_ends=(z, y))) == [y, z]
    assert map_positions(net.build(out)) == [x, z]  # a ReLU belongs to the layer before


def test_edges_of_cells_are_no_blocks():
    for spec, stem, ends in (
        ("nats_size", "stem.norm", ["cell1.node3", "reduction1.add", "cell2.node3", "reduction2.add", "cell3.node3"]),
        ("darts:cells=4", "stem.norm", [f"cell{k}.output" for k in range(4)]),
    ):
        space = registry.create("spaces", spec)
        network = space.network(drawn(space, 1)[0])
        assert [network.nodes[place].name for place in map_positions(network)] == [stem, *ends]
        setting = Setting(fidelity=Fidelity(size=16, batch=4))
        given = Candidate(space, drawn(space, 1)[0], setting, frozenset({"features"}))
        assert math.isfinite(registry.create("objectives", "trainability")(given))


def test_blocks_of_a_traced_network_with_a_shortcut_end_with_additions():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
            self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 2)

        def forward(self, x):
            x = self.stem(x)
            for part in (self.a, self.b):
                x = x + torch.relu(part(x))
            return self.fc(self.norm(x).mean((2, 3)))

    network = Network.from_module(Residual(), (3, 8, 8))
    assert [network.nodes[place].name for place in map_positions(network)] == ["stem", "add", "norm"]
