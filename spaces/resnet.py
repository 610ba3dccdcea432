"""The ResNet-50 space of Once-for-All: depth, width and expansion of four stages of bottlenecks; 1.6e12 networks.

References:
    Cai et al., "Once-for-All: Train one network and specialize it for efficient deployment", ICLR 2020,
    arXiv:1908.09791; `ofa/imagenet_classification/elastic_nn/networks/ofa_resnets.py` of
    github.com/mit-han-lab/once-for-all.
    He et al., "Bag of tricks for image classification with convolutional neural networks", CVPR 2019,
    arXiv:1812.01187, figure 2c: the shortcuts (ResNet-D).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from nasctl.api import (
    Add,
    AvgPool,
    Builder,
    Classifier,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Input,
    MaxPool,
    Network,
    Reference,
    ReLU,
    make_divisible,
    validate,
)
from nasctl.spaces._images import checked_resolutions
from nasctl.spaces._published import genome_of, nearest_size, under_options

__all__ = ["ResNetSpace"]

DEPTHS = (0, 1, 2)  # choices of the blocks added to MIN_BLOCKS
WIDTHS = (0.65, 0.8, 1.0)  # choices of the multiplier of channels
EXPANSIONS = (0.2, 0.25, 0.35)  # choices of middle channels per output channel of a bottleneck
CHANNELS = (256, 512, 1024, 2048)  # output channels of each stage at width 1
MIN_BLOCKS = (2, 2, 4, 2)  # blocks of each stage at depth 0
BLOCK_NAMES = [
    [f"stage{k}.{place}" for place in range(min_blocks + max(DEPTHS))]
    for k, min_blocks in enumerate(MIN_BLOCKS, start=1)
]

# Choices of ResNet-50-D: 3, 4, 6 and 3 bottlenecks whose middle is a quarter of their output, and three convolutions.
RESNET_50_D: dict[str, object] = {
    "stem.depth": 2,
    "stem.middle.width": 1.0,
    "stem.width": 1.0,
    **{f"stage{k}.width": 1.0 for k in range(1, 5)},
    **{f"stage{k}.depth": added for k, added in enumerate((1, 2, 2, 1), start=1)},
    **{f"{name}.expand": 0.25 for names in BLOCK_NAMES for name in names},
}
RESNET_50_D_SOURCE = "He et al., CVPR 2019, figure 2 and table 5"
RESNET_50_D_REMARK = "the second convolution of the stem has a shortcut, as in Once-for-All"

# Published networks that users look for here, with the reason why no option makes them.
MISSING = {
    "resnet-18": "its blocks are no bottlenecks",
    "resnet-50": "its stem is one convolution of 7x7, and its shortcuts have no pooling",
}


class ResNetSpace:
    """A stem of two or three convolutions and four stages of bottlenecks, each stage with its own width.

    Depths follow Once-for-All. In the stages, a depth of 0, 1 or 2 is added to 2, 2, 4 and 2 blocks. In the stem, a
    depth of 0 or 2 means without or with its residual convolution. Widths multiply 64 channels in the stem and 256,
    512, 1024 and 2048 channels in the stages.

    The resolution must be a multiple of 32. Once-for-All also accepts other resolutions, where the pool of a shortcut
    rounds up.

    Args:
        resolution: Height and width of the images in pixels, a multiple of 32; Once-for-All has 128 to 224.
        classes: Outputs of the classifier.
        resolutions: Choices of a resolution gene, which replaces `resolution`.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(self, resolution: int = 224, classes: int = 1000, resolutions: tuple[int, ...] = ()) -> None:
        self._sizes = checked_resolutions("resnet", resolution, resolutions, classes)
        self._elastic_resolution = bool(resolutions)  # True if the first gene is the resolution
        self.input = Input((3, self._sizes[-1], self._sizes[-1]))
        self.genes: Sequence[Gene] = tuple(_genes(resolutions))
        self._classifier = Classifier(classes)
        self.missing_references = MISSING
        choice = nearest_size(self._sizes, 224)
        options: dict[str, tuple[object, object]] = {
            "resolution": (self._sizes[choice], 224),
            "classes": (classes, 1000),
        }
        values = RESNET_50_D | {"resolution": self._sizes[choice]}
        self.references = {
            "resnet-50d": under_options(
                Reference(genome_of(self.genes, values), RESNET_50_D_SOURCE, 0.7716, RESNET_50_D_REMARK), options
            )
        }

    def canonical(self, genome: Genome) -> Genome:
        """Set unused expansions to choice 0 and the stem's middle width to the first width of equal effect.

        Expansions beyond their stage's depth are unused. Middle widths of the stem have an equal effect if they round
        to the same channels. No other gene is redundant, because no other two widths or expansions round to the same
        channels.
        """
        validate(self.genes, genome)
        start = int(self._elastic_resolution)
        depth, middle, width = genome[start : start + 3]
        out = [*genome[:start], depth, MIDDLE.index(MIDDLE[middle]), width]
        for min_blocks, (width, depth, expansions) in zip(MIN_BLOCKS, _split_stages(genome[start + 3 :]), strict=True):
            active = min_blocks + DEPTHS[depth]
            out += [width, depth, *expansions[:active], *[0] * (len(expansions) - active)]
        return tuple(out)

    def network(self, genome: Genome) -> Network:
        start = int(self._elastic_resolution)
        size = self._sizes[genome[0] if start else 0]
        net = Builder((3, size, size))
        depth, middle, width = genome[start : start + 3]
        x = net.add(ConvNormAct(MIDDLE[middle], 3, 2), *net.inputs, name="stem.first")
        x = net.add(Residual(MIDDLE[middle]), x, name="stem.middle") if depth else x
        x = net.add(ConvNormAct(OUTER[width], 3), x, name="stem.last")
        x = net.add(MaxPool(3, 2), x, name="pool")
        for stage, (width, depth, expansions) in enumerate(_split_stages(genome[start + 3 :])):
            blocks = CHOICES[stage][width]
            for place in range(MIN_BLOCKS[stage] + DEPTHS[depth]):
                first, others = blocks[expansions[place]]
                x = net.add(others if place else first, x, name=BLOCK_NAMES[stage][place])
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> ResNetSpace:
        """Return the space on smaller images.

        Resolutions that are genes keep their ratios. No block is removed, because blocks are genes.
        """
        reduced, largest = copy(self), self._sizes[-1]
        size = min(fidelity.size or largest, largest)
        reduced._sizes = tuple(max(32, choice * size // largest // 32 * 32) for choice in self._sizes)
        reduced.input = Input((3, reduced._sizes[-1], reduced._sizes[-1]))
        return reduced


def _genes(resolutions: tuple[int, ...]) -> Iterator[Gene]:
    if resolutions:
        yield Gene("resolution", resolutions, ordered=True)
    yield Gene("stem.depth", (0, max(DEPTHS)), ordered=True)
    yield Gene("stem.middle.width", WIDTHS, ordered=True)  # all convolutions of the stem but the last
    yield Gene("stem.width", WIDTHS, ordered=True)
    for names in BLOCK_NAMES:
        stage = names[0].partition(".")[0]
        yield Gene(f"{stage}.width", WIDTHS, ordered=True)
        yield Gene(f"{stage}.depth", DEPTHS, ordered=True)
        for name in names:
            yield Gene(f"{name}.expand", EXPANSIONS, ordered=True)


def _split_stages(genes: Genome) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield the width gene, the depth gene and the expansion genes of each stage."""
    start = 0
    for names in BLOCK_NAMES:
        stop = start + 2 + len(names)
        yield genes[start], genes[start + 1], genes[start + 2 : stop]
        start = stop


@dataclass(frozen=True, slots=True)
class Residual:
    """A 3x3 convolution with batch norm and ReLU, added to its input: (C, H, W) -> (C, H, W)."""

    channels: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        return net.add(Add(), net.add(ConvNormAct(self.channels, 3), x, name="conv"), x, name="add")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A residual block of 1x1, 3x3 and 1x1 convolutions: (C, H, W) -> (channels, H / stride, W / stride).

    If the shape changes, the shortcut is a 1x1 convolution with batch norm, preceded by an average pool if the stride
    is above 1.
    """

    channels: int
    middle: int  # channels of the 3x3 convolution
    stride: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(ConvNormAct(self.middle), x, name="reduce")
        y = net.add(ConvNormAct(self.middle, 3, self.stride), y, name="conv")
        y = net.add(ConvNormAct(self.channels, act=None), y, name="expand")
        if net.shape(x) != net.shape(y):
            x = net.add(AvgPool(self.stride, self.stride), x, name="pool") if self.stride > 1 else x
            x = net.add(ConvNormAct(self.channels, act=None), x, name="shortcut")
        return net.add(ReLU(), net.add(Add(), y, x, name="add"), name="act")


def _stage_blocks(channels: int, stride: int) -> list[tuple[Bottleneck, Bottleneck]]:
    """Return the first block of a stage and the block that all others repeat, for each expansion."""
    middles = [make_divisible(round(channels * expand)) for expand in EXPANSIONS]
    return [(Bottleneck(channels, middle, stride), Bottleneck(channels, middle)) for middle in middles]


OUTER = [make_divisible(64 * width) for width in WIDTHS]  # channels of the stem's last convolution
MIDDLE = [make_divisible(outer // 2) for outer in OUTER]  # channels of its other convolutions
# (first block, other blocks) by stage, width and expansion.
CHOICES = [
    [_stage_blocks(make_divisible(channels * width), stride) for width in WIDTHS]
    for channels, stride in zip(CHANNELS, (1, 2, 2, 2), strict=True)
]
