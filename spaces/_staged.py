"""Base of spaces of inverted residuals that choose width, depth, kernel and expansion once per stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar, NamedTuple, Self

from nasctl.api import (
    Add,
    AvgPool,
    Builder,
    Conv,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Input,
    Logits,
    MBConv,
    Network,
    Reference,
    validate,
)
from nasctl.spaces._images import checked_resolutions
from nasctl.spaces._published import genome_of, nearest_size, under_options

ACT = "swish"


class Stage(NamedTuple):
    """The choices of one stage, shared by all of its blocks, and its fixed settings.

    Each of the first four fields is a gene if it has more than one choice.
    """

    widths: tuple[int, ...]  # channels
    depths: tuple[int, ...]  # blocks
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    stride: int  # of the first block; the others have stride 1
    se: bool  # squeeze-and-excitation in every block


class StagedNetwork(NamedTuple):
    """A published network; per stage, its width, depth, kernel and expansion."""

    resolution: int
    stem: int
    widths: tuple[int, ...]
    depths: str  # a digit per stage, like kernels and expansions
    kernels: str
    expansions: str
    last: int
    published: Reference  # without its genome


class StagedSpace(ABC):
    """A stem convolution, stages named "mb1", "mb2", ..., and a head.

    A subclass gives the choices as class attributes and builds the head in `_head`.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }
    name: str  # name of the space on the command line
    stem_widths: tuple[int, ...]  # choices of the stem's channels
    stages: Sequence[Stage]
    last_widths: tuple[int, ...]  # choices of the channels before the classifier
    networks: ClassVar[Mapping[str, StagedNetwork]] = {}  # published networks by name

    def __init__(self, resolution: int = 224, classes: int = 1000, resolutions: tuple[int, ...] = ()) -> None:
        self._sizes = checked_resolutions(self.name, resolution, resolutions, classes)
        self._elastic_resolution = bool(resolutions)  # True if the first gene is the resolution
        self.input = Input((3, self._sizes[-1], self._sizes[-1]))
        self.genes: Sequence[Gene] = tuple(self._genes(resolutions))
        self._stem_blocks = [ConvNormAct(channels, 3, 2, act=ACT) for channels in self.stem_widths]
        # One dictionary per stage: (width, kernel, expansion) -> (first block, other blocks), by number of the choice.
        self._blocks = [
            {choice: _first_and_other_blocks(stage, *choice) for choice in _block_choices(stage)}
            for stage in self.stages
        ]
        self._names = [
            [f"mb{k}.{place}" for place in range(max(stage.depths))] for k, stage in enumerate(self.stages, 1)
        ]
        self._logits = Logits(classes)
        self.references = {name: self._reference(network, classes) for name, network in self.networks.items()}

    def _reference(self, network: StagedNetwork, classes: int) -> Reference:
        """Return a published network as a reference, at the resolution of this space nearest to its own."""
        size = self._sizes[nearest_size(self._sizes, network.resolution)]
        values: dict[str, object] = {"resolution": size, "stem.width": network.stem, "last.width": network.last}
        chosen = zip(network.widths, network.depths, network.kernels, network.expansions, strict=True)
        for k, (width, *digits) in enumerate(chosen, 1):
            settings = zip(("width", "depth", "kernel", "expand"), (width, *map(int, digits)), strict=True)
            values |= {f"mb{k}.{name}": value for name, value in settings}
        return under_options(
            replace(network.published, genome=genome_of(self.genes, values)),
            {
                "resolution": (size, network.resolution),
                "classes": (classes, 1000),
            },
        )

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome unchanged: every gene applies to a whole stage, so no gene is redundant."""
        validate(self.genes, genome)
        return genome

    def network(self, genome: Genome) -> Network:
        genes = iter(genome)
        size = self._sizes[next(genes) if self._elastic_resolution else 0]
        net = Builder((3, size, size))
        width, channels = 0, self.stem_widths[stem := next(genes)]
        x = net.add(self._stem_blocks[stem], *net.inputs, name="stem")
        for stage, names, blocks in zip(self.stages, self._names, self._blocks, strict=True):
            width, depth, kernel, expand = (next(genes) if len(choices) > 1 else 0 for choices in stage[:4])
            first, other = blocks[width, kernel, expand]
            keeps_shape = stage.stride == 1 and channels == stage.widths[width]
            x = net.add(other if keeps_shape else first, x, name=names[0])
            for name in names[1 : stage.depths[depth]]:
                x = net.add(other, x, name=name)
            channels = stage.widths[width]
        x = self._head(net, x, width, next(genes))
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> Self:
        """Return the space on smaller images.

        Resolutions that are genes keep their ratios. No block is removed, because depths are genes.
        """
        reduced, largest = copy(self), self._sizes[-1]
        size = min(fidelity.size or largest, largest)
        reduced._sizes = tuple(max(32, round(choice * size / largest)) for choice in self._sizes)
        reduced.input = Input((3, reduced._sizes[-1], reduced._sizes[-1]))
        return reduced

    @abstractmethod
    def _head(self, net: Builder, x: int, width: int, last: int) -> int:
        """Add the layers between the last stage and the classifier; `width` and `last` are numbers of choices."""

    def _genes(self, resolutions: tuple[int, ...]) -> Iterator[Gene]:
        if resolutions:
            yield Gene("resolution", resolutions, ordered=True)
        yield Gene("stem.width", self.stem_widths, ordered=_is_ordered(self.stem_widths, self.stages[0].widths))
        widths = [self.stem_widths, *(stage.widths for stage in self.stages), ()]
        for k, (stage, previous, following) in enumerate(zip(self.stages, widths[:-2], widths[2:], strict=True), 1):
            genes = (
                Gene(f"mb{k}.width", stage.widths, ordered=_is_ordered(stage.widths, previous, following)),
                Gene(f"mb{k}.depth", stage.depths, ordered=True),
                Gene(f"mb{k}.kernel", stage.kernels, ordered=True),
                Gene(f"mb{k}.expand", stage.expansions, ordered=True),
            )
            yield from (gene for gene in genes if len(gene.choices) > 1)
        yield Gene("last.width", self.last_widths, ordered=True)


@dataclass(frozen=True, slots=True)
class Bridged:
    """An inverted residual with a shortcut even where the shape changes: (C, H, W) -> (channels, H', W').

    The shortcut average-pools if the stride is above 1, and applies a 1x1 convolution without batch norm if the number
    of channels changes.
    """

    channels: int
    kernel: int
    expand: int
    stride: int = 1
    se: bool = False

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        channels, *sizes = net.shape(x)
        block = MBConv(self.channels, self.kernel, self.expand, self.stride, ACT, self.se)
        y = net.add(block, x, name="block")
        if net.shape(x) == net.shape(y):
            return y  # MBConv itself adds the shortcut where the shape stays the same.
        if self.stride > 1:
            odd = any(size % self.stride for size in sizes)
            x = net.add(AvgPool(self.stride + odd, self.stride), x, name="pool")
        if channels != self.channels:
            x = net.add(Conv(self.channels), x, name="shortcut")
        return net.add(Add(), y, x, name="add")


def _block_choices(stage: Stage) -> Iterator[tuple[int, int, int]]:
    return product(range(len(stage.widths)), range(len(stage.kernels)), range(len(stage.expansions)))


def _first_and_other_blocks(stage: Stage, width: int, kernel: int, expand: int) -> tuple[Bridged, MBConv]:
    channels, size, wider = stage.widths[width], stage.kernels[kernel], stage.expansions[expand]
    first = Bridged(channels, size, wider, stage.stride, stage.se)
    return first, MBConv(channels, size, wider, 1, ACT, stage.se)


def _is_ordered(widths: tuple[int, ...], *neighbours: tuple[int, ...]) -> bool:
    """Return whether a larger width never removes a shortcut convolution.

    A shortcut has no convolution where two neighbouring widths are equal. So no width but the smallest may also be a
    choice of a neighbour.
    """
    return not any(set(widths[1:]) & set(other) for other in neighbours)
