"""The cell of NAS-Bench-201: one operation on each of six edges, 15,625 genomes.

References:
    Dong & Yang, "NAS-Bench-201: Extending the scope of reproducible neural architecture search", ICLR 2020,
    arXiv:2001.00326.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache

from nasctl.api import (
    ActConvNorm,
    Add,
    AvgPool,
    BadOption,
    BatchNorm,
    Block,
    Builder,
    Classifier,
    Conv,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Identity,
    Input,
    Layer,
    Network,
    Reference,
    ReLU,
    Zero,
    validate,
)
from nasctl.spaces._cells import EDGES, EdgeTerm, add_cell, canonical_genome, edge_terms
from nasctl.spaces._published import under_options

__all__ = ["NB201"]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")  # in NASLib's order
# Operations with weights.
WEIGHTED = ("nor_conv_1x1", "nor_conv_3x3")
IDENTITY_NODES = frozenset((0, 1, 2))  # nodes whose outgoing skip_connect is the identity: all

SOURCE = "Dong and Yang, ICLR 2020, table 5"
# Classes -> data set, its resolution, the operations of its best cell, and the accuracies of that cell and of ResNet's.
BEST_CELLS = {
    10: ("cifar10", 32, ("333132", 0.9437, 0.9397)),
    100: ("cifar100", 32, ("333133", 0.7351, 0.7086)),
    120: ("imagenet16-120", 16, ("223133", 0.4731, 0.4363)),
}


class NB201:
    """Three stages of equal cells with residual blocks between them that double the channels and have stride 2.

    Args:
        channels: Channels of the first stage.
        cells: Cells in each stage.
        classes: Outputs of the classifier.
        resolution: Height and width of the images in pixels, a multiple of 4.
        canonical: Treat cells that compute the same function as one; the published tables have a row for each genome.
    """

    genes: Sequence[Gene] = tuple(Gene(f"edge{source}{target}", OPERATIONS) for source, target in EDGES)
    family = "cell"
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=64),
        "balanced": Fidelity(size=16, batch=32),
        "fast": Fidelity(size=16, cells=1, batch=16),
    }

    def __init__(
        self, channels: int = 16, cells: int = 5, classes: int = 10, resolution: int = 32, canonical: bool = True
    ) -> None:
        if min(channels, cells, classes) < 1:
            given = f"channels={channels},cells={cells},classes={classes}"
            raise BadOption(f"channels, cells and classes must be 1 or more, got {given} (options of nb201)")
        if resolution < 4 or resolution % 4:
            raise BadOption(f"resolution must be a positive multiple of 4, got {resolution} (option of nb201)")
        self.input = Input((3, resolution, resolution))
        self._channels, self._cells, self._classes, self._merge_equal = channels, cells, classes, canonical
        data, size, (best, *accuracies) = BEST_CELLS.get(classes, BEST_CELLS[10])
        published = {"nb201-resnet": ("303101", accuracies[1], "the residual block of ResNet")}
        published[f"nb201-best-{data}"] = (best, accuracies[0], f"the highest mean test accuracy on {data}")
        options: dict[str, tuple[object, object]] = {"channels": (channels, 16), "cells": (cells, 5)}
        options["resolution"] = resolution, size
        if classes not in BEST_CELLS:
            options["classes"] = classes, 10
        self.references = {
            name: under_options(Reference(tuple(map(int, digits)), SOURCE, accuracy, remark), options, f"on {data}")
            for name, (digits, accuracy, remark) in published.items()
        }

    def canonical(self, genome: Genome) -> Genome:
        """Return the simplest genome that computes the same function.

        There are 5,260 functions; `nasctl.spaces._cells.canonical_genome` defines when two are the same. The paper
        counts 6,466. Its string keeps sums with zeros apart (x and x + 0 differ), and it merges a value used twice with
        two layers of the same kind, which have separate weights.
        """
        validate(self.genes, genome)
        return (
            canonical_genome(genome, OPERATIONS, frozenset(WEIGHTED), IDENTITY_NODES) if self._merge_equal else genome
        )

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's string: "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|"."""
        edges = [f"{OPERATIONS[choice]}~{source}" for choice, (source, _) in zip(genome, EDGES, strict=True)]
        return "+".join(f"|{'|'.join(edges[start:stop])}|" for start, stop in ((0, 1), (1, 3), (3, 6)))

    def parse(self, text: str) -> Genome | None:
        """Return the genome of the benchmark's string, or None if the text is something else."""
        words = [word for node in text.split("+") for word in node.strip("|").split("|")]
        edges = [word.rpartition("~") for word in words]
        sources = [str(source) for source, _ in EDGES]
        if [source for _, _, source in edges] != sources or any(name not in OPERATIONS for name, _, _ in edges):
            return None
        return tuple(OPERATIONS.index(name) for name, _, _ in edges)

    def from_naslib(self, indices: Sequence[int]) -> Genome:
        """Return the genome of a tuple of NASLib's tables, whose edges are sorted by the node that they leave.

        References:
            `naslib/search_spaces/nasbench201/conversions.py` of github.com/automl/NASLib.
        """
        validate(self.genes, tuple(indices))  # NASLib's tuples have as many places and operations
        chosen = dict(zip(sorted(EDGES), indices, strict=True))
        return tuple(OPERATIONS.index(NASLIB_OPERATIONS[chosen[edge]]) for edge in EDGES)

    def network(self, genome: Genome) -> Network:
        return self.supernet([(choice,) for choice in genome])

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network whose edges output the weighted sum of several operations.

        Args:
            allowed: Choices of each edge, (G,), each with one or more.
            gated: Whether an edge with one choice has a factor too.
        """
        return self._chain(
            lambda channels: [
                edge_terms(_operations(channels), OPERATIONS, edge, choices, gated)
                for edge, choices in enumerate(allowed)
            ]
        )

    def declared(self, genome: Genome) -> Network:
        """Return the network as the benchmark's own code runs it.

        Every operation is computed, idle or not, `none` as zeros, and all edges of a node are added.
        """
        return self._chain(lambda channels: [[EdgeTerm(_operations(channels)[choice] or Zero())] for choice in genome])

    def _chain(self, edges_of: Callable[[int], Sequence[Sequence[EdgeTerm]]]) -> Network:
        """Return the network whose cells have the edges of a function of their channels."""
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(self._channels, 3, act=None), *net.inputs, name="stem")
        for stage in range(3):
            channels = self._channels << stage
            if stage:
                x = net.add(Reduction(channels), x, name=f"reduction{stage}")
            edges = edges_of(channels)
            for k in range(self._cells):
                x = add_cell(net, x, edges, f"stage{stage + 1}.{k}", Zero())
        return net.build(net.add(Head(self._classes), x, name="head"))

    def reduced(self, fidelity: Fidelity) -> NB201:
        """Return the space with fewer cells in each stage and smaller images."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(4, min(largest, fidelity.size or largest) // 4 * 4)
        reduced.input = Input((3, size, size))
        reduced._cells = min(self._cells, fidelity.cells or self._cells)
        return reduced


@cache
def _operations(channels: int) -> Sequence[Layer | Block | None]:
    """Return the operations of an edge, in the order of OPERATIONS."""
    return None, Identity(), ActConvNorm(channels, 1), ActConvNorm(channels, 3), AvgPool(3)


@dataclass(frozen=True, slots=True)
class Reduction:
    """The basic residual block with stride 2: (C, H, W) -> (channels, H / 2, W / 2)."""

    channels: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(ActConvNorm(self.channels, 3, stride=2), x, name="conv_a")
        y = net.add(ActConvNorm(self.channels, 3), y, name="conv_b")
        shortcut = net.add(AvgPool(2, stride=2), x, name="pool")
        shortcut = net.add(Conv(self.channels), shortcut, name="shortcut")
        return net.add(Add(), y, shortcut, name="add")


@dataclass(frozen=True, slots=True)
class Head:
    """Batch norm, ReLU and classifier: (C, H, W) -> (classes,)."""

    classes: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(BatchNorm(), *inputs, name="norm")
        x = net.add(ReLU(), x, name="act")
        return net.add(Classifier(self.classes), x, name="classifier")
