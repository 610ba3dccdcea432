"""The size space of NATS-Bench: channels of each of five parts of one network, 32,768 genomes.

References:
    Dong et al., "NATS-Bench: Benchmarking NAS algorithms for architecture topology and size", IEEE TPAMI 44 (7), 2022,
    arXiv:2009.00437; `xautodl/models/shape_infers/InferTinyCellNet.py` and `xautodl/models/cell_operations.py` of
    github.com/D-X-Y/AutoDL-Projects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache

from nasctl.api import (
    ActConvNorm,
    Add,
    AvgPool,
    BadOption,
    BatchNorm,
    Builder,
    Classifier,
    Conv,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Identity,
    Input,
    Network,
    ReLU,
    Zero,
    validate,
)
from nasctl.spaces._cells import EDGES, EdgeTerm, add_cell

__all__ = ["NATSSize"]

CHANNELS = (8, 16, 24, 32, 40, 48, 56, 64)
PARTS = ("cell1", "reduction1", "cell2", "reduction2", "cell3")
SKIP_EDGE = EDGES.index((0, 3))  # index of the skip edge; all others are 3x3 convolutions


class NATSSize:
    """Three equal cells with residual blocks of stride 2 between them, each part with its own channels.

    The cell is the best cell of the topology space on CIFAR-100: 3x3 convolutions on five edges and a skip from its
    input to its output. If input and output differ in channels, the skip is a 1x1 convolution with batch norm and
    without ReLU. The stem has the channels of the first cell.

    Parameters equal the benchmark's. MACs count convolutions and the linear layer, without its bias.

    Args:
        classes: Outputs of the classifier.
        resolution: Height and width of the images in pixels, a multiple of 4.
    """

    share = "entangled"  # of weights in a supernet: layers differ in size, or operations in name

    # Only the first gene is ordered: elsewhere, channels equal to the input's remove the skip's convolution.
    genes: Sequence[Gene] = tuple(Gene(f"{part}.channels", CHANNELS, ordered=part == "cell1") for part in PARTS)
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=64),
        "balanced": Fidelity(size=16, batch=32),
        "fast": Fidelity(size=8, batch=16),
    }

    def __init__(self, classes: int = 10, resolution: int = 32) -> None:
        if classes < 1:
            raise BadOption(f"classes must be 1 or more, got {classes} (option of nats_size)")
        if resolution < 4 or resolution % 4:
            raise BadOption(f"resolution must be a positive multiple of 4, got {resolution} (option of nats_size)")
        self.input = Input((3, resolution, resolution))
        self._classes = classes

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome unchanged: other channels mean other layers, so no gene is redundant."""
        validate(self.genes, genome)
        return genome

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's string, "64:64:56:64:24": the channels of the five parts."""
        return ":".join(str(CHANNELS[choice]) for choice in genome)

    def parse(self, text: str) -> Genome | None:
        """Return the genome of the benchmark's string, or None if the text is something else."""
        words = text.split(":")
        known = len(words) == len(PARTS) and all(re.fullmatch("[1-9][0-9]?", word) for word in words)
        if not known or not all(int(word) in CHANNELS for word in words):
            return None
        return tuple(CHANNELS.index(int(word)) for word in words)

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        widths = [CHANNELS[choice] for choice in genome]
        x = net.add(ConvNormAct(widths[0], 3, act=None), *net.inputs, name="stem")
        for part, channels in zip(PARTS, widths, strict=True):
            if part.startswith("reduction"):
                x = net.add(Reduction(channels), x, name=part)
            else:
                edges = _edges(channels, same_channels=net.shape(x)[0] == channels)
                x = add_cell(net, x, edges, part, Zero())  # No edge is open, so Zero is never added.
        return net.build(net.add(Head(self._classes), x, name="head"))

    def reduced(self, fidelity: Fidelity) -> NATSSize:
        """Return the space on smaller images; no cell is removed, because the channels of every cell are a gene."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(4, min(largest, fidelity.size or largest) // 4 * 4)
        reduced.input = Input((3, size, size))
        return reduced


@cache
def _edges(channels: int, same_channels: bool) -> Sequence[Sequence[EdgeTerm]]:
    """Return the operation on each edge, (6,); `same_channels` is True if the cell's input has as many channels."""
    skip = Identity() if same_channels else ConvNormAct(channels, act=None)
    return [[EdgeTerm(skip if edge == SKIP_EDGE else ActConvNorm(channels, 3))] for edge in range(len(EDGES))]


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
