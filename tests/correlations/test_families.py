"""Families of shipped spaces, of spaces that name theirs, and of networks of any module."""

import pytest
from torch import nn

from nasctl import registry
from nasctl.correlations.families import FAMILIES, default_task, family_of, layers_family
from nasctl.evaluation import ranges
from nasctl.networks.graph import Network
from nasctl.problem.defaults import TASKS
from nasctl.problem.space import Input

SHIPPED = {
    "cell": ("nb101", "nb201", "tnb101_micro", "darts"),
    "skeleton": ("nbmacro", "nats_size", "resnet", "tnb101_macro"),
    "mobile": ("mbconv", "proxyless", "fbnet", "mnasnet", "bignas", "attentivenas", "bossnas"),
    "vision transformer": ("vit", "hytra"),
    "text encoder": ("bert", "flexibert"),
    "recurrent": ("rnn",),
}


def family(spec):
    space = registry.create("spaces", spec)
    return family_of(space, space.network(ranges.sample(space, 1)[0]))


def test_every_shipped_space_has_its_family():
    found = {name: family(name) for name in registry.names_without_options("spaces")}
    assert found == {name: one for one, names in SHIPPED.items() for name in names}
    assert set(found.values()) == FAMILIES.keys()


def test_every_genome_of_a_space_has_the_family_of_the_space():
    for name in ("hytra", "fbnet", "bert"):
        space = registry.create("spaces", name)
        assert len({family_of(space, space.network(genome)) for genome in ranges.sample(space, 8)}) == 1


def test_a_space_names_its_family():
    class Named:
        family = "graph"

    assert family_of(Named(), None) == "graph"


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.mix(x, x, x, need_weights=False)[0].mean(1)


@pytest.mark.parametrize(
    ("module", "side", "expected"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1, groups=8)), 224, "mobile"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1, groups=8)), 32, "skeleton"),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), 224, "skeleton"),
        (Attending(), 32, "vision transformer"),
    ],
)
def test_the_layers_of_a_module_tell_its_family(module, side, expected):
    shape = (3, side, side)
    assert layers_family(Input(shape), Network.from_module(module, shape)) == expected


def test_every_family_has_a_usual_task():
    assert {default_task(one) for one in FAMILIES} == {"classification", "language"} <= set(TASKS)
