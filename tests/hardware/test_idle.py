"""Idle operations: which they are, and how fits and tables take them."""

from dataclasses import replace

import numpy as np
import pytest
from timed_cells import CONV, EMPTY, SPACE, cost, counting, genomes, ignoring, names, table, timed

from nasctl import registry
from nasctl.api import Add, Builder, Classifier, ConvNormAct, Zero, declared_network
from nasctl.hardware.fitting.additive import FOLDS, MeasuredNetworks, fit, folds, split_groups, validate_fit
from nasctl.hardware.fitting.by_idle import TimedNetworks, fit_form
from nasctl.hardware.idle import live_spans, unavoidable_spans
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row
from nasctl.testing import drawn


def test_blocks_that_do_not_reach_the_output_are_idle():
    network = SPACE.network((3, 0, 0, 2, 0, 0))  # nothing reads the convolution of the first edge
    idle = set(names(network.spans)) - set(names(live_spans(network)))
    assert idle == {f"stage{stage}.{cell}.edge01" for stage in (1, 2, 3) for cell in (0, 1)}


def test_blocks_that_read_only_zeros_are_idle():
    network = SPACE.network((0, 0, 3, 2, 0, 3))  # node 1 is zeros, and so is all that is made of it
    live = names(live_spans(network))
    assert not [name for name in live if "edge12" in name or "edge23" in name or "zero" in name]
    assert "stage1.0.edge03" in live


PATHLESS = [(0,) * 6, (3, 3, 3, 0, 0, 0), (0, 0, 0, 0, 3, 0), (3, 0, 0, 0, 0, 0), (0, 2, 3, 0, 1, 0)]


@pytest.mark.parametrize("genome", PATHLESS)
@pytest.mark.parametrize("network", [SPACE.network, SPACE.declared])
def test_what_every_network_runs_is_not_idle_in_a_network_without_a_path(genome, network):
    assert names(unavoidable_spans(network(genome))) == ["stem", "reduction1", "reduction2", "head"]
    assert not live_spans(SPACE.network(genome))
    priced = replace(table(idle="ignore"), overhead=0.25)
    always = sum(cost(span) for span in SPACE.network(genome).spans if "." not in span.name)
    assert priced.latency(network(genome)) == pytest.approx(0.25 + always)
    assert sum(figure.ms for figure in priced.block_latencies(network(genome))) == pytest.approx(always)


def test_a_network_without_a_path_has_blocks_to_pay_for_in_any_space():
    space = registry.create("spaces", "tnb101_micro")
    kept = names(unavoidable_spans(space.network((0,) * 6)))
    assert kept
    assert not [name for name in kept if "edge" in name or "zero" in name]
    net = Builder((3, 8, 8))
    x = net.add(ConvNormAct(4, 3), *net.inputs, name="stem")
    parts = [net.add(Zero(), net.add(ConvNormAct(4, 3), x, name=f"branch{k}"), name=f"zero{k}") for k in (0, 1)]
    y = net.add(Add(), *parts, name="sum")
    network = net.build(net.add(Classifier(10), y, name="head"))
    assert names(unavoidable_spans(network)) == ["stem", "sum", "head"]


@pytest.mark.parametrize("rows", ["operation", "place"])
def test_a_fit_to_networks_with_paths_prices_networks_without_one(rows):
    chosen = [genome for genome in genomes(300) if any(SPACE.canonical(genome))]
    data, _ = TimedNetworks.of(SPACE, chosen, np.array([ignoring(genome) for genome in chosen]))
    fitted = fit_form(data, "ignore", rows).fill(EMPTY)
    always = 1.0 + sum(cost(span) for span in SPACE.network((0,) * 6).spans if "." not in span.name)
    for genome in PATHLESS:
        assert fitted.latency(SPACE.network(genome)) == pytest.approx(always, rel=0.05)


def test_a_sum_with_zeros_is_not_idle():
    net = Builder((3, 8, 8))
    x = net.add(ConvNormAct(4, 3), *net.inputs, name="stem")
    zero = net.add(Zero(), x, name="zero")
    y = net.add(Add(), x, zero, name="sum")
    network = net.build(net.add(Classifier(10), y, name="head"))
    assert names(live_spans(network)) == ["stem", "sum", "head"]
    without = replace(network, spans=live_spans(network))
    assert live_spans(without) == without.spans  # blocks that were left out before do not matter


def test_canonical_networks_and_other_spaces_have_no_idle_blocks():
    for genome in genomes(40):
        canonical = SPACE.canonical(genome)
        if any(canonical):
            assert live_spans(SPACE.network(canonical)) == SPACE.network(canonical).spans
    for spec in ("mbconv", "darts", "nb101", "vit", "bert", "hytra"):
        space = registry.create("spaces", spec)
        for genome in drawn(space, 3):
            network = space.network(space.canonical(genome))
            assert live_spans(network) == network.spans


