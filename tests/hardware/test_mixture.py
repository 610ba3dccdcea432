"""Mixtures of latency tables: weights that are known, prices that are sums, and errors by leaving one out."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import NasctlError
from nasctl.hardware.distinct_blocks import random_genomes
from nasctl.hardware.fitting.mixture import fit_mixture, leave_one_out, mix_tables
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row

EMPTY = LatencyTable("new", "mobile", 1, {})


def networks(spec, number):
    space = registry.create("spaces", spec)
    return [space.network(genome) for genome in islice(random_genomes(space, seed=3), number)]


@pytest.mark.parametrize("number", [2, 5, 9])
def test_weights_of_an_exact_mixture_are_found(number):
    prices = np.array(
        [[1.0, 8, 3], [2, 7, 1], [3, 5, 9], [5, 4, 2], [7, 1, 4], [9, 2, 2], [1, 1, 6], [8, 3, 1], [4, 4, 4]]
    )
    weights = np.array([0.5, 2.0, 0.0])
    ms = prices @ weights
    found = fit_mixture(prices[:number], ms[:number])
    assert prices[:number] @ found == pytest.approx(ms[:number], rel=1e-4)
    if number > 2:
        assert found == pytest.approx(weights, abs=1e-3)
    if number > 5:
        assert leave_one_out(prices, ms) == pytest.approx(ms, rel=1e-4)


def test_a_weight_is_never_negative():
    prices = np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0]])
    found = fit_mixture(prices, np.array([1.0, 2.5, 4.0]))  # falls with the second table
    assert found[1] == 0
    assert found[0] > 0


def test_one_network_gives_the_nearest_table_a_factor():
    assert fit_mixture(np.array([[10.0, 4.0, 100.0]]), np.array([5.0])).tolist() == pytest.approx([0, 1.25, 0])


def test_leaving_one_out_does_not_see_the_network():
    prices, ms = np.array([[1.0], [2.0], [4.0]]), np.array([1.0, 2.0, 8.0])
    # One table has the factor (sum of shares) / (sum of their squares), where a share is the price over the latency.
    assert leave_one_out(prices, ms).tolist() == pytest.approx([1.5 / 1.25, 2 * 1.5 / 1.25, 4.0], rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("mbconv", ("note10", "i7-8700k")),  # operator models alone
        ("mbconv", ("note10", "titan-rtx-b64", "x86-onnxruntime")),  # rows, and context terms
        ("nb201", ("x86-torch", "raspi4-nb201", "samsung-a50-nb201")),  # a table without a figure of zeros
    ],
)
def test_a_mixture_has_the_sums_of_its_tables(spec, names):
    tables = [LatencyTable.load(name) for name in names]
    weights = np.linspace(0.2, 1.4, len(tables))
    mixed = mix_tables(EMPTY, tables, weights)
    assert mixed.method == ("fitted" if any(table.blocks for table in tables) else "modelled")
    for network in networks(spec, 10):
        expected = sum(weight * table.latency(network) for weight, table in zip(weights, tables, strict=True))
        assert mixed.latency(network) == pytest.approx(expected, rel=1e-5)


def test_a_table_without_a_weight_has_no_part():
    note10 = LatencyTable.load("note10")
    mixed = mix_tables(EMPTY, [note10, LatencyTable("rows", "cpu", 1, {"x": Row(1.0)})], np.array([2.0, 0.0]))
    assert (mixed.method, mixed.monotone) == ("modelled", True)
    network = networks("mbconv", 1)[0]
    assert mixed.latency(network) == pytest.approx(2 * note10.latency(network), rel=1e-6)


def test_tables_that_cannot_be_mixed_are_refused():
    note10 = LatencyTable.load("note10")
    with pytest.raises(NasctlError, match="takes idle operations as free"):
        mix_tables(EMPTY, [replace(note10, idle="ignore")], np.array([1.0]))
    with pytest.raises(NasctlError, match="rows that hold at one place"):
        mix_tables(EMPTY, [replace(note10, method="fitted", places={"a": {"x": Row(1.0)}})], np.array([1.0]))
    with pytest.raises(NasctlError, match="no mixture"):
        mix_tables(EMPTY, [note10], np.array([0.0]))


def test_a_feature_that_one_table_does_not_know_stays_unknown():
    some = LatencyTable("a", "cpu", 1, {}, operators={"count": 1.0, "relu.moved": 2.0}, method="modelled")
    more = replace(some, operators={**some.operators, "hswish.moved": 3.0, "zero.moved": 4.0})
    mixed = mix_tables(EMPTY, [some, more], np.array([1.0, 1.0]))
    assert mixed.operators == {"count": 2.0, "relu.moved": 4.0, "zero.moved": 4.0}
