"""The cell of TransNAS-Bench-101: one operation on each of six edges, 4,096 genomes, for seven vision tasks.

References:
    Duan et al., "TransNAS-Bench-101: Improving transferability and generalizability of cross-task neural architecture
    search", CVPR 2021, arXiv:2105.11871.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from itertools import product

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
    Fidelity,
    Gene,
    Genome,
    Identity,
    Input,
    Network,
    ReLU,
    Shift,
    Zero,
    validate,
)

__all__ = ["TNB101Micro"]

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (from, to): gene i is the operation on edge i
OPERATIONS = ("none", "skip_connect", "conv_1x1", "conv_3x3")  # digits 0 to 3 of the benchmark's own encoding
WEIGHTED = ("conv_1x1", "conv_3x3")
MODULES = "41414"  # 4 doubles the channels and halves the size, 1 keeps both


class TNB101Micro:
    """A stem, five modules of two cells and a linear classifier; the first, third and fifth module halve the size.

    In the first cell of those the edges that leave node 0 have stride 2 and double the channels. A `skip_connect` there
    is a factorised reduction, which has weights; everywhere else it is the identity.

    The benchmark trained the networks on seven tasks. Its classifiers of scenes (47 classes), objects (75) and room
    layouts (9 outputs) are this network with another number of classes, all at 256 x 256. In the jigsaw task nine tiles
    of 64 x 64 go through the same cells and one linear layer with 1,000 classes reads all nine; autoencoding, surface
    normals and segmentation put a decoder behind the cells in place of the classifier. These are the same for every
    cell, so this network stands for all seven: parameters differ by a constant, MACs by that and the image's size.

    Parameters are those of the benchmark's own code (github.com/yawen-d/TransNASBench), dead operations included. MACs
    are of convolutions and of the linear layer, without its bias. Metrics draw their weights as in every space; the
    benchmark draws those of convolutions from N(0, 2 / n), n being output channels times the area of the kernel.

    Args:
        channels: Behind the stem, an even number; doubled by three of the modules.
        cells: In each module.
        classes: Outputs of the classifier.
        resolution: Height and width of the images.
        canonical: Whether cells that compute the same count as one; the published tables hold a row for each genome.
    """

    genes: Sequence[Gene] = tuple(Gene(f"edge{source}{target}", OPERATIONS) for source, target in EDGES)
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, cells=1, batch=16),
    }

    def __init__(
        self, channels: int = 64, cells: int = 2, classes: int = 47, resolution: int = 256, canonical: bool = True
    ) -> None:
        if min(channels, cells, classes) < 1 or channels % 2:
            raise BadOption("tnb101_micro needs cells and classes of 1 or more, and an even number of channels")
        if resolution < 32:
            raise BadOption(f"tnb101_micro halves its images five times: resolution={resolution} has to be 32 or more")
        self.input = Input((3, resolution, resolution))
        self._channels, self._cells, self._classes, self._merge = channels, cells, classes, canonical

    def canonical(self, genome: Genome) -> Genome:
        """The genome with the fewest open edges, then the smallest, of those that compute the same function.

        Same function means: for any weights of the one there are weights of the other, layer for layer, that make the
        outputs equal; what a layer makes of zeros counts as zeros, as it is before training. There are 1,376 such
        functions. A skip from node 0 counts as a layer, because it is one in the cells that halve the size; cells that
        agree there agree in the others too.
        """
        validate(self.genes, genome)
        return _representatives()[_function(genome)] if self._merge else genome

    def spell(self, genome: Genome) -> str:
        """The benchmark's own string: "64-41414-1_02_333", the edges grouped by the node that they end in."""
        digits = "".join(map(str, genome))
        return f"{self._channels}-{MODULES}-{digits[:1]}_{digits[1:3]}_{digits[3:]}"

    def parse(self, text: str) -> Genome | None:
        """The genome of such a string, or of a tuple "(1, 0, 2, 3, 3, 3)", as NASLib's tables of this benchmark have.

        NASLib's code knows another tuple, with other digits and the edges grouped by the node that they leave, which
        looks the same and is not meant here. None if the text is something else.
        """
        string = re.fullmatch(rf"{self._channels}-{MODULES}-([0-3])_([0-3]{{2}})_([0-3]{{3}})", text)
        digits = "".join(string.groups()) if string else ""
        if re.fullmatch(r"\([0-3](, [0-3]){5}\)", text):
            digits = text[1::3]
        return tuple(map(int, digits)) or None

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(self._channels // 2, 3, stride=2, act=None), *net.inputs, name="stem.0")
        x = net.add(ActConvNorm(self._channels, 3, stride=2), x, name="stem.1")
        channels = self._channels
        for module, code in enumerate(MODULES, start=1):
            halves = code == "4"
            channels *= 2 if halves else 1
            for cell in range(self._cells):
                x = _cell(net, x, genome, channels, f"module{module}.{cell}", reduces=halves and cell == 0)
        return net.build(net.add(Classifier(self._classes), x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> TNB101Micro:
        """Fewer cells in each module, and smaller images."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = min(largest, fidelity.size or largest)
        reduced.input = Input((3, size, size))
        reduced._cells = min(self._cells, fidelity.cells or self._cells)
        return reduced


def _cell(net: Builder, x: int, genome: Genome, channels: int, name: str, reduces: bool) -> int:
    kept = _operations(channels, reduces=False)
    operations = (_operations(channels, reduces), kept, kept)  # by the node that an edge leaves
    zero = Blank() if reduces else Zero()
    values: list[int | None] = [x]  # what the nodes hold; None stands for zeros, made only where something reads them
    for target in (1, 2, 3):
        terms = []
        for (source, end), choice in zip(EDGES, genome, strict=True):
            operation = operations[source][choice]
            if end != target or operation is None:
                continue
            start = values[source]
            if start is None:
                values[source] = start = net.add(zero, x, name=f"{name}.zero{source}")
            terms.append(net.add(operation, start, name=f"{name}.edge{source}{target}"))
        total = net.add(Add(), *terms, name=f"{name}.node{target}") if len(terms) > 1 else None
        values.append(terms[0] if len(terms) == 1 else total)
    return values[3] if values[3] is not None else net.add(zero, x, name=f"{name}.zero3")


@cache
def _operations(channels: int, reduces: bool) -> Sequence[Block | None]:
    """What an edge can be, in the order of OPERATIONS."""
    stride = 2 if reduces else 1
    skip = FactorizedReduction(channels) if reduces else Identity()
    return None, skip, ActConvNorm(channels, 1, stride), ActConvNorm(channels, 3, stride)


@dataclass(frozen=True, slots=True)
class FactorizedReduction:
    """A skip that halves the size: (C, H, W) -> (channels, H / 2, W / 2).

    Half of the channels come from a 1x1 convolution of the even rows and columns, the others from one of the odd ones.
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
    """What `none` makes where the size is halved: zeros, (C, H, W) -> (2 C, H / 2, W / 2)."""

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(AvgPool(1, stride=2), *inputs, name="pool")
        x = net.add(Zero(), x, name="zero")
        return net.add(Concat(), x, x, name="concat")


@cache
def _representatives() -> dict[object, Genome]:
    best_last = sorted(product(range(len(OPERATIONS)), repeat=len(EDGES)), key=lambda g: (-g.count(0), g), reverse=True)
    return {_function(genome): genome for genome in best_last}


def _function(genome: Genome) -> object:
    """What a cell computes: equal for two genomes exactly if they compute the same function (see `canonical`).

    A node's value is written as the sorted terms of a sum. That alone takes conv(x) + conv(x) with one convolution for
    the same with two, so the layers that the output depends on are listed beside it.
    """
    terms: list[tuple[str, ...]] = [("x",), (), (), ()]
    layers: list[set[tuple[int, str]]] = [set(), set(), set(), set()]
    for target in (1, 2, 3):
        for edge, (source, end) in enumerate(EDGES):
            operation = OPERATIONS[genome[edge]]
            if end != target or operation == "none" or not terms[source]:
                continue
            layers[target] |= layers[source]
            if operation == "skip_connect" and source:
                terms[target] += terms[source]
                continue
            term = f"{operation}({' + '.join(terms[source])})"
            terms[target] += (term,)
            layers[target].add((edge, term))
        terms[target] = tuple(sorted(terms[target]))
    return terms[3], tuple(sorted(term for _, term in layers[3]))
