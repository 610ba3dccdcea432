"""Metrics that need no pass, against closed forms, plain implementations and published numbers."""

import ast
import csv
import gzip
import math
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from nasctl import registry
from nasctl.api import (
    Add,
    AvgPool,
    Builder,
    Call,
    Concat,
    Conv,
    Fidelity,
    Flatten,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Layer,
    Linear,
    MaxPool,
    MBConv,
    Multiply,
    ReLU,
    Setting,
    Shift,
    Zero,
)
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import DEFAULT_SETTING
from nasctl.networks.weights import initialised
from nasctl.testing import Chain, drawn

IDENTITIES = (nn.BatchNorm2d, nn.ReLU, nn.Hardswish, nn.Hardsigmoid)
SPACES = (
    "nb201:channels=4,cells=1,resolution=12",
    "nbmacro:resolution=9",
    "tnb101_micro:channels=4,cells=1,resolution=36",
    "mbconv:width=0.3,resolution=40,classes=7",
)


def scored(objective, network):
    """Of a network that is in no space."""
    return made(objective)(SimpleNamespace(scored=network, network=network))


@cache
def made(objective):
    return registry.create("objectives", objective)


def expected(network, linear=False):
    return scored(f"expected_synflow:linear={'on' if linear else 'off'}", network)


def sampled(spec, number):
    space = registry.create("spaces", spec)
    return [space.network(space.canonical(genome)) for genome in drawn(space, number)]


def row(shape, *layers):
    """One layer behind the other."""
    net = Builder(shape)
    x = net.inputs[0]
    for k, layer in enumerate(layers):
        x = net.add(layer, x, name=f"layer{k}")
    return net.build(x)


def by_autograd(network):
    """SynFlow of the module whose weights all have the mean of their magnitude."""
    module = network.module().double()
    weights = []
    for part, node in zip(module.children(), network.nodes, strict=True):
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.data.fill_(0.5 / math.sqrt(part.weight[0].numel()))
            part.bias = None
            weights.append(part.weight)
        elif isinstance(part, IDENTITIES) or isinstance(node.layer, Multiply):
            part.register_forward_hook(lambda part, inputs, output: inputs[0])
    total = module(torch.ones(1, *network.input_shapes[0], dtype=torch.double)).sum()
    gradients = torch.autograd.grad(total, weights, allow_unused=True)
    flows = [float((w.detach() * g).sum()) for w, g in zip(weights, gradients, strict=True) if g is not None]
    return math.log10(sum(flows))


@pytest.mark.parametrize("spec", SPACES)
def test_expected_synflow_by_autograd(spec):
    for network in sampled(spec, 4):
        linear = spec.startswith("mbconv")
        assert expected(network, linear) == pytest.approx(by_autograd(network), rel=1e-13)


def test_expected_synflow_of_maps_of_every_kind():
    net = Builder((3, 11, 8))  # not square
    stem = net.add(Conv(8, 3), *net.inputs, name="stem")
    pooled = net.add(MaxPool(3, 2), stem, name="pooled")
    dilated = net.add(Conv(6, 3, stride=2, dilation=2), stem, name="dilated")
    averaged = net.add(AvgPool(3, 2), stem, name="averaged")
    both = net.add(Concat(), pooled, dilated, averaged, name="both")
    both = net.add(Shift(), both, name="shifted")
    dense = net.add(Conv(22, 5), both, name="dense")
    summed = net.add(Add(), both, dense, both, name="summed")
    gate = net.add(HSigmoid(), net.add(GlobalAvgPool(), summed, name="pool"), name="gate")
    scaled = net.add(Multiply(), summed, gate, name="scaled")
    grouped = net.add(Conv(10, 3, groups=2), net.add(Conv(6), scaled, name="mixed"), name="grouped")
    network = net.build(net.add(Linear(5), net.add(Flatten(), grouped, name="flat"), name="linear"))
    assert expected(network, linear=True) == pytest.approx(by_autograd(network), rel=1e-13)


def test_expected_synflow_of_a_chain_is_its_length_times_what_comes_out():
    given = Chain(3).network((1, 1, 0))  # 3 -> 5 -> 5 -> 2, each by a gain of sqrt(inputs) / 2
    out = 2 * math.sqrt(3 * 5 * 5) / 8
    assert expected(given) == pytest.approx(math.log10(3 * out), rel=1e-15)
    network = row((16, 6, 6), Conv(16), ReLU(), Conv(64, 3, 2), Conv(64, 3, groups=64), GlobalAvgPool(), Flatten())
    alone = row((16, 6, 6), Conv(16), GlobalAvgPool(), Flatten())
    assert expected(alone) == pytest.approx(math.log10(16 * 2), rel=1e-15)  # 0.5 * sqrt(16) in each channel
    value = 64 * 2 * 6 * 1.5 * (np.array([4, 6, 6, 6]) / 9).mean()  # wrong at the borders, which the next test is about
    assert expected(network) < math.log10(3 * value)


