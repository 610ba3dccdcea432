"""The MobileNetV3 space of Once-for-All: depth of five stages, kernel and expansion of each block; 2e19 networks.

References:
    Cai et al., "Once-for-All: Train one network and specialize it for efficient deployment", ICLR 2020,
    arXiv:1908.09791; `ofa/imagenet_classification/elastic_nn/networks/ofa_mbv3.py` of
    github.com/mit-han-lab/once-for-all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import NamedTuple

from nasctl.api import (
    BadOption,
    Builder,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    GlobalAvgPool,
    Input,
    Logits,
    MBConv,
    Network,
    make_divisible,
    validate,
)

__all__ = ["MBConvSpace"]

KERNELS, EXPANSIONS, DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)
STEM, MIDDLE, LAST = 16, 960, 1280  # channels


class Stage(NamedTuple):
    """What the genome does not choose."""

    channels: int
    stride: int  # of the first block
    act: str
    se: bool


STAGES = (
    Stage(24, 2, "relu", False),
    Stage(40, 2, "relu", True),
    Stage(80, 2, "hswish", False),
    Stage(112, 1, "hswish", True),
    Stage(160, 2, "hswish", True),
)
BLOCKS = max(DEPTHS)  # in each stage; those beyond the stage's depth are inactive


class MBConvSpace:
    """Five stages of two to four inverted residuals, each with a kernel of 3, 5 or 7 and an expansion of 3, 4 or 6.

    Parameters and MACs are those of Once-for-All. Its dropout before the classifier, which costs nothing and has no
    place in an untrained network, is left out.

    Args:
        width: Multiplies all channels; published networks have 1.0 or 1.2.
        resolution: Height and width of the images.
        classes: Outputs of the classifier.
        resolutions: Makes the resolution a gene with these choices, in place of `resolution`.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(
        self, width: float = 1.2, resolution: int = 224, classes: int = 1000, resolutions: tuple[int, ...] = ()
    ) -> None:
        if not 0 < width <= 10:
            raise BadOption(f"mbconv multiplies its channels by width={width}, which has to be above 0 and up to 10")
        if not all(32 <= size <= 4096 for size in (resolution, *resolutions)):
            raise BadOption("mbconv halves its images five times: resolutions have to be 32 to 4096")
        if list(resolutions) != sorted(set(resolutions)):
            raise BadOption(f"mbconv wants its resolutions in ascending order, not {','.join(map(str, resolutions))}")
        if classes < 1:
            raise BadOption(f"mbconv needs at least one class, not classes={classes}")
        self._chosen = bool(resolutions)  # whether the resolution is a gene
        self._sizes = resolutions or (resolution,)
        self.input = Input((3, self._sizes[-1], self._sizes[-1]))
        self.genes: Sequence[Gene] = tuple(_genes(resolutions))
        stem = make_divisible(STEM * width)
        self._stem = ConvNormAct(stem, 3, 2, act="hswish")
        self._first = MBConv(stem, 3, 1)
        # The blocks that a place chooses from, by (kernel, expansion).
        self._blocks = [
            [
                [
                    MBConv(make_divisible(s.channels * width), kernel, expand, 1 if place else s.stride, s.act, s.se)
                    for kernel in KERNELS
                    for expand in EXPANSIONS
                ]
                for place in range(BLOCKS)
            ]
            for s in STAGES
        ]
        self._final = ConvNormAct(make_divisible(MIDDLE * width), act="hswish")
        self._mix = ConvNormAct(make_divisible(LAST * width), act="hswish", norm=False)
        self._logits = Logits(classes)

    def canonical(self, genome: Genome) -> Genome:
        """The first choice for every gene of a block beyond its stage's depth; nothing else is redundant."""
        validate(self.genes, genome)
        start = int(self._chosen)
        out = list(genome[:start])
        for depth, genes in _stages(genome[start:]):
            active = 2 * DEPTHS[depth]
            out += [depth, *genes[:active], *[0] * (len(genes) - active)]
        return tuple(out)

    def network(self, genome: Genome) -> Network:
        start = int(self._chosen)
        size = self._sizes[genome[0] if start else 0]
        net = Builder((3, size, size))
        x = net.add(self._stem, *net.inputs, name="stem")
        x = net.add(self._first, x, name="first")
        for names, blocks, (depth, genes) in zip(NAMES, self._blocks, _stages(genome[start:]), strict=True):
            for place in range(DEPTHS[depth]):
                choice = genes[2 * place] * len(EXPANSIONS) + genes[2 * place + 1]
                x = net.add(blocks[place][choice], x, name=names[place])
        x = net.add(self._final, x, name="final")
        x = net.add(GlobalAvgPool(), x, name="pool")
        x = net.add(self._mix, x, name="mix")
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> MBConvSpace:
        """Smaller images; resolutions that are genes keep their ratios. Blocks are genes, so none is left out."""
        reduced, largest = copy(self), self._sizes[-1]
        size = min(fidelity.size or largest, largest)
        reduced._sizes = tuple(max(32, round(one * size / largest)) for one in self._sizes)
        reduced.input = Input((3, reduced._sizes[-1], reduced._sizes[-1]))
        return reduced


NAMES = [[f"stage{stage}.{place}" for place in range(BLOCKS)] for stage in range(1, len(STAGES) + 1)]


def _genes(resolutions: tuple[int, ...]) -> Iterator[Gene]:
    if resolutions:
        yield Gene("resolution", resolutions, ordered=True)
    for names in NAMES:
        yield Gene(f"{names[0].partition('.')[0]}.depth", DEPTHS, ordered=True)
        for name in names:
            yield Gene(f"{name}.kernel", KERNELS, ordered=True)
            yield Gene(f"{name}.expand", EXPANSIONS, ordered=True)


def _stages(genes: Genome) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The depth gene and the (kernel, expansion) genes of each stage."""
    for start in range(0, len(genes), 1 + 2 * BLOCKS):
        yield genes[start], genes[start + 1 : start + 1 + 2 * BLOCKS]