@pytest.mark.parametrize("spec", ["nb201", "tnb101_micro"])
def test_the_declared_form_runs_every_edge(spec):
    space = registry.create("spaces", spec)
    network, zeros = space.declared((0,) * 6), space.declared((1,) * 6)
    assert sum("edge" in span.name for span in network.spans) == {"nb201": 6 * 15, "tnb101_micro": 6 * 10}[spec]
    assert len(network.spans) > len(zeros.spans)  # a skip is no work, unless it halves the resolution
    last = len(space.genes[0].choices) - 1
    full = (last,) * 6
    assert space.declared(full).spans == space.network(full).spans
    assert declared_network(registry.create("spaces", "mbconv"), (0,) * 45).spans


def test_idle_operations_are_counted_where_the_device_runs_them():
    _, data = timed(counting)
    found = fit_form(data)
    assert found.idle == "count"
    assert "are counted (MAPE in 5 folds 0." in found.idle_remark


def test_idle_operations_are_ignored_where_the_device_leaves_them_out():
    chosen, data = timed(ignoring)
    found = fit_form(data)
    table = found.fill(EMPTY)
    assert (found.idle, table.idle) == ("ignore", "ignore")
    for genome in chosen[:20]:  # a network may be given as it is written
        assert table.latency(SPACE.network(genome)) == pytest.approx(ignoring(genome), rel=0.05)


def test_the_form_can_be_asked_for_and_is_worse():
    chosen, data = timed(ignoring)
    asked = fit_form(data, idle="count")
    assert (asked.idle, asked.idle_remark.endswith("are counted, as asked for")) == ("count", True)
    errors = [
        np.abs(one.form(data).predicted(one.fill(EMPTY)) / one.form(data).ms - 1).mean()
        for one in (asked, fit_form(data))
    ]
    assert errors[0] > 5 * errors[1]
    assert len(chosen) == data.forms["count"].ms.size


def test_a_space_without_idle_operations_has_one_form():
    space = registry.create("spaces", "nbmacro")
    chosen = drawn(space, 60)
    data, _ = TimedNetworks.of(space, chosen, np.array([float(space.network(one).macs) for one in chosen]) / 1e7)
    assert (list(data.forms), data.with_idle) == (["count"], 0)
    assert (fit_form(data).idle, fit_form(data).idle_remark) == (None, "")


def test_networks_of_one_function_are_never_divided():
    _, data = timed(counting)
    counted = data.forms["count"]
    assert len(set(data.groups)) < len(data.groups)
    inside, held = split_groups(data.groups, 0.3, seed=0)
    assert not set(data.groups[inside]) & set(data.groups[held])
    assert sorted([*inside, *held]) == list(range(len(data.groups)))
    parts = list(folds(counted))
    assert len(parts) == FOLDS
    for one, other in parts:
        assert not set(one.groups) & set(other.groups)
        assert len(one.ms) + len(other.ms) == len(counted.ms)


def test_held_out_networks_with_unknown_operators_are_left_out():
    chosen = [one for one in genomes(300) if 0 not in one]
    zeros = [(0, 1, 1, 1, 1, 1), (1, 0, 1, 1, 1, 1)]  # they cost nothing, because the fit saw none
    net = Builder((3, 8, 8))
    other = net.build(net.add(ConvNormAct(4, 3, act="hswish"), *net.inputs, name="stem"))
    networks = [*map(SPACE.declared, [*chosen, *zeros]), other, other]
    data = MeasuredNetworks.of(networks, np.array([*map(counting, [*chosen, *zeros]), 1.0, 2.0]))
    inside, held = data.part(np.arange(len(chosen))), data.part(np.arange(len(chosen), len(networks)))
    error = validate_fit(fit(inside).fill(EMPTY), inside, held, "networks", [])
    assert error.number == 2
    assert "2 networks left out, because the table has no row for ConvNormAct(" in error.held_out


def test_the_digest_follows_places_and_what_idle_blocks_cost():
    plain = table(places={})
    assert plain.digest == table(places={}, idle="count").digest  # all blocks count in both
    others = [table(), table(places={}, idle="ignore"), table(places={"stage1.*.edge03": {CONV: Row(8.0)}})]
    assert len({one.digest for one in [plain, *others]}) == 4


def test_idle_blocks_cost_nothing_where_they_are_ignored():
    network = SPACE.network((3, 0, 0, 2, 0, 0))
    figures = dict(zip(names(network.spans), table(idle="ignore").block_latencies(network), strict=True))
    assert figures["stage1.0.edge01"] == (0.0, "idle")
    assert figures["stage1.0.edge03"] == (7.0, "fitted")
    assert table(idle="count").block_latencies(network)[1].origin == "fitted"


def test_shipped_tables_say_how_their_networks_were_timed():
    assert LatencyTable.load("titan-rtx-b1-nb201").idle == "count"
    assert LatencyTable.load("titan-rtx-b64").idle is None
