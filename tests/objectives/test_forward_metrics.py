"""Known answers of the metrics that look at forward passes and at what blocks put out."""

import math
from dataclasses import dataclass
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nasctl import registry
from nasctl.api import (
    AvgPool,
    BadOption,
    Builder,
    Call,
    Classifier,
    Conv,
    Fidelity,
    GlobalAvgPool,
    Input,
    Layer,
    Logits,
    Network,
    ReLU,
    Setting,
)
from nasctl.candidates.block_outputs import map_positions
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.feature_maps import FeatureMaps
from nasctl.candidates.sign_codes import SignCodes
from nasctl.data import source
from nasctl.networks.layer_kinds import rectifiers
from nasctl.testing import Chain, drawn

METRICS = ("swap", "zen", "linear_regions", "expressivity", "progressivity", "trainability")
AZ = METRICS[3:]
SPACES = {  # the layer before the global pool, by the space
    "nb201:channels=4,cells=2,resolution=16": "head.act",
    "nbmacro:resolution=16": "head.act",
    "mbconv:width=0.3,resolution=64,classes=10": "final.act",
}
CELL = (3, 1, 2, 1, 4, 3)


def scored(spec, given):
    return registry.create("objectives", spec)(given)


def candidate(space, genome, setting=None, names=METRICS):
    needs = frozenset().union(*(registry.create("objectives", name).needs for name in names))
    return Candidate(space, genome, setting or Setting(fidelity=Fidelity(batch=16)), needs)


@pytest.fixture(params=SPACES)
def given(request):
    space = registry.create("spaces", request.param)
    return candidate(space, space.canonical(drawn(space, 3)[-1]))


@dataclass(frozen=True)
class OneNetwork:
    """A space of one network: the layers in a row, each a block of its own, and a classifier."""

    layers: tuple
    shape: tuple = (3, 8, 8)
    genes = ()

    @property
    def input(self):
        return Input(self.shape)

    def canonical(self, genome):
        return genome

    def network(self, genome):
        net = Builder(self.shape)
        (x,) = net.inputs
        for k, layer in enumerate(self.layers):
            x = net.add(layer, x, name=f"block{k}")
        return net.build(net.add(Classifier(10), x, name="classifier"))

    def reduced(self, fidelity):
        return self


def chain(*layers, shape=(3, 8, 8), batch=16):
    return candidate(OneNetwork(layers, shape), (), Setting(fidelity=Fidelity(batch=batch)))


def values_of(network, module, x):
    """What every layer puts out, by its name."""
    values = {-1: x}
    for k, (node, part) in enumerate(zip(network.nodes, module.children(), strict=True)):
        values[k] = part(*[values[source] for source in node.inputs])
    return {node.name: values[k] for k, node in enumerate(network.nodes)}


