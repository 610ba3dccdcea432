"""Cells of four nodes with an operation on each of six edges: construction and canonical form."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from itertools import product

from nasctl.api import Add, Block, Builder, Genome, Layer

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, target); gene i is the operation on edge i

EdgeTerm = tuple[str, Layer | Block]  # suffix of the edge's name, and its operation


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
        terms = []
        for (source, end), operations in zip(EDGES, edges, strict=True):
            if end != target or not operations:
                continue
            start = values[source]
            if start is None:
                values[source] = start = net.add(zero, x, name=f"{name}.zero{source}")
            for suffix, operation in operations:
                terms.append(net.add(operation, start, name=f"{name}.edge{source}{target}{suffix}"))
        total = net.add(Add(), *terms, name=f"{name}.node{target}") if len(terms) > 1 else None
        values.append(terms[0] if len(terms) == 1 else total)
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
