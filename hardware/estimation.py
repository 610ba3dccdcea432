"""Estimates of blocks that a latency table has no figure of.

Operators that do no work cost nothing. Other blocks are scaled from rows of the same operator nearby.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from math import exp, log
from typing import Any, NamedTuple

from nasctl.api import (
    Add,
    BatchNorm,
    Conv,
    EarlyExit,
    Emission,
    FlattenMap,
    Linear,
    Node,
    UnflattenMap,
    WeightedSum,
    Zero,
)
from nasctl.hardware.operator_model import features, node_features, predict_latency
from nasctl.hardware.tables_schema import Row
from nasctl.networks.graph import emission_of
from nasctl.registry import load, trusted

# Constants, other views of the same memory, and the choice among a few logits; `features` skips Flatten.
FREE = (Zero, FlattenMap, UnflattenMap, EarlyExit)
FREE_KINDS = tuple(one.__name__.lower() for one in FREE)  # their kinds in names of features
NEAR = 4.0  # largest ratio between a feature of a block and of a row that counts as nearby
SMALLEST_DISTANCE = 1e-12  # lower bound of a squared distance, so that no weight is infinite
NEIGHBOURS = 4  # nearest rows that an estimate is the mean of
FROM_ROWS = f"estimated from the nearest rows of the same operator, up to {NEIGHBOURS}, scaled by size"


class BlockEstimate(NamedTuple):
    """The estimated latency of a block."""

    ms: float  # for one batch
    free: bool  # True if the block costs nothing, because none of its operators does any work
    how: str  # a clause for users: "estimated from ..."


def priced_as(emission: Emission) -> Emission:
    """Return the block that a block is priced as: a plain sum for a weighted one, whose factors hardly cost."""
    first = emission.nodes[0].layer if len(emission.nodes) == 1 else None
    return emission_of(Add(), emission.in_shapes) if isinstance(first, WeightedSum) else emission


def estimate(operators: Mapping[str, float], rows: Mapping[str, Row], emission: Emission) -> BlockEstimate | None:
    """Return the estimated latency of a block that has no row and that the operator model does not cover.

    Operators without work are left out of the block where the operator model has no coefficient for them: zeros,
    reshapes, and a batch norm that follows a convolution or a linear layer, which runtimes fold into its weights. If
    the model covers the rest, it prices the block. Otherwise the estimate is the mean over the rows of the same
    operator whose features differ by a factor of at most `NEAR`. Each row is scaled by the geometric mean of the
    ratios of its features to the block's, and weighted by the inverse squared distance of their logarithms.

    Args:
        operators: Coefficients of the operator model, in ms per unit of each feature; empty if there is none.
        rows: Rows of the table, by emission key.
        emission: The block.

    Returns:
        The estimate, or None if there is neither.

    References:
        Shepard, "A two-dimensional interpolation function for irregularly-spaced data", ACM National Conference, 1968:
        weights by inverse distance.
    """
    left_out = [node for node in emission.nodes if _is_free(node, emission, operators)]
    if left_out:
        amounts: dict[str, float] = {}
        for node in emission.nodes:
            for name, amount in () if node in left_out else node_features(node):
                amounts[name] = amounts.get(name, 0.0) + amount
        names = ", ".join(dict.fromkeys(type(node.layer).__name__ for node in left_out))
        if not amounts:
            return BlockEstimate(0.0, True, f"{names} is taken to cost nothing")
        if (ms := predict_latency(operators, amounts)) is not None:
            return BlockEstimate(ms, False, f"estimated from its operators, where {names} is taken to cost nothing")
    return _from_rows(rows, emission)


def _is_free(node: Node, emission: Emission, operators: Mapping[str, float]) -> bool:
    """Return whether an operator does no work, and the operator model has no coefficient for it."""
    if all(name in operators for name, _ in node_features(node)):
        return False
    if isinstance(node.layer, BatchNorm):
        (before,) = node.inputs
        return before >= 0 and isinstance(emission.nodes[before].layer, Conv | Linear)
    return isinstance(node.layer, FREE)


def _from_rows(rows: Mapping[str, Row], emission: Emission) -> BlockEstimate | None:
    """Return the estimate by the nearest rows of the same operator, or None if none is near."""
    wanted, like = features(emission), _without_numbers(emission.key)
    near: list[tuple[float, float]] = []  # squared distance, and scaled latency in ms
    for key in rows:
        if _without_numbers(key) != like or (row := emission_of_key(key)) is None:
            continue
        known = features(row)
        if known.keys() != wanted.keys():
            continue
        logs = [log(wanted[name] / known[name]) for name in wanted if name != "count"]
        if logs and max(map(abs, logs)) <= log(NEAR):
            near.append((sum(one * one for one in logs), rows[key].ms * exp(sum(logs) / len(logs))))
    near = sorted(near)[:NEIGHBOURS]
    if not near:
        return None
    weights = [1 / max(distance, SMALLEST_DISTANCE) for distance, _ in near]
    ms = sum(weight * one for weight, (_, one) in zip(weights, near, strict=True)) / sum(weights)
    return BlockEstimate(round(ms, 6), False, FROM_ROWS)


def _without_numbers(key: str) -> str:
    """Return an emission key with "#" for every number outside of names."""
    return re.sub(r"(?<![\w.])\d+(\.\d+)?(x\d+)*", "#", key)


def emission_of_key(key: str) -> Emission | None:
    """Return the block that an emission key stands for, or None if no space and no imported module has its class."""
    call, _, shapes = key.partition(" @ ")
    try:
        parsed = ast.parse(call, mode="eval").body
        inputs = tuple(tuple(map(int, shape.split("x"))) for shape in shapes.split(", "))
        if not isinstance(parsed, ast.Call):
            return None
        kind = _block_class(ast.unparse(parsed.func))
        options = {str(given.arg): ast.literal_eval(given.value) for given in parsed.keywords}
        emission = None if kind is None else emission_of(kind(**options), inputs)
    except (SyntaxError, ValueError, TypeError):
        return None
    return emission if emission is not None and emission.key == key else None


def _block_class(name: str) -> Any:
    """Return the class of a block: of nasctl's networks, or "space.Name" of a space or its helper; None if unknown."""
    home, _, word = name.rpartition(".")
    if home in trusted("spaces"):
        load("spaces", home)
    names: Iterable[str] = [one for one in tuple(sys.modules) if one.rpartition(".")[2].lstrip("_") == home]
    if not home:
        names = (f"nasctl.networks.{module}" for module in ("blocks", "layers", "sequences", "token_mixing"))
    found = (getattr(sys.modules.get(one), word, None) for one in names)
    return next((one for one in found if isinstance(one, type)), None)
