"""The cell of TransNAS-Bench-101: one operation on each of six edges, 4,096 genomes, for seven vision tasks.

References:
    Duan et al., "TransNAS-Bench-101: Improving transferability and generalizability of cross-task neural architecture
    search", CVPR 2021, arXiv:2105.11871.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache

from nasctl.api import (
    ActConvNorm,
    AvgPool,
    BadOption,
    BatchNorm,
    Block,
    Builder,
    Classifier,
    Concat,
    Conv,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Identity,
    Input,
    Layer,
    Network,
    ReLU,
    Shift,
    Zero,
    validate,
)
from nasctl.spaces._cells import EDGES, EdgeTerm, add_cell, canonical_genome, edge_terms

__all__ = ["TNB101Micro"]

OPERATIONS = ("none", "skip_connect", "conv_1x1", "conv_3x3")  # digits 0 to 3 of the benchmark's encoding
IDENTITY_NODES = frozenset((1, 2))  # nodes whose outgoing skip_connect is the identity in every cell
MODULES = "41414"  # one digit per module: 4 doubles the channels and halves the resolution, 1 keeps both


class TNB101Micro:
    """A stem, five modules of two cells and a linear classifier; modules 1, 3 and 5 halve the resolution.

    In the first cell of modules 1, 3 and 5, the edges that leave node 0 have stride 2 and double the channels. There
    `skip_connect` is a factorised reduction, which has weights. Everywhere else it is the identity.

    The benchmark trained the networks on seven tasks. For scenes (47 classes), objects (75 classes) and room layouts (9
    outputs), its networks are this network with another number of classes, all at 256 x 256. In the jigsaw task, nine
    tiles of 64 x 64 go through the same cells, and one linear layer with 1,000 classes reads all nine. Autoencoding,
    surface normals and segmentation replace the classifier by a decoder. The head of a task is the same for every cell,
    so this network stands for all seven tasks: parameters differ by a constant, and MACs by a constant and the image
    size.

    Parameters equal those of the benchmark's code (github.com/yawen-d/TransNASBench), dead operations included. MACs
    count convolutions and the linear layer, without its bias. Metrics initialise weights as in every space; the
    benchmark draws convolution weights from N(0, 2 / n), where n is output channels times kernel area.

    Args:
        channels: Channels behind the stem, an even number; three of the modules double them.
        cells: Cells in each module.
        classes: Outputs of the classifier.
        resolution: Height and width of the images in pixels.
        canonical: Treat cells that compute the same function as one; the published tables have a row for each genome.
    """

    genes: Sequence[Gene] = tuple(Gene(f"edge{source}{target}", OPERATIONS) for source, target in EDGES)
    family = "cell"
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, cells=1, batch=16),
    }

    def __init__(
        self, channels: int = 64, cells: int = 2, classes: int = 47, resolution: int = 256, canonical: bool = True
    ) -> None:
        if min(channels, cells, classes) < 1 or channels % 2:
            given = f"channels={channels},cells={cells},classes={classes}"
            raise BadOption(
                f"cells and classes must be 1 or more and channels even and positive, got {given}"
                " (options of tnb101_micro)"
            )
        if resolution < 32:
            raise BadOption(f"resolution must be 32 pixels or more, got {resolution} (option of tnb101_micro)")
        self.input = Input((3, resolution, resolution))
        self._channels, self._cells, self._classes, self._merge_equal = channels, cells, classes, canonical

    def canonical(self, genome: Genome) -> Genome:
        """Return the simplest genome that computes the same function.

        There are 1,376 functions; `nasctl.spaces._cells.canonical_genome` defines when two are the same. A skip from
        node 0 counts as a layer, because it is one in the cells that halve the resolution. Cells that are equal there
        are equal in the other cells too.
        """
        validate(self.genes, genome)
        return (
            canonical_genome(genome, OPERATIONS, frozenset(OPERATIONS), IDENTITY_NODES) if self._merge_equal else genome
        )

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's string, "64-41414-1_02_333": edges are grouped by the node that they enter."""
        digits = "".join(map(str, genome))
        return f"{self._channels}-{MODULES}-{digits[:1]}_{digits[1:3]}_{digits[3:]}"

    def parse(self, text: str) -> Genome | None:
        """Return the genome of the benchmark's string, or of a tuple of NASLib's tables such as "(1, 0, 2, 3, 3, 3)".

        NASLib's code also uses another tuple that looks the same, with other digits and with edges grouped by the node
        that they leave. That tuple is not supported.

        Returns:
            The genome, or None if the text is something else.
        """
        string = re.fullmatch(rf"{self._channels}-{MODULES}-([0-3])_([0-3]{{2}})_([0-3]{{3}})", text)
        digits = "".join(string.groups()) if string else ""
        if re.fullmatch(r"\([0-3](, [0-3]){5}\)", text):
            digits = text[1::3]
        return tuple(map(int, digits)) or None

    def network(self, genome: Genome) -> Network:
        return self.supernet([(choice,) for choice in genome])

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network whose edges output the weighted sum of several operations.

        Args:
            allowed: Choices of each edge, (G,), each with one or more.
            gated: Whether an edge with one choice has a factor too.
        """
        return self._chain(
            lambda channels, reduces: [
                edge_terms(_operations(channels, reduces and source == 0), OPERATIONS, edge, choices, gated)
                for edge, ((source, _), choices) in enumerate(zip(EDGES, allowed, strict=True))
            ]
        )

    def declared(self, genome: Genome) -> Network:
        """Return the network as the benchmark's own code runs it.

        Every operation is computed, idle or not, `none` as zeros, and all edges of a node are added.
        """
        return self._chain(
            lambda channels, reduces: [
                [EdgeTerm(_operations(channels, reduces and source == 0)[choice] or _zeros(reduces and source == 0))]
                for (source, _), choice in zip(EDGES, genome, strict=True)
            ]
        )

    def _chain(self, edges_of: Callable[[int, bool], Sequence[Sequence[EdgeTerm]]]) -> Network:
        """Return the network whose cells have the edges of a function.

        Args:
            edges_of: Returns the operations that each edge sums, (6,), for the channels of the nodes, and whether the
                cell halves the resolution.
        """
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(self._channels // 2, 3, stride=2, act=None), *net.inputs, name="stem.0")
        x = net.add(ActConvNorm(self._channels, 3, stride=2), x, name="stem.1")
        channels = self._channels
        for module, code in enumerate(MODULES, start=1):
            downsamples = code == "4"
            channels *= 2 if downsamples else 1
            for k in range(self._cells):
                reduces = downsamples and k == 0
                x = add_cell(net, x, edges_of(channels, reduces), f"module{module}.{k}", _zeros(reduces))
        return net.build(net.add(Classifier(self._classes), x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> TNB101Micro:
        """Return the space with fewer cells in each module and smaller images."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = min(largest, fidelity.size or largest)
        reduced.input = Input((3, size, size))
        reduced._cells = min(self._cells, fidelity.cells or self._cells)
        return reduced


