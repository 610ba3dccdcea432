"""Known answers about AutoFormer's spaces: its published networks, a formula for each layer, and the sums in full."""

from itertools import pairwise, product
from math import prod

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, layer_norm

from nasctl import registry
from nasctl.api import BadOption, Builder, Fidelity
from nasctl.hardware.fitting.operators import network_features
from nasctl.spaces.vit import RelativePositions
from nasctl.testing import drawn

# Width, heads and ratios of the networks that AutoFormer released, as `AutoFormer/experiments/subnet/` of
# github.com/microsoft/Cream has them, and their parameters.
RELEASED = {
    "s": (384, "6657555667767", (3, 3.5, 3, 3.5, 4, 4, 4, 4, 4, 4, 4, 3.5, 4), 22_891_432),
    "b": (576, [9, 9, 9, 9, 9, 10, 9, 9, 10, 9, 10, 9, 9, 10],
          (3.5, 3.5, 4, 3.5, 4, 3.5, 3.5, 3, 4, 4, 3, 4, 3, 3.5), 53_691_688),
}  # fmt: skip


def genome(space, width, heads, ratios):
    """The genome of a network as its authors write it down."""
    values = {"width": width, "depth": len(ratios)}
    for k, (number, ratio) in enumerate(zip(heads, ratios, strict=True), start=1):
        values |= {f"layer{k}.heads": int(number), f"layer{k}.ratio": ratio}
    return tuple(gene.choices.index(values[gene.name]) if gene.name in values else 0 for gene in space.genes)


