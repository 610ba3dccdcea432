"""Known answers about the ResNet-50 space of Once-for-All."""

from math import prod

import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.api import BadOption, Fidelity
from nasctl.spaces.resnet import CHOICES, MIDDLE, OUTER
from nasctl.testing import drawn

WIDTHS, EXPANSIONS = (0.65, 0.8, 1.0), (0.2, 0.25, 0.35)
LEAST = (2, 2, 4, 2)  # blocks of the stages


@pytest.fixture(scope="module")
def space():
    return registry.create("spaces", "resnet")


def once_for_all(space, d, e, w):
    """The genome of what `OFAResNets.set_active_subnet(d, e, w)` sets: depths (5,), expansions (18,), widths (6,)."""
    choices = {"stem.depth": d[0] // 2, "stem.middle.width": w[0], "stem.width": w[1]}
    for stage in range(4):
        choices |= {f"stage{stage + 1}.depth": d[stage + 1], f"stage{stage + 1}.width": w[stage + 2]}
    places = [(stage, place) for stage in range(4) for place in range(LEAST[stage] + 2)]
    for (stage, place), expand in zip(places, e, strict=True):
        choices[f"stage{stage + 1}.{place}.expand"] = EXPANSIONS.index(expand)
    return tuple(choices[gene.name] for gene in space.genes)


def named(space, genome):
    return {gene.name: gene.choices[choice] for gene, choice in zip(space.genes, genome, strict=True)}


def divisible(value):
    """Once-for-All's own rounding of channels, to multiples of 8."""
    nearest = max(8, int(value + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * value else nearest


class Reference(nn.Module):
    """Once-for-All's network (ofa_resnets.py and ResNetBottleneckBlock), written anew from a genome's choices."""

    def __init__(self, genes, classes=1000):
        super().__init__()
        outer = divisible(64 * genes["stem.width"])
        middle = divisible(divisible(64 * genes["stem.middle.width"]) // 2)
        self.first, self.last = self.layer(3, middle, 3, 2), self.layer(middle, outer, 3)
        self.middle = self.layer(middle, middle, 3) if genes["stem.depth"] else None
        blocks, channels = [], outer
        for stage, base in enumerate((256, 512, 1024, 2048)):
            width = divisible(base * genes[f"stage{stage + 1}.width"])
            for place in range(LEAST[stage] + genes[f"stage{stage + 1}.depth"]):
                inner = divisible(round(width * genes[f"stage{stage + 1}.{place}.expand"]))
                stride = 2 if stage and not place else 1
                convs = [self.layer(channels, inner, 1), self.layer(inner, inner, 3, stride)]
                parts = [nn.Sequential(*convs, *self.layer(inner, width, 1)[:2])]
                if not place:
                    pool = nn.AvgPool2d(stride, stride, ceil_mode=True)
                    parts += [nn.Sequential(pool, *self.layer(channels, width, 1)[:2])]
                blocks.append(nn.ModuleList(parts))
                channels = width
        self.blocks, self.classifier = nn.ModuleList(blocks), nn.Linear(channels, classes)

    @staticmethod
    def layer(start, stop, kernel, stride=1):
        conv = nn.Conv2d(start, stop, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(stop), nn.ReLU())

    def forward(self, x):
        x = self.first(x)
        x = self.middle(x) + x if self.middle else x
        x = nn.functional.max_pool2d(self.last(x), 3, 2, 1)
        for body, *shortcut in self.blocks:
            x = (body(x) + (shortcut[0](x) if shortcut else x)).relu()
        return self.classifier(x.mean((2, 3)))


def ordered(module):
    """The weights of a network's parts in the order in which they run; a part that adds runs its long side first."""
    found = []
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            part.register_forward_hook(lambda part, inputs, out: found.append(part))
    return found


def counted(genes, size=224, classes=1000):
    """Parameters and MACs of Once-for-All's network, seen by hooks on its convolutions."""
    with torch.device("meta"):
        module = Reference(genes, classes)
        macs = [classes * module.classifier.in_features]
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(
                    lambda part, inputs, out: macs.append(part.weight.numel() * prod(out.shape[2:]))
                )
        module(torch.empty(2, 3, size, size))
    return sum(weight.numel() for weight in module.parameters()), sum(macs)


def test_resnet_50_d_is_a_network_of_the_space(space):
    # torchvision's ResNet-50 has 25,557,032 parameters and 4,089,184,256 MACs (https://pytorch.org/vision: 25.6M and
    # 4.09G). ResNet-50-D has three 3x3 convolutions in place of the 7x7, and shortcuts that pool and so cost the same.
    genome = once_for_all(space, [2, 1, 2, 2, 1], [0.25] * 18, [2] * 6)
    network = space.network(genome)
    old, new = 3 * 64 * 49, 9 * (3 * 32 + 32 * 32 + 32 * 64)
    assert network.params == 25_557_032 - (old + 128) + (new + 64 + 64 + 128)
    assert network.macs == 4_089_184_256 + (new - old) * 112**2


@pytest.mark.parametrize(
    ("d", "e", "w", "params", "macs"),
    [(0, 0.2, 0, 6_539_280, 962_192_128), (2, 0.35, 2, 48_105_992, 7_491_643_904)],
    ids=["smallest", "largest"],
)
def test_ends_of_the_space(space, d, e, w, params, macs):
    genome = once_for_all(space, [d] * 5, [e] * 18, [w] * 6)
    network = space.network(genome)
    assert (network.params, network.macs) == (params, macs) == counted(named(space, genome))


@pytest.mark.parametrize("options", ["", "resolution=160,classes=10"])
def test_costs_are_those_of_once_for_all(options):
    space = registry.create("spaces", f"resnet:{options}" if options else "resnet")
    size, classes = (160, 10) if options else (224, 1000)
    for genome in drawn(space, 15):
        network = space.network(genome)
        assert (network.params, network.macs) == counted(named(space, genome), size, classes)


def test_computes_what_once_for_all_computes():
    space = registry.create("spaces", "resnet:resolution=96,classes=7")
    torch.manual_seed(0)
    for stem in (0, 1):
        genome = (stem, *drawn(space, 2)[stem][1:])
        ours, theirs = space.network(genome).module(), Reference(named(space, genome), 7)
        x = torch.randn(2, 3, 96, 96)
        mine, others = ordered(ours), ordered(theirs)
        ours(x), theirs(x)  # fills the running averages, too
        for part, other in zip(mine, others, strict=True):
            other.load_state_dict(part.state_dict())
        torch.testing.assert_close(theirs.eval()(x), ours.eval()(x))


def test_canonical_merges_what_makes_no_difference(space):
    assert (OUTER, MIDDLE) == ([40, 48, 64], [24, 24, 32])
    for stage in CHOICES:  # no other two choices make equal blocks
        blocks = [first for width in stage for first, _ in width]
        assert len(set(blocks)) == len(WIDTHS) * len(EXPANSIONS)
    shallow = [0, 0, 1, 0, 2]
    one = once_for_all(space, shallow, [0.25] * 18, [1, 0, 1, 1, 1, 1])
    active = [0.25, 0.25, 0.2, 0.2, 0.25, 0.25, 0.25, 0.2, *[0.25] * 4, 0.2, 0.2, *[0.25] * 4]
    assert space.canonical(one) == once_for_all(space, shallow, active, [0, 0, 1, 1, 1, 1])
    assert space.network(one) == space.network(space.canonical(one))


def test_a_genome_has_29_genes_that_are_ordered(space):
    assert len(space.genes) == 1 + 4 + 18 + 6  # stem, depths, expansions, widths
    assert all(gene.ordered for gene in space.genes)
    assert prod(len(gene.choices) for gene in space.genes) == 2 * 3**28


def test_a_resolution_can_be_a_gene():
    chosen = registry.create("spaces", "resnet:resolutions=128,192,224")
    for choice, size in enumerate((128, 192, 224)):
        fixed = registry.create("spaces", f"resnet:resolution={size}")
        for genome in drawn(fixed, 3):
            assert chosen.network((choice, *genome)) == fixed.network(genome)
            assert chosen.canonical((choice, *genome)) == (choice, *fixed.canonical(genome))
    small = chosen.reduced(Fidelity(size=64))
    assert [small.network((k, *[0] * 29)).input_shapes[0][-1] for k in range(3)] == [32, 32, 64]


@pytest.mark.parametrize(
    "options", ["classes=0", "resolution=0", "resolution=144", "resolutions=192,128", "resolutions=128,130"]
)
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"resnet:{options}")


def test_reduced_has_smaller_images(space):
    small, other = space.reduced(Fidelity(size=112)), registry.create("spaces", "resnet:resolution=96")
    assert all(small.network(genome) == other.network(genome) for genome in drawn(space, 5))
    assert space.reduced(Fidelity(size=8)).input.shape == (3, 32, 32)