def _zeros(reduces: bool) -> Block | Layer:
    """Return the operation that outputs zeros; only edges that leave node 0 can have stride 2."""
    return Blank() if reduces else Zero()


@cache
def _operations(channels: int, reduces: bool) -> Sequence[Block | None]:
    """Return the operations of an edge, in the order of OPERATIONS."""
    stride = 2 if reduces else 1
    skip = FactorizedReduction(channels) if reduces else Identity()
    return None, skip, ActConvNorm(channels, 1, stride), ActConvNorm(channels, 3, stride)


@dataclass(frozen=True, slots=True)
class FactorizedReduction:
    """A skip that halves the resolution: (C, H, W) -> (channels, H / 2, W / 2).

    Half of the output channels come from a 1x1 convolution of the even rows and columns, the other half from a 1x1
    convolution of the odd rows and columns.
    """

    channels: int

    def emit(self, net: Builder, *inputs: int) -> int:
        half = Conv(self.channels // 2, stride=2)
        x = net.add(ReLU(), *inputs, name="act")
        even = net.add(half, x, name="even")
        odd = net.add(half, net.add(Shift(), x, name="shift"), name="odd")
        return net.add(BatchNorm(), net.add(Concat(), even, odd, name="concat"), name="norm")


@dataclass(frozen=True, slots=True)
class Blank:
    """The `none` operation where the resolution is halved, which outputs zeros: (C, H, W) -> (2 C, H / 2, W / 2)."""

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(AvgPool(1, stride=2), *inputs, name="pool")
        x = net.add(Zero(), x, name="zero")
        return net.add(Concat(), x, x, name="concat")