def test_expected_synflow_loses_at_the_borders():
    plain, corner = row((1, 5, 5), Conv(1, 3)), row((1, 5, 5), Conv(1, 3), Conv(1, stride=5))
    inside = 9 * 0.5 / 3  # nine taps of 0.5 / sqrt(9)
    assert expected(plain) == pytest.approx(math.log10(inside * (9 + 12 * 6 / 9 + 4 * 4 / 9)), rel=1e-14)
    assert expected(corner) == pytest.approx(math.log10(2 * 0.5 * inside * 4 / 9), abs=1e-14)


@pytest.mark.parametrize("spec", ["nb201:cells=1,resolution=8", "nbmacro:resolution=8"])
def test_expected_synflow_is_the_mean_of_synflow(spec):
    space, synflow = registry.create("spaces", spec), made("synflow")
    genome = space.canonical(drawn(space, 3)[-1])
    seeds = [Setting(seed=seed) for seed in range(48)]
    flows = [10 ** synflow(Candidate(space, genome, setting, synflow.needs)) for setting in seeds]
    assert 10 ** expected(space.network(genome)) == pytest.approx(np.mean(flows), rel=0.02)


def test_expected_synflow_in_networks_too_deep_for_double_precision():
    depth, width = 400, 1000
    chain = Chain(depth, (width,)).network((0,) * depth)
    gains = math.log10(math.sqrt(3) / 2) + (depth - 1) * math.log10(math.sqrt(width) / 2)
    assert gains > 308
    assert expected(chain) == pytest.approx(math.log10(depth) + math.log10(width) + gains, rel=1e-13)
    net = Builder((1600, 1, 1))
    x = net.inputs[0]
    for k in range(300):
        x = net.add(Add(), x, net.add(Conv(1600), x, name=f"conv{k}"), name=f"add{k}")
    # Each block is 1 + g with g = 20, so R is 21 ** 300 in each of 1600 channels, and R' is R * 300 * 20 / 21.
    score = 300 * math.log10(21) + math.log10(1600 * 300 * 20 / 21)
    assert expected(net.build(x)) == pytest.approx(score, rel=1e-13)
    far = net.add(Zero(), x, name="far")
    near = net.add(Conv(1600), *net.inputs, name="near")
    assert expected(net.build(net.add(Add(), near, far, name="sum"))) == pytest.approx(math.log10(1600 * 20), rel=1e-13)


@pytest.mark.parametrize("name", ["expected_synflow", "depth"])
def test_a_dead_cell_has_no_path(name):
    space = registry.create("spaces", "nb201:channels=4,cells=1")
    with pytest.raises(ValueError, match="no path leads from the input to the output"):
        scored(name, space.network((0,) * 6))


@dataclass(frozen=True)
class Odd(Layer):
    """A layer of a plug-in."""

    def module(self, *inputs):
        return Call("nn.Softmax2d")


def test_expected_synflow_refuses_what_it_is_not_exact_for():
    for layer in (HSwish(), MaxPool(3)):
        network = row((4, 6, 6), Conv(8), layer)
        with pytest.raises(ValueError, match=rf"{type(layer).__name__} in \w+; try expected_synflow:linear"):
            expected(network)
        assert math.isfinite(expected(network, linear=True))
    with pytest.raises(ValueError, match="no closed form is known for Odd @ 8x6x6"):
        expected(row((4, 6, 6), Conv(8), Odd()), linear=True)
    net = Builder((4, 6, 6))
    both = net.add(Concat(), *net.inputs, net.add(AvgPool(3), *net.inputs, name="pool"), name="both")
    with pytest.raises(ValueError, match="a grouped convolution of concatenated channels"):
        expected(net.build(net.add(Conv(8, groups=2), both, name="grouped")))


def test_expected_synflow_ignores_what_the_output_does_not_depend_on():
    net = Builder((4, 6, 6))
    x = net.add(Conv(8, 3), *net.inputs, name="conv")
    net.add(Odd(), x, name="dead")
    assert expected(net.build(x)) == expected(row((4, 6, 6), Conv(8, 3)))


