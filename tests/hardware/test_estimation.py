"""Blocks that a table has no figure of: those that cost nothing, and those that are scaled from rows nearby."""

from itertools import islice

import pytest

from nasctl import registry
from nasctl.api import (
    Add,
    AvgPool,
    BatchNorm,
    Builder,
    Conv,
    ConvNormAct,
    FlattenMap,
    HSwish,
    MBConv,
    MissingBlock,
    ReLU,
    SumTerm,
    WeightedSum,
    Zero,
)
from nasctl.hardware.distinct_blocks import random_genomes
from nasctl.hardware.estimation import emission_of_key, estimate
from nasctl.hardware.kinds import prices_space
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation
from nasctl.networks.graph import emission_of
from nasctl.objectives.latency import Latency
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.store.store import Store

IMAGE = ((16, 32, 32),)
CONV = {f"pointwise.{name}": 0.0 for name in ("read", "written", "weights")} | {"count": 1.0, "pointwise.macs": 1e-6}


def toy(**changes):
    return LatencyTable(**{"device": "toy", "kind": "cpu", "batch": 1, "blocks": {}, **changes})


@pytest.mark.parametrize("block", [Zero(), FlattenMap()])
@pytest.mark.parametrize("operators", [None, CONV])
def test_a_block_without_work_costs_nothing(block, operators):
    table = toy(operators=operators, context={"alone": 2.0, "moved": 1.0, "count": 1.0})
    assert table.block(emission_of(block, IMAGE)) == (0.0, "free")


def test_a_weighted_sum_costs_what_a_plain_one_does():
    plain = emission_of(Add(), IMAGE * 3)
    weighted = emission_of(WeightedSum(tuple(SumTerm(name, (((0, 1),),)) for name in "abc")), IMAGE * 3)
    assert toy(blocks={plain.key: Row(0.25, 0.1, 9)}).block(weighted) == (0.25, "measured")
    assert toy(operators={"count": 0.5, "add.moved": 0.0}).block(weighted) == (0.5, "modelled")


def test_a_figure_of_the_table_comes_before_nothing():
    emission = emission_of(Zero(), IMAGE)
    assert toy(operators={"count": 0.5, "zero.moved": 0.0}).block(emission) == (0.5, "modelled")
    assert toy(blocks={emission.key: Row(0.25, 0.1, 9)}).block(emission) == (0.25, "measured")


def test_a_folded_norm_costs_nothing_and_another_norm_is_unknown():
    folded = emission_of(ConvNormAct(32, 1, act=None), IMAGE)
    # One operator, and 16 x 32 x 32 x 32 multiply-accumulates; the norm of the convolution is part of its weights.
    assert toy(operators=CONV).block(folded) == (pytest.approx(1 + 16 * 32 * 32 * 32 * 1e-6), "modelled")
    with pytest.raises(MissingBlock, match="BatchNorm"):
        toy(operators=CONV).block(emission_of(BatchNorm(), IMAGE))
    with pytest.raises(MissingBlock, match="HSwish"):  # an activation is work
        toy(operators=CONV).block(emission_of(HSwish(), IMAGE))


def test_a_block_is_scaled_from_rows_of_its_operator():
    wide, narrow = (emission_of(AvgPool(3), ((channels, 32, 32),)) for channels in (32, 8))
    wanted = emission_of(AvgPool(3), IMAGE)
    one = toy(blocks={wide.key: Row(4.0)}, method="fitted")
    assert one.block(wanted) == (pytest.approx(2.0), "modelled")  # it moves half as much
    both = toy(blocks={wide.key: Row(4.0), narrow.key: Row(1.4)}, method="fitted")
    assert both.block(wanted).ms == pytest.approx((2.0 + 2.8) / 2)  # both are as far
    far = toy(blocks={emission_of(AvgPool(3), ((256, 32, 32),)).key: Row(4.0)})
    with pytest.raises(MissingBlock, match="AvgPool"):
        far.block(wanted)
    with pytest.raises(MissingBlock, match="ReLU"):  # another operator of the same size
        one.block(emission_of(ReLU(), IMAGE))


