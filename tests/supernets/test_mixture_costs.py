"""Mixtures of every space that has them: parameters, multiply-accumulates, source and drawing are the module's."""

from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from nasctl import registry
from nasctl.drawing.network import network_svg
from nasctl.drawing.network_layout import lay_out
from nasctl.networks.layers import WeightedSum
from nasctl.networks.products import count_products
from nasctl.networks.python_source import source
from nasctl.problem.space import MixableSpace

QUICK = {"nb201": "channels=4,cells=1,resolution=8", "nbmacro": "resolution=8"}
SLOW = {
    "tnb101_micro": "channels=4,cells=1,resolution=32",
    "darts": "channels=4,cells=3,resolution=8",
    "fbnet": "resolution=8,cifar,width=0.5,head=16",
    "bossnas": "resolution=32",
}

SPECS = [
    *(f"{name}:{options},classes=3" for name, options in QUICK.items()),
    *(pytest.param(f"{name}:{options},classes=3", marks=pytest.mark.slow) for name, options in SLOW.items()),
]


def mixtures(space):
    """Return the mixture of all choices, one of some choices, and one of single choices with factors."""
    rng, genes = np.random.default_rng(1), space.genes
    some = [
        tuple(sorted(rng.choice(len(gene.choices), rng.integers(1, len(gene.choices) + 1), replace=False).tolist()))
        for gene in genes
    ]
    return [
        space.supernet([range(len(gene.choices)) for gene in genes]),
        space.supernet(some),
        space.supernet([(len(gene.choices) - 1,) for gene in genes], gated=True),
    ]


def test_every_space_with_mixtures_is_tested():
    spaces = registry.trusted("spaces")
    assert {name for name in spaces if isinstance(registry.load("spaces", name), MixableSpace)} == {*QUICK, *SLOW}


@pytest.mark.parametrize("spec", SPECS)
def test_costs_of_a_mixture_are_those_of_its_module(spec):
    space = registry.create("spaces", spec)
    for network in mixtures(space):
        seen = []
        with torch.device("meta"):
            module, examples = network.module().eval(), torch.zeros(2, *space.input.shape)
        for part in module.children():
            part.register_forward_hook(lambda part, inputs, out, seen=seen: seen.append(tuple(out.shape[1:])))
        assert count_products(module, (examples,)).macs == network.macs
        assert seen == 2 * [node.out_shape for node in network.nodes]  # the module runs on two batches
        assert sum(map(torch.numel, module.parameters())) == network.params


@pytest.mark.parametrize("spec", SPECS)
def test_the_source_of_a_mixture_is_its_module(spec):
    space = registry.create("spaces", spec)
    for network in mixtures(space):
        names = {"__name__": "mixture"}
        exec(source(network), names)
        module, rebuilt = network.module().eval(), names["Net"]().eval()
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                if name.endswith("factors"):
                    buffer.uniform_(-1, 1)
        rebuilt.load_state_dict(module.state_dict())
        given = torch.randn(2, *space.input.shape)
        torch.testing.assert_close(rebuilt(given), module(given), rtol=0, atol=0)


@pytest.mark.parametrize("spec", SPECS)
def test_the_drawing_of_a_mixture_shows_its_sums(spec):
    for network in mixtures(registry.create("spaces", spec)):
        boxes = lay_out(network)
        cells = sum(box.times * box.cell.values.count("+") for box in boxes if box.cell)
        alone = sum(box.times for box in boxes if box.lines == ("WeightedSum",))  # of one choice, behind its layers
        assert cells + alone >= sum(isinstance(node.layer, WeightedSum) for node in network.nodes) > 0
        root = ElementTree.fromstring(network_svg(network))
        assert len([one for one in root.iter() if one.tag.endswith("text")]) > len(boxes)