def test_expected_synflow_needs_no_torch():
    code = (
        "import sys; from nasctl import registry; registry.create('objectives', 'expected_synflow:linear=on');"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def rows(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_expected_synflow_equals_another_implementation(data):
    reference, cells = rows(data("reference") / "nb201_metrics.csv.gz"), rows(data("nb201") / "nb201_table.csv.gz")
    space = registry.create("spaces", "nb201")
    connected = [k for k, row in enumerate(reference) if row["expected_synflow_log10"]]
    for k in connected[::30]:  # 510 cells
        ours = expected(space.network(space.parse(cells[k]["arch_str"])))
        assert ours == pytest.approx(float(reference[k]["expected_synflow_log10"]), rel=1e-6)
    with pytest.raises(ValueError, match="no path"):
        expected(space.network(space.parse(cells[min(set(range(len(cells))) - set(connected))]["arch_str"])))


def test_linear_expected_synflow_orders_random_networks_of_once_for_all(data):
    # Two of the five runs: each begins with 50 random networks.
    accuracy = {}
    space = registry.create("spaces", "mbconv:width=1.0")
    for name in ("evounsga3_acc_macs_params", "linasnsga2_acc_macs"):
        with open(data("ofa-latency") / f"dynast_mbnv3w10_{name}.csv", encoding="utf-8", newline="") as file:
            for row in list(csv.DictReader(file))[:50]:
                accuracy[once_for_all(ast.literal_eval(row["Sub-network"]), space)] = float(row["Top-1 Acc (%)"])
    truth = list(accuracy.values())
    scores, macs = zip(*((expected(n, linear=True), n.macs) for n in map(space.network, accuracy)), strict=True)
    assert len(truth) == 100
    assert spearmanr(scores, truth).statistic == pytest.approx(0.823, abs=5e-4)
    assert spearmanr(macs, truth).statistic == pytest.approx(0.758, abs=5e-4)


def once_for_all(network, space):
    choices = iter(space.genes)
    wanted = []
    for stage, depth in enumerate(network["d"]):
        wanted.append(depth)
        for block in range(4 * stage, 4 * stage + 4):
            wanted += [network["ks"][block], network["e"][block]]
    return space.canonical(tuple(next(choices).choices.index(value) for value in wanted))


def test_depth_is_the_longest_path():
    net = Builder((3, 8, 8))
    stem = net.add(Conv(8, 3), *net.inputs, name="stem")
    block = net.add(MBConv(8, 3, 4, se=True), stem, name="block")  # three in a row; the gate's two are on no path
    dead = net.add(Zero(), net.add(Conv(8), net.add(Conv(8), block, name="a"), name="b"), name="dead")
    summed = net.add(Add(), stem, block, dead, name="summed")
    assert scored("depth", net.build(summed)) == 1 + 3
    flat = net.add(Flatten(), net.add(GlobalAvgPool(), summed, name="pool"), name="flat")
    assert scored("depth", net.build(net.add(Linear(2), flat, name="linear"))) == 1 + 3 + 1


def test_depth_of_known_networks():
    nb201, nbmacro = registry.create("spaces", "nb201"), registry.create("spaces", "nbmacro")
    # Stem, two reductions of two convolutions, classifier; three convolutions in a row in each of 15 cells.
    assert scored("depth", nb201.network((3, 3, 3, 3, 3, 3))) == 1 + 2 * 2 + 1 + 15 * 3
    assert scored("depth", nb201.network((1, 1, 1, 1, 1, 1))) == 1 + 2 * 2 + 1
    assert scored("depth", nbmacro.network(nbmacro.parse("20120101"))) == 2 + 1 + 3 * 5
    mbconv = registry.create("spaces", "mbconv")
    depths = [scored("depth", mbconv.network((choice,) * len(mbconv.genes))) for choice in (0, 1, 2)]
    assert depths == [1 + 2 + 3 * 5 * blocks + 3 for blocks in (2, 3, 4)]


def test_depth_is_of_the_real_network():
    space = registry.create("spaces", "nb201:cells=2")
    cheap = Candidate(space, (3,) * 6, Setting(fidelity=Fidelity(cells=1)), frozenset({"network"}))
    assert made("depth")(cheap) == 6 + 6 * 3


def test_l2_norm_adds_up_the_norms_of_layers():
    space = registry.create("spaces", "nbmacro:resolution=16")
    given = Candidate(space, (2, 0, 1, 1, 0, 1, 1, 0), DEFAULT_SETTING, frozenset({"module"}))
    weights = {name: weight.double() for name, weight in initialised(given.scored, 0).named_parameters()}
    norms = [float((weight.detach() ** 2).sum().sqrt()) for weight in weights.values() if weight.ndim > 1]
    assert len(norms) == scored("depth", given.network)  # a chain
    assert made("l2_norm")(given) == pytest.approx(sum(norms), rel=1e-12)


def test_l2_norm_is_that_of_the_initial_distribution():
    wide = Chain(2, (400,))  # variance 1 / (3 n) for each of n weights of an output
    given = Candidate(wide, (0, 0), DEFAULT_SETTING, frozenset({"module"}))
    assert made("l2_norm")(given) == pytest.approx(2 * math.sqrt(400 / 3), rel=0.02)
