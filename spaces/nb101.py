"""The module of NAS-Bench-101: a graph of at most seven vertices and nine edges; 423,624 different modules.

References:
    Ying et al., "NAS-Bench-101: Towards reproducible neural architecture search", ICML 2019, arXiv:1902.09635;
    `nasbench/lib/model_builder.py`, `model_spec.py` and `scripts/generate_graphs.py` of
    github.com/google-research/nasbench.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from functools import cache, lru_cache
from typing import NamedTuple

from nasctl.api import (
    Add,
    BadOption,
    Block,
    Builder,
    Classifier,
    Concat,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Input,
    Layer,
    MaxPool,
    Network,
    Reference,
    Truncate,
    validate,
)
from nasctl.spaces._published import under_options

__all__ = ["NB101"]

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
VERTICES = 7  # most vertices of a module; vertex 0 is the input and the last one the output
MAX_EDGES = 9  # most edges of a module
STACKS = 3  # stacks of modules in a network
# (source, target) in the order of the genes.
EDGES = [(source, target) for target in range(1, VERTICES) for source in range(target)]
# Edges in the order in which they are removed from a graph with too many: the longest first.
PRUNING_ORDER = sorted(EDGES, key=lambda edge: (edge[0] - edge[1], edge))
# Edge -> index of its gene among the edge genes.
EDGE_INDEX = {edge: k for k, edge in enumerate(EDGES)}
ADD, CONCAT = Add(), Concat()

Edge = tuple[int, int]  # source, target
ROWS_PATTERN = r"((?:\[[01](?:,[01])+\],?){2,7})"
NAMES_PATTERN = r"((?:'[\w-]+',){0,5})"
# Matches a ModelSpec from which all white space is removed.
SPEC_PATTERN = re.compile(
    rf"(?:\w+\.)?ModelSpec\(matrix=\[{ROWS_PATTERN}\],ops=\['input',{NAMES_PATTERN}'output',?\],?\)"
)

INCEPTION = (  # two 3x3 convolutions stand for Inception's 5x5
    "ModelSpec(matrix=[[0,1,1,1,0,1,0],[0,0,0,0,0,0,1],[0,0,0,0,0,0,1],[0,0,0,0,1,0,0],[0,0,0,0,0,0,1],"
    "[0,0,0,0,0,0,1],[0,0,0,0,0,0,0]], ops=['input','conv1x1-bn-relu','conv3x3-bn-relu','conv3x3-bn-relu',"
    "'conv3x3-bn-relu','maxpool3x3','output'])"
)


class CanonicalModule(NamedTuple):
    """A graph from vertex 0 to the last in which every vertex is on a path between the two."""

    edges: tuple[Edge, ...]  # (E,), E from 1 to 9, in the order of EDGES
    operations: tuple[int, ...]  # (V - 2,), operation of each vertex between input and output


class NB101:
    """Three stacks of equal modules; between stacks a max-pool halves the resolution and the channels double.

    A genome stands for a module of the benchmark. Vertices on no path from input to output are dropped, and the
    numbering of the vertices has no effect. The benchmark rejects graphs of more than nine edges and graphs without a
    path from input to output, but searchers need a network for every genome. So a graph with too many edges loses
    edges, those past the most vertices first, as long as a path remains. A graph without a path stands for the module
    with one edge from input to output.

    The network of a genome is the network of the module as the benchmark lists it. The numbering matters there: if
    vertices cannot share the output channels equally, the first ones get one more. Parameters equal the benchmark's.

    Departures: weights are initialised as in every space, where the benchmark uses a truncated normal distribution. On
    images of odd size a max-pool drops the last row and column, which TensorFlow pads.

    Args:
        channels: Channels behind the stem, 5 or more; each later stack doubles them.
        cells: Modules in each stack.
        classes: Outputs of the classifier.
        resolution: Height and width of the images in pixels, 4 or more.
    """

    genes: Sequence[Gene] = (
        *(Gene(f"vertex{vertex}", OPERATIONS) for vertex in range(1, VERTICES - 1)),
        *(Gene(f"edge{source}{target}", (0, 1)) for source, target in EDGES),
    )
    family = "cell"
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=64),
        "balanced": Fidelity(size=16, batch=32),
        "fast": Fidelity(size=8, cells=1, batch=16),
    }
    past_levels: Mapping[str, Sequence[Fidelity]] = {"balanced": (Fidelity(size=16, cells=1, batch=32),)}

    def __init__(self, channels: int = 128, cells: int = 3, classes: int = 10, resolution: int = 32) -> None:
        if channels < VERTICES - 2 or min(cells, classes) < 1:
            given = f"channels={channels},cells={cells},classes={classes}"
            raise BadOption(
                f"channels must be 5 or more, one per vertex, and cells and classes 1 or more, got {given}"
                " (options of nb101)"
            )
        if resolution < 4:
            raise BadOption(f"resolution must be 4 pixels or more, got {resolution} (option of nb101)")
        self.input = Input((3, resolution, resolution))
        self._channels, self._cells, self._classes = channels, cells, classes
        genome = self.parse(INCEPTION)
        assert genome is not None
        inception = Reference(genome, "README of github.com/google-research/nasbench", None, "an Inception-like module")
        options: dict[str, tuple[object, object]] = {"channels": (channels, 128), "cells": (cells, 3)}
        options |= {"classes": (classes, 10), "resolution": (resolution, 32)}
        self.references = {"nb101-inception": under_options(inception, options)}

    def canonical(self, genome: Genome) -> Genome:
        """Return the module as the benchmark lists it.

        The genome holds the module's vertices first and then unused vertices without edges.
        """
        validate(self.genes, genome)
        return _encode(*_canonical_module(genome))

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's constructor call: "ModelSpec(matrix=[[0, 1], [0, 0]], ops=['input', 'output'])"."""
        edges, operations = _canonical_module(genome)
        vertices = range(len(operations) + 2)
        matrix = [[int((source, target) in edges) for target in vertices] for source in vertices]
        return f"ModelSpec(matrix={matrix}, ops={['input', *(OPERATIONS[k] for k in operations), 'output']})"

    def parse(self, text: str) -> Genome | None:
        """Return the genome of the benchmark's constructor call.

        Returns:
            The genome, or None if the text is something else or the benchmark rejects the graph.
        """
        match = SPEC_PATTERN.fullmatch(re.sub(r"\s", "", text))
        if not match:
            return None
        rows = [re.findall("[01]", row) for row in match[1].split("]")[:-1]]
        names, vertices = re.findall("'([^']+)'", match[2]), range(len(rows))
        if {len(names) + 2, *map(len, rows)} != {len(rows)} or not set(names) <= set(OPERATIONS):
            return None
        edges = [(source, target) for source in vertices for target in vertices if rows[source][target] == "1"]
        genome = _encode(edges, [OPERATIONS.index(name) for name in names])
        allowed = set(edges) <= set(EDGES) and 0 < len(_prune(_edges(genome))) <= MAX_EDGES
        return genome if allowed else None

    def network(self, genome: Genome) -> Network:
        """Return the network of the module that the genome stands for."""
        module, channels = _canonical_module(genome), self._channels
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(channels, 3), *net.inputs, name="stem")
        for stack in range(STACKS):
            if stack:
                x = net.add(MaxPool(2, stride=2), x, name=f"pool{stack}")
                channels *= 2
            for k in range(self._cells):
                x = _add_module(net, module, x, channels, f"stack{stack}.{k}")
        return net.build(net.add(Classifier(self._classes), x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> NB101:
        """Return the space with fewer modules in each stack and smaller images."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(4, min(largest, fidelity.size or largest))
        reduced.input = Input((3, size, size))
        reduced._cells = min(self._cells, fidelity.cells or self._cells)
        return reduced


def _edges(genome: Genome) -> list[Edge]:
    """Return the edges that a genome contains, in the order of EDGES."""
    return [edge for edge, present in zip(EDGES, genome[VERTICES - 2 :], strict=True) if present]


def _encode(edges: Collection[Edge], operations: Sequence[int]) -> Genome:
    """Return the genome of a graph whose last vertex is the output; its vertices become the genome's first ones."""
    last, unused = len(operations) + 1, VERTICES - 2 - len(operations)
    moved = {(source, VERTICES - 1 if target == last else target) for source, target in edges}
    return (*operations, *(0,) * unused, *(int(edge in moved) for edge in EDGES))


def _prune(edges: Sequence[Edge]) -> list[Edge]:
    """Return the edges on a path from input to output; `edges` must be in the order of EDGES."""
    reached, reaching = {0}, {VERTICES - 1}
    for source, target in edges:
        if source in reached:
            reached.add(target)
    for source, target in reversed(edges):
        if target in reaching:
            reaching.add(source)
    return [(source, target) for source, target in edges if source in reached and target in reaching]


@lru_cache(maxsize=1 << 12)
def _canonical_module(genome: Genome) -> CanonicalModule:
    """Return the module that a genome stands for, as the benchmark lists it.

    Of isomorphic modules the benchmark keeps the one with the smallest edges, read as a binary number, and then the
    smallest operations (`generate_graphs.py`).
    """
    edges = _prune(_edges(genome))
    while len(edges) > MAX_EDGES:
        without = (_prune([edge for edge in edges if edge != removed]) for removed in PRUNING_ORDER if removed in edges)
        edges = next(remaining for remaining in without if remaining)
    edges = edges or [(0, VERTICES - 1)]
    input_masks = {target: 0 for _, target in edges if target < VERTICES - 1}
    for source, target in edges:
        if target in input_masks:
            input_masks[target] |= 1 << source
    candidates = []
    for order in _topological_orders(input_masks, (), 1):
        number = {0: 0, VERTICES - 1: len(order) + 1, **{vertex: k for k, vertex in enumerate(order, start=1)}}
        bits = sum(1 << EDGE_INDEX[number[source], number[target]] for source, target in edges)
        candidates.append((bits, tuple(genome[vertex - 1] for vertex in order)))
    bits, operations = min(candidates)
    return CanonicalModule(tuple(edge for edge, k in EDGE_INDEX.items() if bits >> k & 1), operations)


def _topological_orders(
    input_masks: Mapping[int, int], order: tuple[int, ...], placed: int
) -> Iterator[tuple[int, ...]]:
    """Yield every completion of an order of the vertices in which each vertex follows the ones that it reads."""
    if len(order) == len(input_masks):
        yield order
    for vertex, needed in input_masks.items():
        if not placed >> vertex & 1 and not needed & ~placed:
            yield from _topological_orders(input_masks, (*order, vertex), placed | 1 << vertex)


def _add_module(net: Builder, module: CanonicalModule, x: int, channels: int, name: str) -> int:
    """Add a module with `channels` output channels to a network and return its output."""
    widths, last = _vertex_channels(module, channels), len(module.operations) + 1
    values = [x]
    for vertex, operation in enumerate(module.operations, start=1):
        terms = []
        for source, target in module.edges:
            if target == vertex:
                adapter: Layer | Block = Truncate(widths[vertex]) if source else ConvNormAct(widths[vertex])
                equal_width = source and widths[source] == widths[vertex]
                value = values[source]
                terms.append(value if equal_width else net.add(adapter, value, name=f"{name}.edge{source}{vertex}"))
        total = net.add(ADD, *terms, name=f"{name}.sum{vertex}") if len(terms) > 1 else terms[0]
        values.append(net.add(_operation(operation, widths[vertex]), total, name=f"{name}.vertex{vertex}"))
    parts = [values[source] for source, target in module.edges if target == last and source]
    x = net.add(CONCAT, *parts, name=f"{name}.concat") if len(parts) > 1 else parts[0] if parts else x
    if (0, last) not in module.edges:
        return x
    direct = net.add(ConvNormAct(channels), values[0], name=f"{name}.edge0{last}")
    return net.add(ADD, x, direct, name=f"{name}.output") if parts else direct


def _vertex_channels(module: CanonicalModule, channels: int) -> list[int]:
    """Return the channels of each vertex but the output, (V - 1,); the entry of the input is unused.

    Vertices that feed the output share its channels equally, and the first ones get the remainder. Every other vertex
    has the largest number of channels among the vertices that read it.
    """
    last = len(module.operations) + 1
    output_sources = [source for source, target in module.edges if target == last and source]
    candidates = [0] * last
    for k, vertex in enumerate(output_sources):
        candidates[vertex] = channels // len(output_sources) + (k < channels % len(output_sources))
    for vertex in reversed(range(1, last)):
        if vertex not in output_sources:
            candidates[vertex] = max(candidates[target] for source, target in module.edges if source == vertex)
    return candidates


@cache
def _operation(operation: int, channels: int) -> Layer | Block:
    return (ConvNormAct(channels, 3), ConvNormAct(channels, 1), MaxPool(3))[operation]