def test_a_nearer_row_weighs_more():
    rows = {emission_of(Conv(channels), IMAGE).key: Row(ms) for channels, ms in ((32, 3.0), (64, 90.0))}
    found = estimate({}, rows, emission_of(Conv(30), IMAGE))
    assert found is not None
    assert 2 < found.ms < 6
    assert "nearest rows of the same operator" in found.how


@pytest.mark.parametrize("space", ["mbconv", "nb201", "fbnet", "nbmacro"])
def test_a_key_stands_for_its_block(space):
    made = registry.create("spaces", space)
    for genome in islice(random_genomes(made, seed=1), 5):
        for span in made.network(genome).spans:
            found = emission_of_key(span.emission.key)
            assert found is not None
            assert [node.layer for node in found.nodes] == [node.layer for node in span.emission.nodes]


@pytest.mark.parametrize("key", ["Nothing() @ 3x8x8", "MBConv(channels=__import__('os')) @ 3x8x8", "MBConv @ 3", "x"])
def test_a_key_without_a_block_is_none(key):
    assert emission_of_key(key) is None


@pytest.mark.parametrize("device", ["raspi4-nb201", "pixel3-nb201"])
def test_cells_of_zeros_are_priced_and_said(device):
    objective, space = Latency(device), registry.create("spaces", "nb201")
    zeros = space.network(space.canonical((0,) * 6))
    assert any(span.emission.key.startswith("Zero()") for span in zeros.spans)
    assert objective.table.latency(zeros) >= 0
    assert "free" in {figure.origin for figure in objective.table.block_latencies(zeros)}
    (line,) = (line for line in objective.remarks("nb201", zeros) if line.startswith("ESTIMATED"))
    assert "no figure of Zero() @ 16x32x32 and 2 other blocks; Zero is taken to cost nothing" in line
    for genome in islice(random_genomes(space, seed=0), 200):
        assert objective.table.latency(space.network(genome)) >= 0


def test_a_table_that_lacks_a_block_of_a_space_does_not_price_it():
    error = Validation("x", ("nb201",), "networks", 20, 1.0, 0.0, 0.9, 0.8)
    assert not prices_space(toy(operators=CONV, validation=(error,)), "nb201")
    assert prices_space(LatencyTable.load("raspi4-nb201"), "nb201")


def test_a_block_with_a_row_or_a_model_needs_no_estimate():
    net = Builder((3, 8, 8))
    network = net.build(net.add(MBConv(4, 3, 3), *net.inputs, name="block"))
    key = network.spans[0].emission.key
    assert toy(blocks={key: Row(1.0)}).estimates([network]) == {}
    assert toy().estimates([network]) == {}  # nothing is near, and the block is missing


@pytest.mark.slow
@pytest.mark.parametrize("device", registry.names("devices"))
def test_every_table_prices_the_spaces_that_it_is_listed_for(device):
    table = LatencyTable.load(device)
    for spec in table.spaces:
        space = registry.create("spaces", spec)
        for genome in islice(random_genomes(space, seed=0), 200):
            assert not table.unpriced_keys(space.network(genome))
        assert prices_space(table, spec)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["titan-rtx-b64", "x86-torch", "note10", "raspi4-fbnet", "pixel1", "fpga-nb201"])
def test_a_search_reaches_its_end_on_each_space_that_a_table_is_listed_for(device, tmp_path):
    by_name = {spec.partition(":")[0]: spec for spec in reversed(LatencyTable.load(device).spaces)}
    for spec in by_name.values():  # the plain spec of each space, if the table has it
        run = SearchRequest(spec, (device,), ("params", "latency")).run(SettingOptions())
        store = Store(tmp_path / "store")
        visited = [visit.evaluation for visit in run.search(store, 60)]
        assert len(visited) == 60
        assert not any(one.errors for one in visited)
        assert all(one.values[f"latency@{device}"] >= 0 for one in visited)
