"""What a table of measured rows has beside them: a model of operators, what blocks cost within networks, its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nasctl.api import Network, Span
from nasctl.hardware.fitting.in_network import fitted as fitted_context
from nasctl.hardware.fitting.operators import FEWEST, FOLDS, accuracy, cross_predictions, fitted
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Validation

BLOCKS_HELD_OUT = f"blocks, for what the operator model covers beside the table's rows; {FOLDS} folds"
FEWEST_NETWORKS = 20  # from which follows what blocks cost within one


def with_operators(table: LatencyTable, spans: Mapping[str, Span]) -> LatencyTable:
    """The table with an operator model of its rows, and how well that predicts blocks that it has not seen."""
    keys = [key for key in spans if key in table.blocks]
    if len(keys) < FEWEST:
        return table
    samples = [features(spans[key].emission) for key in keys]
    ms = np.array([table.blocks[key].ms for key in keys])
    guesses = cross_predictions(samples, ms, keys)
    known = np.isfinite(guesses)
    table = replace(table, operators=fitted(samples, ms))
    return (
        _with(table, accuracy(BLOCKS_HELD_OUT, guesses[known], ms[known], against="blocks")) if known.any() else table
    )


def with_context(table: LatencyTable, measured: Sequence[tuple[Network, float]]) -> LatencyTable:
    """The table with what its blocks cost within networks, by some that were measured."""
    if len(measured) < FEWEST_NETWORKS:
        return table
    table = replace(table, context={}, overhead=0.0)
    networks, ms = zip(*measured, strict=True)
    alone = np.array([table.latency(network) for network in networks])
    context, overhead = fitted_context(networks, alone, np.array(ms))
    return replace(table, context=context, overhead=overhead)


def with_error(table: LatencyTable, spec: str, measured: Sequence[tuple[Network, float]]) -> LatencyTable:
    """The table with its error on whole networks of a space, which took no part in it."""
    if not measured:
        return table
    predicted = np.array([table.latency(network) for network, _ in measured])
    times = np.array([ms for _, ms in measured])
    others = "; others than those that say what blocks cost within one" if table.context else ""
    kept = f"whole random networks of {spec}{others}"
    return _with(table, accuracy(kept, predicted, times, [spec]))


def _with(table: LatencyTable, found: Validation) -> LatencyTable:
    """The table with one validation more, in place of an older one of the same; of whole networks first."""
    others = [one for one in table.validation if one.held_out != found.held_out]
    ordered = sorted([*others, found], key=lambda one: one.against == "blocks")
    return replace(table, validation=tuple(ordered))
