"""The cells of DARTS and NAS-Bench-301: a normal and a reduction cell of four nodes; 1e18 pairs of cells.

References:
    Liu et al., "DARTS: Differentiable architecture search", ICLR 2019, arXiv:1806.09055; `cnn/model.py`,
    `cnn/operations.py` and `cnn/genotypes.py` of github.com/quark0/darts.
    Zela et al., "Surrogate NAS benchmarks: Going beyond the limited search spaces of tabular NAS benchmarks", ICLR
    2022, arXiv:2008.09777, which introduces NAS-Bench-301.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import NamedTuple

from nasctl.api import (
    ActConvNorm,
    Add,
    AvgPool,
    BadOption,
    BatchNorm,
    Block,
    Builder,
    Classifier,
    Concat,
    Conv,
    ConvNormAct,
    FactorizedReduction,
    Fidelity,
    Gene,
    Genome,
    Identity,
    Input,
    Layer,
    MaxPool,
    Network,
    Reference,
    ReLU,
    WeightedSum,
    validate,
)
from nasctl.spaces._darts_cells import (
    CELL_KINDS,
    GENES_PER_CELL,
    NODES,
    OPERATIONS,
    PAIRS,
    Cell,
    MixedCell,
    canonical_cell,
    decode_cell,
    encode_cell,
    genes,
    mixed_cell,
    split_cells,
)
from nasctl.spaces._darts_published import DATA, NETWORKS, OPTIONS
from nasctl.spaces._published import under_options

__all__ = ["DARTS"]

ADD, CONCAT = Add(), Concat()
MIN_RESOLUTION = {"cifar": 8, "imagenet": 64}  # pixels, by stem; the last cells then see 2x2 maps

# Patterns match text without white space. The output of a cell always concatenates all nodes.
EDGES_PATTERN = rf"\[((?:\('(?:{'|'.join(OPERATIONS)})',[0-4]\),?){{8}})\]"
ALL_NODES_PATTERN = r"(?:\[2,3,4,5\]|range\(2,6\))"
GENOTYPE_PATTERN = re.compile(
    rf"Genotype\(normal={EDGES_PATTERN},normal_concat={ALL_NODES_PATTERN},"
    rf"reduce={EDGES_PATTERN},reduce_concat={ALL_NODES_PATTERN}\)"
)
NASLIB_PATTERN = re.compile(r"\[\[((?:\([0-4],[0-6]\),?){8})\],\[((?:\([0-4],[0-6]\),?){8})\]\]")


class DARTS:
    """A chain of normal cells and two reduction cells, whose nodes each sum two operations.

    A reduction cell halves the resolution and doubles the channels. A cell reads the two previous cells and outputs the
    concatenation of its four nodes. Parameters and MACs equal those of DARTS without the auxiliary head. NAS-Bench-301
    is `darts:channels=32,cells=8`. The ImageNet network of DARTS is
    `darts:stem=imagenet,channels=48,cells=14,classes=1000,resolution=224`.

    Departures: drop path is omitted, because it only regularises training. Nodes are concatenated in an order that does
    not depend on their numbers, so renumbering the nodes does not change the network.

    Args:
        stem: Layers before the cells: one convolution ("cifar"), or three that reduce the resolution by 8 ("imagenet").
        channels: Channels of a node in the first cells, an even number.
        cells: Number of cells, 3 or more; the cells after one third and after two thirds of them are reduction cells.
        classes: Outputs of the classifier.
        resolution: Height and width of the images in pixels.
        pool_norms: Add a batch norm without weights behind each pool, as in the search network of DARTS and in NASLib,
            from which tables of metrics come. The networks that DARTS and NAS-Bench-301 train have none.
    """

    family = "cell"
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=64),
        "balanced": Fidelity(size=16, batch=32),
        "fast": Fidelity(size=16, cells=1, batch=16),
    }
    past_levels: Mapping[str, Sequence[Fidelity]] = {"balanced": (Fidelity(size=16, cells=2, batch=32),)}

    def __init__(
        self,
        stem: str = "cifar",
        channels: int = 36,
        cells: int = 20,
        classes: int = 10,
        resolution: int = 32,
        pool_norms: bool = False,
    ) -> None:
        if stem not in MIN_RESOLUTION:
            raise BadOption(f"stem must be {' or '.join(MIN_RESOLUTION)}, got {stem!r} (option of darts)")
        if channels < 2 or channels % 2 or cells < 3 or classes < 1:
            given = f"channels={channels},cells={cells},classes={classes}"
            raise BadOption(
                f"channels must be even and positive, cells 3 or more and classes 1 or more, got {given}"
                " (options of darts)"
            )
        if resolution < MIN_RESOLUTION[stem]:
            raise BadOption(
                f"resolution must be {MIN_RESOLUTION[stem]} pixels or more with stem={stem}, got {resolution}"
                " (option of darts)"
            )
        self.input = Input((3, resolution, resolution))
        self.genes: Sequence[Gene] = tuple(genes())
        self._stem, self._channels, self._cells, self._classes = stem, channels, cells, classes
        self._pool_norms = pool_norms
        chosen: dict[str, object] = {"channels": channels, "cells": cells, "classes": classes, "resolution": resolution}
        options = {name: (value, OPTIONS[stem][name]) for name, value in chosen.items()}
        self.references = {
            name: under_options(self._reference(cells, source, accuracies.get(stem)), options, f"on {DATA[stem]}")
            for name, (cells, source, accuracies) in NETWORKS.items()
        }

    def _reference(self, cells: str, source: str, accuracy: float | None) -> Reference:
        """Return a published network from its cells in short; see `_darts_published.NETWORKS`."""
        edges = [(OPERATIONS[int(edge[1])], int(edge[0])) for edge in cells.replace("|", " ").split()]
        parts = {"normal": edges[:8], "normal_concat": [2, 3, 4, 5], "reduce": edges[8:], "reduce_concat": [2, 3, 4, 5]}
        genome = self.parse(f"Genotype({', '.join(f'{name}={part}' for name, part in parts.items())})")
        assert genome is not None
        return Reference(genome, source, accuracy)

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome that comes first among all numberings of the nodes of the two cells.

        Cells that compute the same function for another reason stay different, such as cells where a third node reads
        one or the other of two nodes with equal sums.
        """
        validate(self.genes, genome)
        return tuple(
            chain.from_iterable(encode_cell(canonical_cell(decode_cell(half))[0]) for half in split_cells(genome))
        )

    def spell(self, genome: Genome) -> str:
        """Return a DARTS genotype.

        It reads "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], reduce=[...],
        reduce_concat=[2, 3, 4, 5])".
        """
        fields = []
        for kind, half in zip(CELL_KINDS, split_cells(genome), strict=True):
            edges = [(OPERATIONS[operation], source) for source, operation in chain.from_iterable(decode_cell(half))]
            fields.append(f"{kind}={edges}, {kind}_concat={[*range(2, NODES + 2)]}")
        return f"Genotype({', '.join(fields)})"

    def parse(self, text: str) -> Genome | None:
        """Return the genome of a DARTS genotype, or of NASLib's "[[(0, 3), (1, 6), ...], [...]]".

        NASLib's form lists a normal and a reduction cell.

        Returns:
            The genome, or None if the text is something else or names an architecture outside this space: another
            operation, or a node that reads one value twice.
        """
        compact = re.sub(r"\s", "", text)
        if match := GENOTYPE_PATTERN.fullmatch(compact):
            named = [re.findall(r"'(\w+)',(\d)", half) for half in match.groups()]
            halves = [[(int(source), OPERATIONS.index(name)) for name, source in half] for half in named]
        elif match := NASLIB_PATTERN.fullmatch(compact):
            halves = [[(int(a), int(b)) for a, b in re.findall(r"(\d),(\d)", half)] for half in match.groups()]
        else:
            return None
        cells = [[sorted(half[k : k + 2]) for k in range(0, 2 * NODES, 2)] for half in halves]
        if any((a[0], b[0]) not in pairs for cell in cells for (a, b), pairs in zip(cell, PAIRS, strict=True)):
            return None
        return tuple(chain.from_iterable(map(encode_cell, cells)))

    def network(self, genome: Genome) -> Network:
        cells = [decode_cell(half) for half in split_cells(genome)]
        return self._chain(
            lambda net, position, *inputs: _add_cell(net, position, cells[position.is_reduction], *inputs)
        )

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network whose nodes sum the weighted outputs of several operations on several inputs.

        The factor of an operation is the factor of its choice times that of the choice of inputs. An operation on one
        input that several choices lead to is computed once, and the factors add up. Nodes are concatenated in their
        order, as `network` does for canonical genomes.

        Args:
            allowed: Choices of each gene, (G,), each with one or more.
            gated: Whether a gene with one choice has a factor too.
        """
        if not gated and all(len(choices) == 1 for choices in allowed):
            return self.network(tuple(choice for (choice,) in allowed))
        halves = allowed[:GENES_PER_CELL], allowed[GENES_PER_CELL:]
        cells = [
            mixed_cell([tuple(choices) for choices in half], start, gated)
            for half, start in zip(halves, (0, GENES_PER_CELL), strict=True)
        ]
        return self._chain(
            lambda net, position, *inputs: _add_mixed_cell(net, position, cells[position.is_reduction], *inputs)
        )

    def _chain(self, add_cell: Callable[[Builder, CellPosition, int, int], int]) -> Network:
        """Return the network with the cells that a function adds behind the two previous ones."""
        net = Builder(self.input.shape)
        if self._stem == "cifar":
            previous = last = net.add(ConvNormAct(3 * self._channels, 3, act=None), *net.inputs, name="stem")
        else:
            x = net.add(ConvNormAct(self._channels // 2, 3, stride=2), *net.inputs, name="stem.0")
            previous = net.add(ConvNormAct(self._channels, 3, stride=2, act=None), x, name="stem.1")
            last = net.add(ActConvNorm(self._channels, 3, stride=2), previous, name="stem.2")
        for position in _cell_positions(self._channels, self._cells, previous != last, self._pool_norms):
            previous, last = last, add_cell(net, position, previous, last)
        return net.build(net.add(Classifier(self._classes), last, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> DARTS:
        """Return the space with smaller images and fewer cells.

        At most `cells` normal cells follow one another: 2 give 8 cells in all, and 1 gives 5.
        """
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(MIN_RESOLUTION[self._stem], min(largest, fidelity.size or largest))
        reduced.input = Input((3, size, size))
        reduced._cells = min(self._cells, 3 * (fidelity.cells or self._cells) + 2)
        return reduced


class CellPosition(NamedTuple):
    """A position in the chain of cells, with everything that does not depend on the genome.

    Positions are cached, because building them takes most of the time of building a network.
    """

    is_reduction: bool
    project: tuple[Block, Block]  # blocks that project the two previous cells
    operations: tuple[Sequence[Layer | Block], ...]  # by source, (5,), then by operation
    values: Sequence[str]  # names of the two inputs and the four nodes, (6,)
    edges: Sequence[Sequence[str]]  # names by source and target, (6, 6)
    output: str  # name of the concatenation


@lru_cache(maxsize=16)
def _cell_positions(channels: int, cells: int, sizes_differ: bool, pool_norms: bool) -> list[CellPosition]:
    """Return the chain of cells; `sizes_differ` is True if the first cell's two inputs differ in resolution."""
    result = []
    values = range(NODES + 2)
    for k in range(cells):
        is_reduction = k in (cells // 3, 2 * cells // 3)
        channels *= 2 if is_reduction else 1
        project = ActConvNorm(channels)
        result.append(
            CellPosition(
                is_reduction,
                (FactorizedReduction(channels) if sizes_differ else project, project),
                tuple(
                    _operations(channels, 2 if is_reduction and source < 2 else 1, pool_norms) for source in values[:-1]
                ),
                [f"cell{k}.{'node' if value > 1 else 'input'}{value}" for value in values],
                [[f"cell{k}.edge{source}{node}" for node in values] for source in values],
                f"cell{k}.output",
            )
        )
        sizes_differ = is_reduction
    return result


@cache
def _operations(channels: int, stride: int, pool_norms: bool) -> Sequence[Layer | Block]:
    pools: tuple[MaxPool | AvgPool, ...] = (MaxPool(3, stride), AvgPool(3, stride))
    return (
        *(map(NormedPool, pools) if pool_norms else pools),
        FactorizedReduction(channels) if stride > 1 else Identity(),
        *(TwiceSeparable(kernel, stride) for kernel in (3, 5)),
        *(Separable(kernel, stride, dilation=2) for kernel in (3, 5)),
    )


def _add_cell(net: Builder, position: CellPosition, cell: Cell, previous: int, last: int) -> int:
    """Add a cell to a network and return its output."""
    _, project, operations, names, edges, output = position
    values = [net.add(project[0], previous, name=names[0]), net.add(project[1], last, name=names[1])]
    for node, ((first_source, first), (second_source, second)) in enumerate(cell, start=2):
        x = net.add(operations[first_source][first], values[first_source], name=edges[first_source][node])
        y = net.add(operations[second_source][second], values[second_source], name=edges[second_source][node])
        values.append(net.add(ADD, x, y, name=names[node]))
    return net.add(CONCAT, *[values[node] for node in canonical_cell(cell)[1]], name=output)


def _add_mixed_cell(net: Builder, position: CellPosition, cell: MixedCell, previous: int, last: int) -> int:
    """Add a cell of a mixture to a network and return its output."""
    _, project, operations, names, edges, output = position
    values = [net.add(project[0], previous, name=names[0]), net.add(project[1], last, name=names[1])]
    for node, summed in enumerate(cell, start=2):
        found, terms = [], []
        for (source, operation), term in summed:
            name = f"{edges[source][node]}_{term.name}".rstrip("_")  # with a dot, pictures would show cells in cells
            found.append(net.add(operations[source][operation], values[source], name=name))
            terms.append(term._replace(name="") if found[-1] == values[source] else term)
        total = WeightedSum(tuple(terms)) if any(term.learned for term in terms) else ADD
        values.append(net.add(total, *found, name=names[node]))
    return net.add(CONCAT, *values[2:], name=output)


@dataclass(frozen=True, slots=True)
class NormedPool:
    """A pool and a batch norm without weights: (C, H, W) -> (C, H', W')."""

    pool: MaxPool | AvgPool

    def emit(self, net: Builder, *inputs: int) -> int:
        return net.add(BatchNorm(affine=False), net.add(self.pool, *inputs, name="pool"), name="norm")


@dataclass(frozen=True, slots=True)
class Separable:
    """ReLU, depthwise convolution, 1x1 convolution, batch norm: (C, H, W) -> (C, H', W')."""

    kernel: int
    stride: int = 1
    dilation: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(ReLU(), *inputs, name="act")
        channels = net.shape(x)[0]
        x = net.add(Conv(channels, self.kernel, self.stride, channels, self.dilation), x, name="depthwise")
        return net.add(BatchNorm(), net.add(Conv(channels), x, name="pointwise"), name="norm")


@dataclass(frozen=True, slots=True)
class TwiceSeparable:
    """Two separable convolutions, of which the first has the stride: (C, H, W) -> (C, H', W')."""

    kernel: int
    stride: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(Separable(self.kernel, self.stride), *inputs, name="a")
        return net.add(Separable(self.kernel), x, name="b")
