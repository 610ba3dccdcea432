"""Networks whose channels are divided over stages: block-triangular weights, their slices, and what is refused."""

from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
import torch
from compression.exit_networks import exits_spec

from nasctl import registry
from nasctl.api import Builder, Conv, Flatten, Linear
from nasctl.compression import channel_exits
from nasctl.compression.channel_exits import _MaskedNetwork, _weights
from nasctl.compression.divided_groups import DividedGroup, DividedGroups, divided
from nasctl.compression.labelled_data import labelled_data
from nasctl.compression.variant_accuracy import validation_batches
from nasctl.errors import NasctlError
from nasctl.networks.early_exit import exit_stages, running_costs
from nasctl.networks.node import attribute_name
from nasctl.problem.sampling import unseen
from nasctl.training.folder import CURRENT_STORE


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    token = CURRENT_STORE.set(str(folder / "store.db"))
    yield registry.create("spaces", exits_spec(folder, "kind=channels,stages=3,epochs=1,thresholds=0.9,0.3"))
    CURRENT_STORE.reset(token)


def images(space):
    batches, _ = validation_batches(space.base, labelled_data(space.base, "digits"), 60)
    return batches[0]


def test_slices_compute_what_masked_weights_compute(space, monkeypatch):
    """In training mode, where norms take the statistics of the batch."""
    variants, genome = space.exits, (1, 1, 2, 0, 1, 2, 1)
    masked = _MaskedNetwork(variants)
    weights = _weights(variants)
    masked.trunk.load_state_dict({key: weights[key] for key in masked.trunk.state_dict()})
    for k, one in enumerate(masked.exits):
        one.load_state_dict({key: weights[f"exit{k + 1}.{key}"] for key in ("weight", "bias")})

    class Fixed:
        def integers(self, number, size):
            return list(genome[2:])

    monkeypatch.setattr(channel_exits, "generator", lambda *_: Fixed())
    x = images(space)
    module, network = space.module(genome).train(), space.network(genome)
    logits = {}
    for k in network.nodes[network.output].inputs:
        name = attribute_name(network.nodes[k].name)
        module.get_submodule(name).register_forward_hook(lambda *given, k=k: logits.__setitem__(k, given[2]))
    with torch.no_grad():
        module(x)
        for one, other in zip(masked.step(x, 0), logits.values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_earlier_stages_read_no_channel_of_later_ones(space):
    network = space.network((1, 1, 0, 1, 2, 0, 1))
    stages = exit_stages(network)
    assert len(stages) == 3
    for number, stage in enumerate(stages):
        parts = [network.nodes[k].name for k in stage.nodes if ".part" in network.nodes[k].name]
        assert {int(name.rpartition(".part")[2]) for name in parts} == {number + 1}


def test_costs_are_those_of_the_blocks_below_the_diagonal():
    net = Builder((4, 6, 6))
    x = net.add(Conv(8, 3), *net.inputs, name="first")
    x = net.add(Conv(12, 3), x, name="second")
    base = net.build(net.add(Linear(10), net.add(Flatten(), net.add(Conv(1, 6), x, name="c"), name="f"), name="l"))
    with pytest.raises(NasctlError, match="kind=depth"):  # the features are those of 25 positions
        DividedGroups(base)
    assert divided(DividedGroup("a", 8, (), ()), (0.25, 0.5)) == (2, 4, 8)
    assert divided(DividedGroup("a", 2, (), ()), (0.25, 0.5)) == (2, 2, 2)


def test_the_costs_of_a_division_follow_from_its_channels(space):
    genome = (1, 1, 0, 0, 0, 0, 0)  # a quarter and a half of all channels
    network, base = space.network(genome), space.base.network
    costs = running_costs(network, lambda span: span.emission.macs)
    conv = {node.name: node for node in base.nodes if isinstance(node.layer, Conv)}
    first = conv["stem.conv"].layer.macs(*conv["stem.conv"].in_shapes)
    rest = sum(node.layer.macs(*node.in_shapes) for node in conv.values()) - first
    widths = [node.in_shapes[0][0] for node in base.nodes[base.output :]]
    heads = [10 * widths[0] * share for share in (0.25, 0.5, 1)]
    # Of a convolution's 4 x 4 blocks, the stages have 1, then 1 row of 2, and then 2 rows of 4.
    steps = zip((first / 4, first / 4, first / 2), (rest / 16, rest / 8, rest / 2), heads, strict=True)
    assert costs == list(accumulate(map(sum, steps)))
    assert network.macs == costs[-1]


def test_channels_that_are_too_few_are_divided_in_one_way(space):
    narrow = replace(space.exits, shares=(0.6, 0.7, 0.8))  # of 4 channels, 0.7 and 0.8 are 3, and 0.6 is 2
    exits, groups = [1, 1], DividedGroups(space.base.network).groups
    assert [len(narrow.divisions), groups[0].width] == [3, 4]
    genome = narrow.canonical((*exits, *[2] * len(groups)))
    assert genome[:3] == (1, 1, 2)  # 0.7 and 0.8 give one stage all channels
    assert narrow.canonical((*exits, *[1] * len(groups)))[2] == 0  # 0.6 and 0.8 are 0.6 and 0.7
    assert narrow.canonical(genome) == genome


def test_searches_and_modules_agree(space):
    x = images(space)
    run = space.evaluator([x])
    for genome in unseen(space, np.random.default_rng(0), 1):
        with torch.no_grad():
            assert torch.equal(run(genome)[0], space.module(genome)(x))


def test_weights_are_trained_once(space, monkeypatch):
    channel_exits._weights.cache_clear()
    monkeypatch.setattr(channel_exits, "train", lambda *_: pytest.fail("trained again"))
    assert space.module((1,) * len(space.genes)) is not None


@pytest.mark.parametrize("options", ["stages=1", "shares=0.5,0.25", "shares=0.5,1", "stages=5"])
def test_divisions_out_of_range_are_refused(space, options):
    spec = f"exits:of={space.base.name},kind=channels"
    path = space.exits.given.path
    with pytest.raises(NasctlError, match="Cannot"):
        registry.create("spaces", f"{spec.replace(space.base.name, path)},{options}")
