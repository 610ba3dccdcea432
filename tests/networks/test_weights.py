"""Initial weights: PyTorch's own distribution, and nothing but the network and the seed behind them."""

import hashlib
import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import nn

from nasctl import registry
from nasctl.api import Builder, Call, Layer
from nasctl.networks import weights
from nasctl.networks.weights import CACHE_BYTES, CHUNK, RandomStream, StreamCache, initialised

GENOME = (3, 2, 3, 2, 3, 3)


def network(spec, genome=GENOME):
    return registry.create("spaces", spec).network(genome)


def mbconv(choice, **options):
    space = registry.create("spaces", "mbconv:" + ",".join(f"{key}={value}" for key, value in options.items()))
    return space.network(tuple(min(choice, len(gene.choices) - 1) for gene in space.genes))


def digest(module):
    state = module.state_dict()
    return hashlib.sha256(
        b"".join(name.encode() + value.numpy().tobytes() for name, value in state.items())
    ).hexdigest()


NETWORKS = {"nb201": network("nb201:cells=1"), "mbconv": mbconv(1, width=1.0)}


@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_the_weights_are_those_that_constructors_draw(net):
    torch.manual_seed(3)
    expected, state = net.module().state_dict(), initialised(net, seed=3).state_dict()
    assert list(state) == list(expected)
    for name, value in expected.items():  # to a rounding error: processors scale uniform numbers in different ways
        torch.testing.assert_close(state[name], value, rtol=0, atol=1e-7)