@pytest.mark.parametrize(("batch", "units"), [(1, 1), (3, 67), (16, 8), (64, 64), (65, 3), (130, 70)])
def test_patterns_are_codes_transposed(batch, units):
    inputs = torch.randn(batch, units, generator=torch.Generator().manual_seed(0))
    patterns = SignCodes.of(inputs).patterns()
    assert (patterns.shape, patterns.dtype) == ((units, -(-batch // 64)), np.uint64)
    for unit, example in product(range(units), range(batch)):
        bit = int(patterns[unit, example // 64]) >> example % 64 & 1
        assert bit == (inputs[example, unit] > 0)


@pytest.mark.parametrize(("batch", "samples"), [(16, 16), (70, 70), (70, 5)])
def test_swap_counts_different_units(given, batch, samples):
    setting = Setting(fidelity=Fidelity(batch=batch))
    given, units = candidate(given.space, given.genome, setting), set()
    module = given.module()
    for part in module.children():
        if isinstance(part, rectifiers()):
            part.register_forward_hook(
                lambda part, inputs, output: units.update(map(bytes, (inputs[0] > 0).flatten(1)[:samples].T.numpy()))
            )
    # The same layout in memory as nasctl's own pass: a rounding error may turn a unit that is all but zero.
    module(given.batch()[0].to(memory_format=torch.channels_last))
    assert scored(f"swap:samples={0 if samples == batch else samples}", given) == len(units)


@pytest.mark.parametrize("batch", [16, 70])
def test_swap_does_not_depend_on_the_order_of_the_batch(batch):
    rng = np.random.default_rng(0)
    few = rng.normal(size=(batch, 40))[:, rng.integers(0, 40, 100)]  # some units are the same
    for order in (np.arange(batch), rng.permutation(batch)):
        codes = {"act": SignCodes.of(torch.from_numpy(few[order]))}
        assert scored("swap", SimpleNamespace(activations=codes)) == len(np.unique(few > 0, axis=1).T)


def test_regularised_swap():
    space = registry.create("spaces", "nb201:channels=4,cells=1")
    given = candidate(space, CELL)
    thousands = given.network.params / 1000
    factor = math.exp(-((thousands - 30) ** 2) / 700)
    assert 0.01 < factor < 0.99
    assert scored("swap:mu=30,sigma=700", given) == pytest.approx(scored("swap", given) * factor, rel=1e-12)
    with pytest.raises(ArithmeticError, match="larger sigma"):
        scored("swap:mu=30,sigma=0.001", given)
    for spec in ("swap:mu=30", "swap:sigma=-1", "swap:samples=-1"):
        with pytest.raises(BadOption):
            scored(spec, given)


def test_zen_by_a_plain_implementation(given):
    network, setting, scores = given.scored, given.setting, []
    last = next(name for spec, name in SPACES.items() if spec.startswith(type(given.space).__module__.split(".")[-1]))
    x, noise = torch.randn(2, setting.batch, *given.input.shape, generator=torch.Generator().manual_seed(setting.seed))
    module = given.module("normal")
    with torch.no_grad():
        before, after = (values_of(network, module, one) for one in (x, x + 0.01 * noise))
    for node in network.nodes:
        if type(node.layer).__name__ == "BatchNorm":
            (source,) = node.inputs
            variances = before[network.nodes[source].name].double().var(dim=(0, 2, 3))
            scores.append(math.log(math.sqrt(float(variances.mean()))))
    delta = float((before[last] - after[last]).double().abs().sum(dim=(1, 2, 3)).mean())
    assert scored("zen", given) == pytest.approx(math.log(delta) + sum(scores), rel=1e-5)
    assert scored("zen", given) == scored("zen", given)  # running averages of one draw are no part of the next


def test_zen_of_one_convolution():
    # Without batch norms it is the change alone; f is linear here, so that is 0.01 |f(e)|.
    given = chain(Conv(5, kernel=3))
    _, noise = torch.randn(2, 16, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    weight = next(given.module("normal").parameters()).detach().double()
    change = nn.functional.conv2d(0.01 * noise, weight, padding=1)
    assert scored("zen", given) == pytest.approx(math.log(float(change.abs().sum()) / 16), rel=1e-5)


def test_zen_looks_before_the_pool_and_not_into_gates():
    given = candidate(registry.create("spaces", "mbconv:width=0.3,resolution=32"), (0,) * 45)
    pools = [k for k, node in enumerate(given.scored.nodes) if isinstance(node.layer, GlobalAvgPool)]
    assert len(pools) > 1
    names = [given.scored.nodes[place].name for place in map_positions(given.scored)]
    assert names[-1] == "final.act"


def test_linear_regions_of_one_layer():
    # Of a 1x1 convolution with one weight, a unit's sign is that of its pixel, or the opposite everywhere.
    given = chain(Conv(7), ReLU(), shape=(2, 5, 5), batch=4)
    images, patterns = given.batch()[0].numpy(), set()
    for image, channel, y, x in product(range(4), range(2), range(4), range(4)):
        patterns.add(tuple(images[image, channel, y : y + 2, x : x + 2].flatten() > 0))
    assert scored("linear_regions:size=2,samples=5000", given) == len(patterns)  # every window is among them


def test_linear_regions_are_those_of_a_thin_copy():
    found = set()
    for spec in ("nb201:channels=4,cells=1", "nb201:channels=8,cells=2"):
        found.add(scored("linear_regions", candidate(registry.create("spaces", spec), CELL)))
    (number,) = found
    assert 2 < number < 1000
    assert scored("linear_regions:samples=10", candidate(registry.create("spaces", spec), CELL)) <= 10


@pytest.mark.parametrize(("size", "reason"), [(3, "cannot take"), (36, "smaller than")])
def test_linear_regions_need_windows_that_fit(size, reason):
    given = candidate(registry.create("spaces", "nb201:channels=4,cells=1"), CELL)
    with pytest.raises(ValueError, match=reason):
        scored(f"linear_regions:size={size}", given)
    with pytest.raises(BadOption):
        scored("linear_regions:samples=1", given)


def test_features_are_what_blocks_hand_on():
    names = {spec: [] for spec in ("nb201", "nbmacro", "mbconv")}
    for spec, found in names.items():
        space = registry.create("spaces", spec)
        genome = CELL if spec == "nb201" else (1,) * len(space.genes)
        network = space.network(space.canonical(genome))
        found += [network.nodes[place].name for place in map_positions(network)]
    cells = [f"stage{stage}.{cell}.node3" for stage in (1, 2, 3) for cell in range(5)]
    cells[5:5], cells[11:11] = ["reduction1.add"], ["reduction2.add"]
    assert names["nb201"] == ["stem.norm", *cells]
    assert [name.rpartition(".")[0] for name in names["nbmacro"]] == [
        "stem", "stage1.0.project", "stage1.1", "stage2.0.project", *["stage2.1", "stage2.2"],
        "stage3.0.project", *["stage3.1", "stage3.2"], "head",
    ]  # fmt: skip
    assert len(names["mbconv"]) == 2 + 5 * 3 + 1  # stem, first, three blocks in each stage, final


def test_identities_are_no_blocks():
    space = registry.create("spaces", "nb201:channels=4,cells=2")
    network = space.network((0, 0, 0, 1, 0, 0))
    assert [network.nodes[place].name for place in map_positions(network)] == [
        "stem.norm",
        "reduction1.add",
        "reduction2.add",
    ]


def test_a_network_without_a_pool_has_features():
    net = Builder((3, 4, 4))
    x = net.add(Conv(5), *net.inputs, name="stem")
    y = net.add(Conv(5), x, name="only.0.conv")
    z = net.add(ReLU(), y, name="only.0.act")
    assert map_positions(net.build(net.add(Logits(10), z, name="logits"))) == [x, z]
    assert map_positions(net.build(z)) == [x, z]


def test_entropies_by_a_plain_implementation(given):
    network = given.scored
    shape = (given.setting.batch, *given.input.shape)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(given.setting.seed))
    with torch.no_grad():
        values = values_of(network, given.module("kaiming"), x)
    entropies = []
    for place in map_positions(network):
        found = values[network.nodes[place].name].double().numpy()
        found = found.transpose(1, 0, 2, 3).reshape(found.shape[1], -1)  # a column for each position
        shares = np.maximum(np.linalg.eigvalsh(np.atleast_2d(np.cov(found, bias=True))), 0)
        shares /= shares.sum()
        entropies.append(-sum(share * math.log(share + 1e-8) for share in shares))
    assert given.features.entropies == pytest.approx(entropies, rel=1e-4)
    assert scored("expressivity", given) == pytest.approx(sum(entropies), rel=1e-4)
    least = min(later - sooner for sooner, later in pairwise(entropies))
    assert scored("progressivity", given) == pytest.approx(least, rel=1e-3, abs=1e-4)


def test_entropies_of_what_is_known():
    # Noise has the identity for its covariance: log 3. One channel has no entropy, and copies of it have none either.
    given = chain(AvgPool(1), Conv(1), Conv(4), shape=(3, 16, 16), batch=64)
    expected = [math.log(3), 0, 0]
    assert given.features.entropies == pytest.approx(expected, abs=1e-3)
    assert scored("progressivity", given) == pytest.approx(-math.log(3), abs=1e-3)


def trainability(gain):
    return 2 - gain - 1 / gain


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (Conv(5), 16),
        (Conv(3, kernel=2, stride=2), 16),  # a window is all that a position sees
        (Conv(4, stride=2), 15),  # 8 positions in a row see 15
    ],
)
def test_trainability_of_one_linear_block(layer, size):
    # With many random signs G^T G / n is the identity, so what is left is the matrix of the layer.
    given = chain(AvgPool(1), layer, shape=(3, size, size), batch=512)
    (weight, *_) = given.module("kaiming").parameters()
    gain = float(torch.linalg.matrix_norm(weight.detach().flatten(1).double(), 2))
    assert scored("trainability", given) == pytest.approx(trainability(gain), abs=0.02)


def test_trainability_is_best_where_nothing_changes():
    assert scored("trainability", chain(AvgPool(1), AvgPool(1), batch=256)) == pytest.approx(0, abs=1e-3)


def test_trainability_by_a_plain_implementation():
    space = registry.create("spaces", "nb201:channels=4,cells=2")
    given = candidate(space, CELL, Setting(fidelity=Fidelity(size=16, batch=64)))
    network, generator = given.scored, torch.Generator().manual_seed(7)
    x = torch.randn(64, *given.input.shape, generator=generator)
    values = values_of(network, given.module("kaiming"), x.requires_grad_())
    maps, terms = [values[network.nodes[place].name] for place in map_positions(network)], []
    for before, after in pairwise(maps):
        signs = torch.randint(2, after.shape, generator=generator) * 2.0 - 1
        (passed,) = torch.autograd.grad(after, before, signs, retain_graph=True)
        passed = nn.functional.pixel_unshuffle(passed, before.shape[-1] // after.shape[-1])
        matrix = torch.einsum("bihw,bohw->io", passed, signs) / signs[:, 0].numel()
        terms.append(trainability(float(torch.linalg.svdvals(matrix).max())))
    assert len(terms) == 8
    assert scored("trainability", given) == pytest.approx(np.mean(terms), rel=0.1)  # other signs, another input


def test_values_do_not_depend_on_what_else_is_asked_for(given):
    together = {name: scored(name, given) for name in METRICS}
    for name in METRICS:
        assert scored(name, candidate(given.space, given.genome, names=(name,))) == together[name]


def test_one_forward_serves_three_metrics(given, monkeypatch):
    made = []
    monkeypatch.setattr(
        "nasctl.candidates.feature_maps.FeatureMaps", lambda *given: made.append(given) or FeatureMaps(*given)
    )
    for name in AZ:
        scored(name, given)
    assert len(made) == 1


@pytest.mark.parametrize("name", METRICS)
def test_a_dead_cell_has_no_score(name):
    with pytest.raises(ValueError, match=r"no |same|not depend|one linear region"):
        scored(name, candidate(registry.create("spaces", "nb201:channels=4,cells=1"), (0,) * 6))


@pytest.mark.parametrize("name", METRICS)
def test_a_network_without_maps_has_no_score(name):
    with pytest.raises(ValueError, match=r"no |none"):
        scored(name, candidate(Chain(), (1, 0), Setting(data=source("noise"))))


@pytest.mark.parametrize("name", AZ[1:])
def test_one_block_has_nothing_to_compare_with(name):
    with pytest.raises(ValueError, match="one block"):
        scored(name, chain(Conv(4)))


@dataclass(frozen=True)
class Spoilt(Layer):
    """A layer of a plug-in that puts out what is not finite."""

    def module(self, *inputs):
        return Call(Overflow)


class Overflow(nn.Module):
    def forward(self, x):
        return x * float("inf")


@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_finite_is_no_score(name):
    with pytest.raises(ArithmeticError, match="not finite"):
        scored(name, chain(Conv(4), ReLU(), Spoilt()))


def test_a_map_that_grows_has_no_trainability():
    @dataclass(frozen=True)
    class Twice(Layer):
        def out(self, *inputs):
            channels, height, width = inputs[0]
            return channels, 2 * height, 2 * width

        def module(self, *inputs):
            return Call("nn.Upsample", scale_factor=2)

    with pytest.raises(ValueError, match="enlarges"):
        scored("trainability", chain(AvgPool(1), Twice()))


def test_an_empty_network_has_no_features():
    assert map_positions(Network(((3, 8, 8),), (), -1)) == []
