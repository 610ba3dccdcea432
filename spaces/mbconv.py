"""The MobileNetV3 space of Once-for-All: depth of five stages, kernel and expansion of each block; 2e19 networks.

References:
    Cai et al., "Once-for-All: Train one network and specialize it for efficient deployment", ICLR 2020,
    arXiv:1908.09791; `ofa/imagenet_classification/elastic_nn/networks/ofa_mbv3.py` of
    github.com/mit-han-lab/once-for-all.
    Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244, table 1.
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
    Reference,
    make_divisible,
    validate,
)
from nasctl.spaces._published import nearest_size, under_options

__all__ = ["MBConvSpace"]

KERNELS = (3, 5, 7)  # choices of the depthwise kernel's height and width
EXPANSIONS = (3, 4, 6)  # choices of expanded channels per input channel
DEPTHS = (2, 3, 4)  # choices of the blocks in a stage
STEM = 16  # channels of the stem and of the first block
FINAL = 960  # channels of the convolution behind the last stage
LAST = 1280  # channels of the 1x1 convolution behind the pool


class StageSettings(NamedTuple):
    """Settings of a stage that the genome does not choose."""

    channels: int
    stride: int  # of the first block; the others have stride 1
    act: str
    se: bool


STAGES = (
    StageSettings(24, 2, "relu", False),
    StageSettings(40, 2, "relu", True),
    StageSettings(80, 2, "hswish", False),
    StageSettings(112, 1, "hswish", True),
    StageSettings(160, 2, "hswish", True),
)
BLOCKS = max(DEPTHS)  # blocks with genes in each stage; blocks beyond the chosen depth are inactive


class MBConvSpace:
    """MobileNetV3 networks with five stages of two to four inverted residuals.

    Each block has a kernel of 3, 5 or 7 and an expansion of 3, 4 or 6. Parameters and MACs equal those of Once-for-All.

    Departure: dropout before the classifier is omitted. It adds no parameters or MACs and only regularises training.

    Args:
        width: Multiplier of all channels; the published networks use 1.0 or 1.2.
        resolution: Height and width of the images in pixels.
        classes: Outputs of the classifier.
        resolutions: Choices of a resolution gene, which replaces `resolution`.
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
            raise BadOption(f"width must be above 0 and at most 10, got {width} (option of mbconv)")
        invalid = [size for size in (resolution, *resolutions) if not 32 <= size <= 4096]
        if invalid:
            raise BadOption(f"resolution must be 32 to 4096 pixels, got {invalid[0]} (option of mbconv)")
        if list(resolutions) != sorted(set(resolutions)):
            given = ",".join(map(str, resolutions))
            raise BadOption(f"resolutions must be distinct and ascending, got {given} (option of mbconv)")
        if classes < 1:
            raise BadOption(f"classes must be 1 or more, got {classes} (option of mbconv)")
        self._elastic_resolution = bool(resolutions)  # True if the first gene is the resolution
        self._sizes = resolutions or (resolution,)
        self.input = Input((3, self._sizes[-1], self._sizes[-1]))
        self.genes: Sequence[Gene] = tuple(_genes(resolutions))
        stem = make_divisible(STEM * width)
        self._stem = ConvNormAct(stem, 3, 2, act="hswish")
        self._first = MBConv(stem, 3, 1)
        # Indexed by stage, by place in the stage, and by (kernel, expansion) flattened.
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
        self._final = ConvNormAct(make_divisible(FINAL * width), act="hswish")
        self._mix = ConvNormAct(make_divisible(LAST * width), act="hswish", norm=False)
        self._logits = Logits(classes)
        self.references = dict(self._references(width, classes))
        self.missing_references = MISSING | {
            name: f"give width={published[1]}" for name, published in PUBLISHED.items() if name not in self.references
        }

    def _references(self, width: float, classes: int) -> Iterator[tuple[str, Reference]]:
        """Yield the published networks by name; MobileNetV3-Large is published at several widths."""
        for name, (stages, published_width, size, accuracy, source, remark) in PUBLISHED.items():
            if width != published_width and name != "mobilenetv3-large":
                continue
            choice = nearest_size(self._sizes, size)
            genome = (*[choice] * self._elastic_resolution, *_genome(stages))
            yield (
                name,
                under_options(
                    Reference(genome, source, accuracy, remark),
                    {
                        "width": (width, published_width),
                        "resolution": (self._sizes[choice], size),
                        "classes": (classes, 1000),
                    },
                ),
            )

    def canonical(self, genome: Genome) -> Genome:
        """Set every gene of a block beyond its stage's depth to choice 0; no other gene is redundant."""
        validate(self.genes, genome)
        start = int(self._elastic_resolution)
        out = list(genome[:start])
        for depth, genes in _split_stages(genome[start:]):
            active = 2 * DEPTHS[depth]
            out += [depth, *genes[:active], *[0] * (len(genes) - active)]
        return tuple(out)

    def network(self, genome: Genome) -> Network:
        start = int(self._elastic_resolution)
        size = self._sizes[genome[0] if start else 0]
        net = Builder((3, size, size))
        x = net.add(self._stem, *net.inputs, name="stem")
        x = net.add(self._first, x, name="first")
        for names, blocks, (depth, genes) in zip(BLOCK_NAMES, self._blocks, _split_stages(genome[start:]), strict=True):
            for place in range(DEPTHS[depth]):
                choice = genes[2 * place] * len(EXPANSIONS) + genes[2 * place + 1]
                x = net.add(blocks[place][choice], x, name=names[place])
        x = net.add(self._final, x, name="final")
        x = net.add(GlobalAvgPool(), x, name="pool")
        x = net.add(self._mix, x, name="mix")
        return net.build(net.add(self._logits, x, name="logits"))

    def reduced(self, fidelity: Fidelity) -> MBConvSpace:
        """Return the space on smaller images.

        Resolutions that are genes keep their ratios. No block is removed, because blocks are genes.
        """
        reduced, largest = copy(self), self._sizes[-1]
        size = min(fidelity.size or largest, largest)
        reduced._sizes = tuple(max(32, round(choice * size / largest)) for choice in self._sizes)
        reduced.input = Input((3, reduced._sizes[-1], reduced._sizes[-1]))
        return reduced


