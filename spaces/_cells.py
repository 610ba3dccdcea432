"""Cells of four nodes with an operation on each of six edges: construction and canonical form."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

from nasctl.api import Add, Block, Builder, Genome, Layer, SumTerm, WeightedSum

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, target); gene i is the operation on edge i


class EdgeTerm(NamedTuple):
    """An operation that an edge sums."""

    operation: Layer | Block
    term: SumTerm = SumTerm("")  # its name, which is added to the name of the edge, and its factor


def edge_terms(
    operations: Sequence[Layer | Block | None], names: Sequence[str], edge: int, choices: Sequence[int], gated: bool
) -> list[EdgeTerm]:
    """Return the operations that an edge of a mixture sums. None outputs zeros and is left out.

    Args:
        operations: The operation of each choice.
        names: The name of each choice.
        edge: Place of the edge's gene.
        choices: The choices.
        gated: Whether a single choice has a factor too.
    """
    learned = gated or len(choices) > 1
    found = [(choice, operations[choice]) for choice in choices]
    return [
        EdgeTerm(operation, SumTerm(names[choice], (((edge, choice),),)) if learned else SumTerm(""))
        for choice, operation in found
        if operation is not None
    ]


def add_cell(net: Builder, x: int, edges: Sequence[Sequence[EdgeTerm]], name: str, zero: Layer | Block) -> int:
    """Add a cell to a network.

    Args:
        net: The network.
        x: Position of the cell's input, which is node 0.
        edges: Operations that each edge sums, (6,); an open edge has none.
        name: Name of the cell.
        zero: Layer or block that turns the cell's input into zeros of a node's shape. It is added only where zeros are
            read.

    Returns:
        Position of the cell's output, which is node 3.
    """
    values: list[int | None] = [x]  # value of each node; None means zeros
    for target in (1, 2, 3):
        terms: list[SumTerm] = []
        summed: list[int] = []
        for (source, end), operations in zip(EDGES, edges, strict=True):
            if end != target or not operations:
                continue
            start = values[source]
            if start is None:
                values[source] = start = net.add(zero, x, name=f"{name}.zero{source}")
            for operation, term in operations:
                edge = f"{name}.edge{source}{target}.{term.name}".rstrip(".")
                summed.append(net.add(operation, start, name=edge))
                terms.append(term._replace(name="") if summed[-1] == start else term)
        learned = any(term.learned for term in terms)
        if len(terms) > 1 or learned:
            total = WeightedSum(tuple(terms)) if learned else Add()
            values.append(net.add(total, *summed, name=f"{name}.node{target}"))
        else:
            values.append(summed[0] if summed else None)
    return values[3] if values[3] is not None else net.add(zero, x, name=f"{name}.zero3")


def canonical_genome(
    genome: Genome, operations: tuple[str, ...], weighted: frozenset[str], identity_nodes: frozenset[int]
) -> Genome:
    """Return the representative of all genomes that compute the same function.

    The representative has the fewest open edges and, among those, the smallest choices. Two cells compute the same
    function if, for any weights of one cell, there are weights of the other, layer for layer, with equal outputs. The
    output of a layer on zeros counts as zeros, as it is before training.

    Args:
        genome: Operation of each edge, (6,).
        operations: Names of the operations; the first is "none".
        weighted: Operations of which two layers are not the same as one layer used twice.
        identity_nodes: Nodes whose outgoing "skip_connect" is the identity. From other nodes it counts as a layer.
    """
    return _smallest_genomes(operations, weighted, identity_nodes)[
        _function_key(genome, operations, weighted, identity_nodes)
    ]


@cache
def _smallest_genomes(
    operations: tuple[str, ...], weighted: frozenset[str], identity_nodes: frozenset[int]
) -> dict[object, Genome]:
    genomes = product(range(len(operations)), repeat=len(EDGES))
    smallest_last = sorted(genomes, key=lambda genome: (-genome.count(0), genome), reverse=True)
    return {_function_key(genome, operations, weighted, identity_nodes): genome for genome in smallest_last}


def _function_key(
    genome: Genome, operations: Sequence[str], weighted: Collection[str], identity_nodes: Collection[int]
) -> object:
    """Return a key that is equal for two genomes exactly if they compute the same function (see `canonical_genome`).

    A node's value is written as the sorted terms of a sum. The terms alone cannot tell conv(x) + conv(x) with one
    convolution from the same sum with two. So the key also lists the layers with weights that the output depends on.
    """
    terms: list[tuple[str, ...]] = [("x",), (), (), ()]
    layers: list[set[tuple[int, str]]] = [set(), set(), set(), set()]
    for target in (1, 2, 3):
        for edge, (source, end) in enumerate(EDGES):
            operation = operations[genome[edge]]
            if end != target or operation == "none" or not terms[source]:
                continue
            layers[target] |= layers[source]
            if operation == "skip_connect" and source in identity_nodes:
                terms[target] += terms[source]
                continue
            term = f"{operation}({' + '.join(terms[source])})"
            terms[target] += (term,)
            if operation in weighted:
                layers[target].add((edge, term))
        terms[target] = tuple(sorted(terms[target]))
    return terms[3], tuple(sorted(term for _, term in layers[3]))
