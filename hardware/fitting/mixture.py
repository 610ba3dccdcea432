"""Fit of a mixture of latency tables to a few whole networks of a new device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nasctl.api import NasctlError
from nasctl.hardware.estimation import FREE_KINDS, emission_of_key
from nasctl.hardware.fitting.nonnegative import fit_nonnegative
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Method, Row

DIGITS = 6  # decimals of a row in ms, as in all tables
# Quantities of features that stand for elements moved in `in_network`.
MOVED = ("read", "written", "moved")


def fit_mixture(prices: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Return the weights of tables, (K,), 0 or more, whose weighted sum has the least squared relative errors.

    There is no constant term, because each table has its own overhead. The solution has at most N weights above 0. One
    network determines a factor but no table: the table whose factor is nearest to 1 is taken, because devices of a
    similar speed are more often alike.

    Args:
        prices: Predictions of K tables for N networks in ms, (N, K), above 0.
        ms: Measured latencies, (N,), above 0.

    References:
        Lawson & Hanson, "Solving least squares problems", 1974, chapter 23.
    """
    shares = prices / ms[:, None]
    factors = shares.sum(axis=0) / (shares**2).sum(axis=0)  # least squares of each table alone
    if len(ms) == 1:
        nearest = int(np.argmin(np.abs(np.log(factors))))
        return np.where(np.arange(len(factors)) == nearest, factors, 0.0)
    # Columns of equal size let the algorithm begin with the table that fits best, not with the largest one.
    weights: np.ndarray = factors * fit_nonnegative(prices * factors, ms)
    return weights


def leave_one_out(prices: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Return the latency of each network in ms, (N,), by a fit to the other N - 1 networks; N is 2 or more.

    Args:
        prices: Predictions of K tables, (N, K), above 0.
        ms: Measured latencies, (N,), above 0.
    """
    every = np.arange(len(ms))
    return np.array([prices[k] @ fit_mixture(prices[every != k], ms[every != k]) for k in every])


def unmixable(table: LatencyTable) -> str:
    """Return why a table cannot be part of a mixture, or "" if it can."""
    if table.places:
        return "it has rows that hold at one place of a network"
    return "it takes idle operations as free" if table.idle == "ignore" else ""


def mix_tables(empty: LatencyTable, tables: Sequence[LatencyTable], weights: np.ndarray) -> LatencyTable:
    """Return the table whose prices are the weighted sums of the prices of tables.

    Each block that has a row in a table with a weight above 0 gets a row. All other blocks are priced by the sum of the
    operator models, because these are linear, and context terms are too.

    Args:
        empty: The table without its rows.
        tables: The tables, (K,).
        weights: Their weights, (K,), 0 or more.

    Raises:
        NasctlError: No weight is above 0, or a table cannot be part of a mixture.
    """
    parts = [(table, float(weight)) for table, weight in zip(tables, weights, strict=True) if weight > 0]
    if not parts:
        raise NasctlError("no mixture of these tables fits the latencies; are all of them milliseconds?")
    for table, _ in parts:
        if reason := unmixable(table):
            raise NasctlError(f"{table.device!r} cannot be part of a mixture: {reason}; name other tables")
    models = [(effective_operators(table), weight) for table, weight in parts]
    operators = _summed(models) if all(model for model, _ in models) else None
    rows = _rows(parts)
    method: Method = "fitted" if rows or operators is None else "modelled"
    overhead = sum(weight * table.overhead for table, weight in parts)
    return replace(empty, blocks=rows, operators=operators, method=method, overhead=round(overhead, DIGITS))


def effective_operators(table: LatencyTable) -> dict[str, float]:
    """Return the coefficients of a table's operator model in ms per unit, with its context terms in them."""
    context = table.context
    if not table.operators or not context:
        return dict(table.operators or {})
    found = {}
    for name, coefficient in table.operators.items():
        quantity = name.rpartition(".")[2]
        term = "moved" if quantity in MOVED else quantity
        found[name] = context.get("alone", 1.0) * coefficient + (
            context.get(term, 0.0) if term in ("moved", "weights", "count") else 0.0
        )
    return found


def _summed(models: Sequence[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """Return the weighted sum of operator models, of the features that all of them know or that are of no work."""
    names = {name for model, _ in models for name in model}
    known = [
        name
        for name in sorted(names)
        if all(name in model or name.partition(".")[0] in FREE_KINDS for model, _ in models)
    ]
    return {name: float(f"{sum(weight * model.get(name, 0.0) for model, weight in models):.9g}") for name in known}


def _rows(parts: Sequence[tuple[LatencyTable, float]]) -> dict[str, Row]:
    """Return the rows of a mixture: of every block that has one in a table and that all tables can price."""
    rows = {}
    for key in sorted({key for table, _ in parts for key in table.blocks}):
        emission = emission_of_key(key)
        if emission is None or any(table.missing(emission) for table, _ in parts):
            continue
        rows[key] = Row(round(sum(weight * table.block(emission).ms for table, weight in parts), DIGITS))
    return rows