BLOCK_NAMES = [[f"stage{stage}.{place}" for place in range(BLOCKS)] for stage in range(1, len(STAGES) + 1)]


# Published networks that users look for here, with the reason why no option makes them.
MISSING = {"mobilenetv3-small": "its stages have other channels, strides and numbers of blocks"}

OFA_SOURCE = "Cai et al., ICLR 2020; README of github.com/mit-han-lab/once-for-all"
# Name -> kernel and expansion of each block of each stage, width, resolution, accuracy, source and remark.
PUBLISHED = {
    "mobilenetv3-large": (
        ("34 33", "53 53 53", "36 33 33 33", "36 36", "56 56 56"),
        1.0,
        224,
        0.752,
        "Howard et al., ICCV 2019, tables 1 and 3",
        "3 blocks of stage 3 expand 3 times (published: 2.5, 2.3, 2.3), and squeeze-and-excitation follows the"
        " activation",
    ),
    "ofa-note10-30ms": (
        ("33 33", "54 33 34", "54 54 33", "36 34 34", "36 36 34 33"),
        1.2,
        224,
        0.784,
        OFA_SOURCE,
        "",
    ),
    "ofa-pixel1-20ms": (
        ("33 33", "53 53", "74 33", "53 34", "36 76"),
        1.0,
        152,
        0.714,
        OFA_SOURCE,
        "",
    ),
    "ofa-note8-31ms": (
        ("53 33", "54 53", "34 34 54", "34 53 74", "36 33 53 53"),
        1.0,
        152,
        0.728,
        f"{OFA_SOURCE}; configs/nas/mmcls/onceforall of github.com/open-mmlab/mmrazor",
        "",
    ),
}


def _genome(stages: Sequence[str]) -> Iterator[int]:
    """Yield the genes of a network from its stages; each block is the digits of its kernel and its expansion."""
    for stage in stages:
        blocks = stage.split()
        yield DEPTHS.index(len(blocks))
        for block in blocks:
            yield from (KERNELS.index(int(block[0])), EXPANSIONS.index(int(block[1])))
        yield from (0, 0) * (BLOCKS - len(blocks))


def _genes(resolutions: tuple[int, ...]) -> Iterator[Gene]:
    if resolutions:
        yield Gene("resolution", resolutions, ordered=True)
    for names in BLOCK_NAMES:
        yield Gene(f"{names[0].partition('.')[0]}.depth", DEPTHS, ordered=True)
        for name in names:
            yield Gene(f"{name}.kernel", KERNELS, ordered=True)
            yield Gene(f"{name}.expand", EXPANSIONS, ordered=True)


def _split_stages(genes: Genome) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the depth gene and the (kernel, expansion) genes of each stage."""
    for start in range(0, len(genes), 1 + 2 * BLOCKS):
        yield genes[start], genes[start + 1 : start + 1 + 2 * BLOCKS]
