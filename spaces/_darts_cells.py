"""Genomes of the cells of DARTS: their genes, their decoding, their canonical form, and mixtures of several choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import combinations, permutations

from nasctl.api import Gene, Genome, SumTerm

CELL_KINDS = ("normal", "reduce")
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NODES = 4  # nodes of a cell
# Pairs of values that each node can read; values 0 and 1 are the cell's inputs.
PAIRS = [tuple(combinations(range(node + 2), 2)) for node in range(NODES)]
GENES_PER_CELL = 3 * NODES - 1  # inputs and two operations per node; the first node's inputs are fixed
Edge = tuple[int, int]  # (source, operation); sources 0 and 1 are the two previous cells, 2 to 5 the nodes
Cell = tuple[tuple[Edge, Edge], ...]  # the two edges that each node sums, ascending
MixedCell = tuple[tuple[tuple[Edge, SumTerm], ...], ...]  # the edges that each node of a mixture sums, ascending


def genes() -> Iterator[Gene]:
    """Yield the genes of the normal and the reduction cell: inputs, first and second operation of each node."""
    for kind in CELL_KINDS:
        for node, pairs in enumerate(PAIRS, start=2):
            if len(pairs) > 1:
                yield Gene(f"{kind}.node{node}.inputs", pairs)
            yield Gene(f"{kind}.node{node}.first", OPERATIONS)
            yield Gene(f"{kind}.node{node}.second", OPERATIONS)


def split_cells(genome: Genome) -> tuple[Genome, Genome]:
    """Return the genes of the normal and of the reduction cell."""
    return genome[:GENES_PER_CELL], genome[GENES_PER_CELL:]


def decode_cell(half: Genome) -> Cell:
    """Return the cell of half a genome."""
    whole = (0, *half)
    result = []
    for node, pairs in enumerate(PAIRS):
        choice, first, second = whole[3 * node : 3 * node + 3]
        first_source, second_source = pairs[choice]
        result.append(((first_source, first), (second_source, second)))
    return tuple(result)


def encode_cell(cell: Iterable[Sequence[Edge]]) -> Genome:
    """Return the half of a genome that stands for a cell."""
    result = []
    for ((first_source, first), (second_source, second)), pairs in zip(cell, PAIRS, strict=True):
        result += [pairs.index((first_source, second_source)), first, second]
    return tuple(result[1:])


@lru_cache(maxsize=1 << 12)
def canonical_cell(cell: Cell) -> tuple[Cell, tuple[int, ...]]:
    """Return the smallest cell that differs only in the numbering of its nodes.

    Returns:
        The cell, and the nodes of the given cell in the order in which they stand there, (4,).
    """
    result = []
    for order, numbers in _topological_orders(
        tuple((first_source, second_source) for (first_source, _), (second_source, _) in cell)
    ):
        edges = [[(numbers[source], operation) for source, operation in cell[node - 2]] for node in order]
        result.append((tuple((a, b) if a < b else (b, a) for a, b in edges), order))
    return min(result)


@cache  # There are only 180 wirings.
def _topological_orders(wiring: tuple[tuple[int, int], ...]) -> list[tuple[tuple[int, ...], list[int]]]:
    """Return every order of the nodes in which each follows the nodes that it reads, with the resulting numbers."""
    result = []
    for order in permutations(range(2, NODES + 2)):
        numbers = [0, 1, *(2 + order.index(node) for node in range(2, NODES + 2))]
        if all(numbers[source] < number for pair, number in zip(wiring, numbers[2:], strict=True) for source in pair):
            result.append((order, numbers))
    return result


def mixed_cell(half: Sequence[Sequence[int]], start: int, gated: bool) -> MixedCell:
    """Return the terms that each node of a mixture sums.

    Args:
        half: Choices of the genes of the cell, each with one or more.
        start: Place of the cell's first gene in the genome.
        gated: Whether a gene with one choice has a factor too.
    """
    whole, nodes = [(0,), *half], []
    for node, pairs in enumerate(PAIRS):
        inputs, *operations = range(3 * node, 3 * node + 3)
        learned = {gene for gene in (inputs, *operations) if gene and (gated or len(whole[gene]) > 1)}
        products: dict[Edge, list[tuple[tuple[int, int], ...]]] = {}
        for pair in whole[inputs]:
            for source, gene in zip(pairs[pair], operations, strict=True):
                for operation in whole[gene]:
                    # The first gene of a cell, the inputs of its first node, is fixed and left out of the genome.
                    chosen = [(start + one - 1, c) for one, c in ((inputs, pair), (gene, operation)) if one in learned]
                    products.setdefault((source, operation), []).append(tuple(chosen))
        nodes.append(
            tuple(
                (edge, SumTerm(OPERATIONS[edge[1]] if any(given) else "", tuple(given)))
                for edge, given in sorted(products.items())
            )
        )
    return tuple(nodes)
