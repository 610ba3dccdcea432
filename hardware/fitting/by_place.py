"""Fit of rows that hold at one place of a network, to end-to-end latencies of whole networks.

An operation of a small network costs a GPU little arithmetic and much waiting, so its cost can depend on the operations
around it, and therefore on its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from nasctl.api import Emission, NasctlError
from nasctl.hardware.fitting.additive import (
    FOLDS,
    MIN_GAIN,
    NEGLIGIBLE,
    NETWORKS_PER_ROW,
    STRENGTHS,
    AdditiveFit,
    MeasuredNetworks,
    Ridge,
    fit,
    fold_error,
    folds,
    frequent_blocks,
    solutions,
)
from nasctl.hardware.operator_model import features, predict_latency
from nasctl.hardware.places import repeated_place

Rows = Literal["auto", "operation", "place"]
MAX_ROWS = 1000  # rows of places; the time of a fit grows with the cube of their number


def fit_rows(data: MeasuredNetworks, rows: Rows = "auto", operators_only: bool = False) -> AdditiveFit:
    """Fit an additive model with rows per operation or rows per place, by their cross-validated errors.

    Rows per operation are fitted first. Rows per place are then fitted with these as the prior that the ridge penalty
    pulls them towards. Both are compared on the same folds of the given networks. Rows per place are used if their
    error is lower by more than the standard error of the difference. If `fit` found that rows per operation are not
    worth it, rows per place have to save `MIN_GAIN` of the error too.

    Args:
        data: Networks to fit to, with the places of their blocks.
        rows: "operation" or "place" for rows of that kind; "auto" to choose.
        operators_only: Fit no rows.

    Raises:
        NasctlError: There are too few networks for the fit, or for rows per place if these are asked for.
    """
    base = fit(data, operators_only)
    if operators_only or rows == "operation":
        return base
    placed = data.renamed(place_labels(data))
    frequent = frequent_blocks(placed)
    if reason := _unfit_reason(placed, frequent):
        if rows == "place":
            raise NasctlError(f"Cannot fit rows per place: {reason}. Measure more networks, or use --rows operation.")
        return replace(base, place_remark=f"no rows per place: {reason}")
    errors = _place_errors(placed, frequent, base)  # of the base and of each strength, (1 + S, FOLDS)
    means = errors.mean(axis=1)
    best = 1 + int(means[1:].argmin())
    gain = errors[0] - errors[best]
    least = max(_standard_error(gain), NEGLIGIBLE, MIN_GAIN * means[0] if base.strength is None else 0.0)
    figures = f"MAPE in {FOLDS} folds {means[best]:.2f}% by rows per place, {means[0]:.2f}% without them"
    if rows == "auto" and gain.mean() <= least:
        reason = f"rows per place: they would have to save more than {least:.2f}% ({figures})"
        return replace(base, error=float(means[0]), place_remark=f"no {reason}")
    excess = errors - errors[best]
    within = [k for k in range(1, len(errors)) if excess[k].mean() <= _standard_error(excess[k])]
    (found,) = _place_solutions(placed, frequent, base, [STRENGTHS[within[0] - 1]])
    number = sum(map(len, found.places.values()))
    why = "as asked for" if rows == "place" else "because they predict better"
    remark = f"{number:,} rows per place, {why} ({figures})"
    return replace(found, error=float(means[within[0]]), place_remark=remark)


def place_labels(data: MeasuredNetworks) -> list[str]:
    """Return the label of each block's place, (K,): the name of the block, or a pattern for the blocks of equal cells.

    Blocks whose names differ only in numbers, such as "stage1.0.edge01" and "stage1.1.edge01", share the place
    "stage1.*.edge01" if in every network all of them are the same block. They then always occur together, and only
    their sum is known.
    """
    columns: defaultdict[str, dict[Emission, list[int]]] = defaultdict(dict)
    members: defaultdict[str, set[str]] = defaultdict(set)
    for k, (name, emission) in enumerate(zip(data.places, data.emissions, strict=True)):
        columns[repeated_place(name)].setdefault(emission, []).append(k)
        members[repeated_place(name)].add(name)
    counts = data.counts.tocsc()
    equal = {
        place: all(len(same) == len(members[place]) and _all_equal(counts[:, same]) for same in blocks.values())
        for place, blocks in columns.items()
    }
    return [repeated_place(name) if equal[repeated_place(name)] else name for name in data.places]


def _all_equal(columns: object) -> bool:
    """Return whether all columns of a sparse matrix are equal."""
    dense = columns.toarray()  # type: ignore[attr-defined]
    return bool((dense == dense[:, :1]).all())


def _unfit_reason(data: MeasuredNetworks, frequent: np.ndarray) -> str:
    """Return why rows per place cannot be fitted, or "" if they can."""
    needed = NETWORKS_PER_ROW * (len(frequent) + 1)
    if not _several_places(data, frequent):
        return "no block is at several places in enough networks"
    if len(data.ms) < needed:
        return f"{len(data.ms):,} networks are too few for {len(frequent):,} rows, which need {needed:,}"
    if len(frequent) > MAX_ROWS:
        return f"there would be {len(frequent):,} rows, and at most {MAX_ROWS:,} are fitted"
    return ""


def _several_places(data: MeasuredNetworks, frequent: np.ndarray) -> set[str]:
    """Return the keys of the blocks that are at several places, one of them frequent."""
    number: defaultdict[str, int] = defaultdict(int)
    for emission in data.emissions:
        number[emission.key] += 1
    return {data.emissions[k].key for k in frequent if number[data.emissions[k].key] > 1}


def _standard_error(differences: np.ndarray) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _place_errors(data: MeasuredNetworks, frequent: np.ndarray, base: AdditiveFit) -> np.ndarray:
    """Return the errors of a fit without places and of rows per place with each strength, in %, (1 + S, FOLDS)."""
    columns = []
    for inside, held in folds(data):
        plain = inside.by_operation
        rows = np.array([k for k, one in enumerate(plain.emissions) if one.key in base.blocks], dtype=int)
        (without,) = solutions(plain, rows, [base.strength])
        found = [without, *_place_solutions(inside, frequent, without, STRENGTHS)]
        columns.append([fold_error(one, held) for one in found])
    return np.array(columns).T


def _place_solutions(
    data: MeasuredNetworks, frequent: np.ndarray, base: AdditiveFit, strengths: Sequence[float]
) -> Iterator[AdditiveFit]:
    """Yield the fit of rows per place with each strength.

    Args:
        data: The networks, with the places of their blocks.
        frequent: Indices of the blocks that get a row, (R,).
        base: A fit without places: the prior of each row, and the price of blocks without one.
        strengths: Strengths of the ridge penalty.
    """
    prices = np.array([_price(base, emission) for emission in data.emissions])
    several = _several_places(data, frequent)
    ridge = Ridge.of(data, frequent, prices)
    for strength in strengths:
        costs, overhead = ridge.solve(strength)
        blocks: dict[str, float] = dict(base.blocks)
        places: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for k, ms in zip(frequent, costs, strict=True):
            key = data.emissions[k].key
            if key in several:
                places[data.places[k]][key] = ms
            else:
                blocks[key] = ms
        yield replace(base, overhead=overhead, blocks=blocks, places=places)


def _price(base: AdditiveFit, emission: Emission) -> float:
    """Return the price of a block by a fit without places, in ms; operators that the fit did not see cost nothing."""
    if (row := base.blocks.get(emission.key)) is not None:
        return row
    amounts: Mapping[str, float] = {
        name: amount for name, amount in features(emission).items() if name in base.operators
    }
    return predict_latency(base.operators, amounts) or 0.0