@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_every_layer_has_the_distribution_of_pytorch(net):
    module = initialised(net, seed=3)
    scaled = []
    for part in module.children():
        if isinstance(part, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(part.weight[0].numel())
            for drawn in (part.weight, *([] if part.bias is None else [part.bias])):
                values = drawn.detach().flatten().double() / bound
                assert values.abs().max() <= 1
                assert abs(values.mean()) < 6 * math.sqrt(1 / 3 / len(values))  # six standard errors
                assert abs(values.square().mean() - 1 / 3) < 6 * math.sqrt((1 / 5 - 1 / 9) / len(values))
                scaled.append(values)
        elif isinstance(part, nn.BatchNorm2d):
            assert [
                float(value.detach().sum()) for value in (part.weight, part.bias, part.running_mean, part.running_var)
            ] == [len(part.weight), 0, 0, len(part.weight)]
    assert kstest(torch.cat(scaled)[: 1 << 16].numpy(), "uniform", (-1, 2)).pvalue > 1e-3


def test_the_stream_is_the_same_however_it_grew():
    at_once, grown = RandomStream(5), RandomStream(5)
    for number in (3, CHUNK - 1, 2 * CHUNK + 7):
        assert len(grown.first(number)) == number
    assert torch.equal(grown.first(3 * CHUNK), at_once.first(3 * CHUNK))
    assert not torch.equal(RandomStream(6).first(9), at_once.first(9))


@pytest.fixture
def draws(monkeypatch):
    """Count the chunks that are drawn, by seed."""
    counts = Counter()
    chunk = RandomStream._chunk

    def counted(stream):
        counts[stream._generator.initial_seed() & ((1 << 62) - 1)] += 1
        return chunk(stream)

    monkeypatch.setattr(RandomStream, "_chunk", counted)
    return counts


def test_many_small_streams_are_all_drawn_once(draws, monkeypatch):
    monkeypatch.setattr(weights, "_streams", StreamCache(CACHE_BYTES))
    for _ in range(3):
        for seed in range(9, 18):
            initialised(NETWORKS["nb201"], seed)
    assert draws == dict.fromkeys(range(9, 18), 1)
    assert weights._streams.nbytes == 9 * 4 * CHUNK


def test_the_bytes_of_all_streams_are_bounded(draws):
    cache, kept = StreamCache(5 * 4 * CHUNK), {}
    rng = random.Random(0)
    for _ in range(60):
        seed, normal, number = rng.randrange(4), rng.random() < 0.3, rng.randrange(1, 7 * CHUNK)
        numbers = cache.first(seed, normal, number)
        assert torch.equal(numbers, RandomStream(seed, normal).first(number))
        assert cache.nbytes <= 5 * 4 * CHUNK
        kept[cache.nbytes] = True
    assert max(kept) == 5 * 4 * CHUNK


def test_a_stream_above_the_limit_is_not_kept_and_drives_out_no_other(draws):
    cache = StreamCache(3 * 4 * CHUNK)
    for seed, number in ((0, CHUNK), (1, CHUNK), (2, 4 * CHUNK), (0, CHUNK), (1, CHUNK), (2, 4 * CHUNK)):
        assert len(cache.first(seed, False, number)) == number
    assert draws == {0: 1, 1: 1, 2: 8}
    assert cache.nbytes == 2 * 4 * CHUNK


def test_the_least_recently_used_stream_goes_first(draws):
    cache = StreamCache(2 * 4 * CHUNK)
    for seed in (0, 1, 0, 2, 0, 1):
        cache.first(seed, False, 1)
    assert draws == {0: 1, 1: 2, 2: 1}


def test_the_limit_is_256_mib():
    assert CACHE_BYTES == 268_435_456
    assert weights._streams._limit == CACHE_BYTES


def test_no_effect_of_earlier_networks_or_other_processes():
    spec, here = "nb201:channels=4,cells=1", None
    for before in ((), ((0,) * 6, (2,) * 6), ((3,) * 6,)):
        for genome in before:
            initialised(network(spec, genome), seed=0)
        torch.manual_seed(len(before))
        here = here or digest(initialised(network(spec), seed=0))
        assert digest(initialised(network(spec), seed=0)) == here
    assert digest(initialised(network(spec), seed=1)) != here
    script = (
        "from tests.networks.test_weights import digest, initialised, network, mbconv\n"
        "initialised(mbconv(2, width=0.3), 0)\n"
        f"print(digest(initialised(network({spec!r}), 0)))"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_modules_share_nothing_that_changes():
    net = network("nb201:channels=4,cells=1")
    first, x = initialised(net, seed=0), torch.randn(4, 3, 32, 32)
    before = digest(first)
    for part in first.modules():
        part.register_forward_hook(lambda part, inputs, output: output * 0)
    first(x)
    first.eval().requires_grad_(False)
    for value in first.state_dict().values():
        value.zero_()
    again = initialised(net, seed=0)
    assert digest(again) == before
    assert again(x).abs().sum() > 0
    assert all(part.training for part in again.modules())
    assert all(parameter.requires_grad for parameter in again.parameters())


@dataclass(frozen=True)
class Scaled(Layer):
    """A layer of a plug-in whose module has an initialisation of its own."""

    def params(self, *inputs):
        return inputs[0][0]

    def module(self, *inputs):
        return Call(Scale, inputs[0][0])


class Scale(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.empty(channels, 1, 1).normal_(7.0, 0.1))

    def forward(self, x):
        return x * self.scale


def test_a_plugin_initialises_its_own_layer():
    net = Builder((64, 2, 2))
    x = net.add(Scaled(), *net.inputs, name="first")
    net = net.build(net.add(Scaled(), x, name="second"))
    torch.manual_seed(11)
    one = initialised(net, seed=0)
    random.random()
    torch.manual_seed(12)
    assert digest(initialised(net, seed=0)) == digest(one)
    assert digest(initialised(net, seed=1)) != digest(one)
    first, second = (part.scale for part in one.children())
    assert first.mean().item() == pytest.approx(7.0, abs=0.1)
    assert not torch.equal(first, second)


def test_no_generator_is_touched():
    nets = [network("nb201:channels=4,cells=1"), Builder((4, 2, 2))]
    nets[1] = nets[1].build(nets[1].add(Scaled(), *nets[1].inputs, name="own"))
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    for net in nets:
        initialised(net, seed=9)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
    assert random.getstate() == python_state