def counted(space, genome, resolution=224, classes=1000):
    """Parameters and MACs by a formula for each layer."""
    value = {gene.name: gene.choices[choice] for gene, choice in zip(space.genes, genome, strict=True)}
    e, patches = value["width"], (resolution // 16) ** 2
    t = patches + 1
    params, macs = 768 * e + e + e + t * e, 768 * e * patches
    for k in range(1, value["depth"] + 1):
        qkv, m = 64 * value[f"layer{k}.heads"], int(e * value[f"layer{k}.ratio"])
        params += 3 * (qkv * e + qkv) + qkv * e + e + 4 * 30 * 64 + 2 * e * m + m + e + 4 * e
        macs += t * (4 * qkv * e + 2 * e * m) + 4 * t * t * qkv  # scores and gathering, with and without positions
    return params + 2 * e + e * classes + classes, macs + e * classes


@pytest.mark.parametrize("supernet", RELEASED)
def test_released_networks(supernet):
    space = registry.create("spaces", f"vit:supernet={supernet}")
    *spelled, params = RELEASED[supernet]
    one = genome(space, *spelled)
    assert space.canonical(one) == one
    assert space.network(one).params == params


@pytest.mark.parametrize("options", ["supernet=t", "supernet=s", "supernet=b", "resolution=64,classes=10"])
def test_every_network_costs_what_a_formula_counts(options):
    space = registry.create("spaces", f"vit:{options}")
    for one in drawn(space, 20):
        network = space.network(one)
        assert (network.params, network.macs) == counted(space, one, *((64, 10) if "64" in options else ()))


@pytest.mark.parametrize(
    ("supernet", "number"),
    [("t", 3 * (4**12 + 4**13 + 4**14)), ("s", 3 * (9**12 + 9**13 + 9**14)), ("b", 3 * (9**14 + 9**15 + 9**16))],
)
def test_the_number_of_networks(supernet, number):
    space = registry.create("spaces", f"vit:supernet={supernet}")
    widths, depths, *layers = [len(gene.choices) for gene in space.genes]
    found = 0
    for depth in range(depths):
        last = (0, depth, *(choices - 1 for choices in layers))
        active = [gene for gene, choice in zip(layers, space.canonical(last)[2:], strict=True) if choice]
        found += widths * prod(active)
    assert found == number


def test_layers_beyond_the_depth_make_no_difference():
    space = registry.create("spaces", "vit:supernet=s")
    for one in drawn(space, 20):
        canonical = space.canonical(one)
        assert space.network(canonical) == space.network(one)
        assert set(canonical[2 + 2 * (12 + one[1]) :]) <= {0}


def test_an_ordered_gene_takes_nothing_away():
    space = registry.create("spaces", "vit:supernet=s")
    assert all(gene.ordered for gene in space.genes)
    for one in drawn(space, 3):
        for k, gene in enumerate(space.genes):
            chain = [(*one[:k], choice, *one[k + 1 :]) for choice in range(len(gene.choices))]
            for small, large in pairwise(network_features(space.network(other)) for other in chain):
                assert all(small[name] <= large.get(name, 0) for name in small), (gene, one)


def added(keys, x, onto):
    """The layer for relative positions, and what it makes of two values without their batch."""
    net = Builder(x.shape[1:], onto.shape[1:])
    part = net.build(net.add(RelativePositions(keys), *net.inputs, name="a")).module().double().a
    nn.init.normal_(part.rows), nn.init.normal_(part.columns)
    return part, part(x, onto)


def vector(part, query, key, side):
    """What is learned about a query's and a key's place, 0 being the class token: RelativePosition2D_super."""
    if 0 in (query, key):
        return part.rows[0] + part.columns[0]
    (y, x), (to_y, to_x) = divmod(query - 1, side), divmod(key - 1, side)
    down, right = (max(-14, min(14, steps)) + 15 for steps in (to_y - y, to_x - x))
    return part.rows[down] + part.columns[right]


@pytest.mark.parametrize("side", [2, 17])  # the second has places farther apart than is told apart
def test_relative_positions_are_those_of_autoformer(side):
    torch.manual_seed(0)
    batch, heads, length = 2, 3, side**2 + 1
    queries, values = (torch.randn(batch, length, 64 * heads, dtype=torch.double) for _ in range(2))
    scores = torch.randn(batch, heads, length, length, dtype=torch.double)
    (keyed, asked), (valued, gathered) = added(True, queries, scores), added(False, scores, values)
    for query, key in [*product((0, 1, length - 1), repeat=2), (side, 2), (length - 1, side)]:
        for b, h in ((0, 2), (1, 0)):
            expected = queries[b, query, 64 * h : 64 * h + 64] @ vector(keyed, query, key, side) / 8
            torch.testing.assert_close(asked[b, h, query, key] - scores[b, h, query, key], expected)
    for query in (0, side, length - 1):
        vectors = torch.stack([vector(valued, query, key, side) for key in range(length)])
        expected = torch.cat([scores[1, h, query] @ vectors for h in range(heads)])
        torch.testing.assert_close(gathered[1, query] - values[1, query], expected)


def reference(module, x, heads, depth):
    """What AutoFormer computes (supernet_transformer.py, multihead_super.py), without relative positions."""
    w = dict(module.named_parameters())

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x):
        return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def split(x):
        return x.view(*x.shape[:2], heads, 64).transpose(1, 2)

    patches = nn.functional.conv2d(x, w["stem_patches.weight"], w["stem_patches.bias"], stride=16)
    x = patches.flatten(2).transpose(1, 2)
    x = torch.cat([w["stem_class.weight"].expand(len(x), 1, -1), x], 1) + w["stem_positions.weight"]
    for k in range(1, depth + 1):
        name = f"layer{k}_attention"
        y = norm(f"{name}_norm", x)
        q, k_, v = (split(linear(f"{name}_{part}", y)) for part in ("query", "key", "value"))
        y = (q @ k_.transpose(2, 3) / 8).softmax(-1) @ v
        x = x + linear(f"{name}_output", y.transpose(1, 2).flatten(2))
        y = norm(f"layer{k}_mlp_norm", x)
        x = x + linear(f"layer{k}_mlp_forward_narrow", gelu(linear(f"layer{k}_mlp_forward_widen", y)))
    return linear("logits", norm("norm", x)[:, 1:].mean(1))


def test_computes_what_autoformer_computes():
    torch.manual_seed(0)
    space = registry.create("spaces", "vit:resolution=48,classes=7")
    module = space.network((0,) * len(space.genes)).module().double()
    for name, parameter in module.named_parameters():
        if name.endswith((".rows", ".columns")):
            nn.init.zeros_(parameter)
    x = torch.randn(2, 3, 48, 48, dtype=torch.double)
    torch.testing.assert_close(module(x), reference(module, x, heads=3, depth=12))


def test_reduced_has_smaller_images():
    space = registry.create("spaces", "vit")
    for size, kept in ((100, 96), (8, 16), (300, 224), (None, 224)):
        small = space.reduced(Fidelity(size=size))
        other = registry.create("spaces", f"vit:resolution={kept}")
        assert all(small.network(one) == other.network(one) for one in drawn(space, 3))


@pytest.mark.parametrize("options", ["supernet=m", "resolution=100", "resolution=0", "resolution=8192", "classes=0"])
def test_an_option_that_makes_no_network_is_refused(options):
    with pytest.raises(BadOption):
        registry.create("spaces", f"vit:{options}")
