"""Completion of a table of measured rows: operator model, context terms, and validations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nasctl.api import Network, Span
from nasctl.hardware.fitting.in_network import fit_context
from nasctl.hardware.fitting.operators import FOLDS, MIN_SAMPLES, cross_val_predict, evaluate_predictions, fit_operators
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Validation

BLOCKS_HELD_OUT = f"blocks, for what the operator model covers beside the table's rows; {FOLDS} folds"
MIN_CONTEXT_NETWORKS = 20  # measured networks that a fit of the context terms needs


def with_operators(table: LatencyTable, spans: Mapping[str, Span]) -> LatencyTable:
    """Return the table with an operator model fitted to its rows, and the cross-validated error of that model.

    Args:
        table: A table with measured rows.
        spans: A span of each block, by emission key.
    """
    keys = [key for key in spans if key in table.blocks]
    if len(keys) < MIN_SAMPLES:
        return table
    samples = [features(spans[key].emission) for key in keys]
    ms = np.array([table.blocks[key].ms for key in keys])
    guesses = cross_val_predict(samples, ms, keys)
    known = np.isfinite(guesses)
    table = replace(table, operators=fit_operators(samples, ms))
    if not known.any():
        return table
    return _with_validation(table, evaluate_predictions(BLOCKS_HELD_OUT, guesses[known], ms[known], against="blocks"))


def with_context(table: LatencyTable, measured: Sequence[tuple[Network, float]]) -> LatencyTable:
    """Return the table with context terms and overhead fitted to measured networks, if these are enough.

    Args:
        table: A table with measured rows.
        measured: Whole networks, and their latencies in ms.
    """
    if len(measured) < MIN_CONTEXT_NETWORKS:
        return table
    table = replace(table, context={}, overhead=0.0)
    networks, ms = zip(*measured, strict=True)
    alone = np.array([table.latency(network) for network in networks])
    context, overhead = fit_context(networks, alone, np.array(ms))
    return replace(table, context=context, overhead=overhead)


def with_error(table: LatencyTable, spec: str, measured: Sequence[tuple[Network, float]]) -> LatencyTable:
    """Return the table with its error on whole networks that took no part in its fits.

    Args:
        table: The table.
        spec: Normal spec of the search space of the networks.
        measured: Whole networks, and their latencies in ms.
    """
    if not measured:
        return table
    predicted = np.array([table.latency(network) for network, _ in measured])
    times = np.array([ms for _, ms in measured])
    others = "; others than those that say what blocks cost within one" if table.context else ""
    kept = f"whole random networks of {spec}{others}"
    return _with_validation(table, evaluate_predictions(kept, predicted, times, [spec]))


def _with_validation(table: LatencyTable, validation: Validation) -> LatencyTable:
    """Return the table with one more validation, instead of an older one of the same; whole networks come first."""
    others = [one for one in table.validation if one.held_out != validation.held_out]
    ordered = sorted([*others, validation], key=lambda one: one.against == "blocks")
    return replace(table, validation=tuple(ordered))
