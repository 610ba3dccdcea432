"""The ProxylessNAS space of Once-for-All: depth of five stages, kernel and expansion of each block; 2e20 networks.

References:
    Cai et al., "Once-for-All: Train one network and specialize it for efficient deployment", ICLR 2020,
    arXiv:1908.09791; `ofa/imagenet_classification/elastic_nn/networks/ofa_proxyless.py` of
    github.com/mit-han-lab/once-for-all.
    Cai et al., "ProxylessNAS: Direct neural architecture search on target task and hardware", ICLR 2019,
    arXiv:1812.00332, for the channels and the strides of the stages.
    Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018, arXiv:1801.04381, table 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace

from nasctl.api import (
    BadOption,
    Builder,
    Classifier,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Input,
    MBConv,
    Network,
    Reference,
    make_divisible,
    validate,
)
from nasctl.spaces._published import nearest_size, under_options

__all__ = ["Proxyless"]

KERNELS = (3, 5, 7)  # choices of the depthwise kernel's height and width
EXPANSIONS = (3, 4, 6)  # choices of expanded channels per input channel
DEPTHS = (2, 3, 4)  # choices of the blocks in a stage; the last stage always has one
STEM = 32  # channels of the stem
FIRST = 16  # channels of the first block
LAST = 1280  # channels of the convolution before the classifier
STRIDES = (2, 2, 2, 1, 2, 1)  # stride of the first block of each stage
BLOCKS = max(DEPTHS)  # blocks with genes in each stage but the last; blocks beyond the chosen depth are inactive
ACT = "relu6"


class Proxyless:
    """ProxylessNAS networks with five stages of two to four inverted residuals and a sixth stage of one.

    There is no squeeze-and-excitation. Each block has a kernel of 3, 5 or 7 and an expansion of 3, 4 or 6. Parameters
    and MACs equal those of Once-for-All.

    Departures: dropout before the classifier is omitted, because it adds no parameters or MACs and only regularises
    training. A `width` below 0.35 makes the stem as narrow as the first block, and then the first block has a shortcut
    too.

    Args:
        width: Multiplier of all channels; the released weights have 1.3, the published latencies of a Pixel 1 have 1.0.
        resolution: Height and width of the images in pixels.
        classes: Outputs of the classifier.
        widths: Channels of the six stages; the "google" form of Once-for-All has 24,32,64,96,160,320.
        resolutions: Choices of a resolution gene, which replaces `resolution`.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(
        self,
        width: float = 1.0,
        resolution: int = 224,
        classes: int = 1000,
        widths: tuple[int, ...] = (24, 40, 80, 96, 192, 320),
        resolutions: tuple[int, ...] = (),
    ) -> None:
        if not 0 < width <= 10:
            raise BadOption(f"width must be above 0 and at most 10, got {width} (option of proxyless)")
        if len(widths) != len(STRIDES) or min(widths) < 1:
            given = ",".join(map(str, widths))
            raise BadOption(f"widths must be {len(STRIDES)} numbers of 1 or more, got {given} (option of proxyless)")
        invalid = [size for size in (resolution, *resolutions) if not 32 <= size <= 4096]
        if invalid:
            raise BadOption(f"resolution must be 32 to 4096 pixels, got {invalid[0]} (option of proxyless)")
        if list(resolutions) != sorted(set(resolutions)):
            given = ",".join(map(str, resolutions))
            raise BadOption(f"resolutions must be distinct and ascending, got {given} (option of proxyless)")
        if classes < 1:
            raise BadOption(f"classes must be 1 or more, got {classes} (option of proxyless)")
        self._elastic_resolution = bool(resolutions)  # True if the first gene is the resolution
        self._sizes = resolutions or (resolution,)
        self.input = Input((3, self._sizes[-1], self._sizes[-1]))
        self.genes: Sequence[Gene] = tuple(_genes(resolutions))
        self._stem = ConvNormAct(make_divisible(STEM * width), 3, 2, act=ACT)
        self._first = MBConv(make_divisible(FIRST * width), 3, 1, act=ACT)
        # Indexed by stage, by place in the stage, and by (kernel, expansion) flattened.
        self._blocks = [
            [_choices(make_divisible(channels * width), 1 if place else stride) for place in range(len(names))]
            for names, channels, stride in zip(BLOCK_NAMES, widths, STRIDES, strict=True)
        ]
        self._mix = ConvNormAct(make_divisible(LAST * width), act=ACT)
        self._classifier = Classifier(classes)
        self.references = dict(self._references(width, classes, widths))
        self.missing_references = {
            name: f"give width={published_width},widths={','.join(map(str, channels))}"
            for name, (_, channels, published_width, _) in PUBLISHED.items()
            if name not in self.references
        }

    def _references(self, width: float, classes: int, widths: tuple[int, ...]) -> Iterator[tuple[str, Reference]]:
        """Yield the published networks by name, each if the space has its channels in all stages but the first."""
        choice = nearest_size(self._sizes, 224)
        for name, (stages, channels, published_width, published) in PUBLISHED.items():
            if widths[1:] != channels[1:] or width != published_width:
                continue
            genome = (*[choice] * self._elastic_resolution, *_genome(stages))
            yield (
                name,
                under_options(
                    replace(published, genome=genome),
                    {
                        "widths": (widths, channels),
                        "resolution": (self._sizes[choice], 224),
                        "classes": (classes, 1000),
                    },
                ),
            )

    def canonical(self, genome: Genome) -> Genome:
        """Set every gene of a block beyond its stage's depth to choice 0; no other gene is redundant."""
        validate(self.genes, genome)
        start = int(self._elastic_resolution)
        out = list(genome[:start])
        for depth, genes in _split_stages(genome[start:-2]):
            active = 2 * DEPTHS[depth]
            out += [depth, *genes[:active], *[0] * (len(genes) - active)]
        return (*out, *genome[-2:])

    def network(self, genome: Genome) -> Network:
        start = int(self._elastic_resolution)
        size = self._sizes[genome[0] if start else 0]
        net = Builder((3, size, size))
        x = net.add(self._stem, *net.inputs, name="stem")
        x = net.add(self._first, x, name="first")
        active = [genes[: 2 * DEPTHS[depth]] for depth, genes in _split_stages(genome[start:-2])]
        for names, blocks, genes in zip(BLOCK_NAMES, self._blocks, [*active, genome[-2:]], strict=True):
            for place in range(len(genes) // 2):
                choice = genes[2 * place] * len(EXPANSIONS) + genes[2 * place + 1]
                x = net.add(blocks[place][choice], x, name=names[place])
        x = net.add(self._mix, x, name="mix")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> Proxyless:
        """Return the space on smaller images.

        Resolutions that are genes keep their ratios. No block is removed, because blocks are genes.
        """
        reduced, largest = copy(self), self._sizes[-1]
        size = min(fidelity.size or largest, largest)
        reduced._sizes = tuple(max(32, round(choice * size / largest)) for choice in self._sizes)
        reduced.input = Input((3, reduced._sizes[-1], reduced._sizes[-1]))
        return reduced


BLOCK_NAMES = [
    *([f"stage{stage}.{place}" for place in range(BLOCKS)] for stage in range(1, len(STRIDES))),
    ["stage6.0"],
]


def _choices(channels: int, stride: int) -> list[MBConv]:
    return [MBConv(channels, kernel, expand, stride, ACT) for kernel in KERNELS for expand in EXPANSIONS]


SOURCE = "Cai et al., ICLR 2019, tables 2 and 4"
# Name -> kernel and expansion of each block of each stage, channels of the stages, width, and publication.
PUBLISHED = {
    "proxylessnas-mobile": (
        ("53 33", "73 33 53 53", "76 53 53 53", "56 53 53 53", "76 76 73 73", "76"),
        (32, 40, 80, 96, 192, 320),
        1.0,
        Reference((), SOURCE, 0.746),
    ),
    "proxylessnas-mobile-14": (
        ("53 33", "73 33 53 53", "76 53 53 53", "56 53 53 53", "76 76 73 73", "76"),
        (28, 40, 80, 96, 184, 320),
        1.4,
        Reference((), "proxyless_mobile_14 of github.com/mit-han-lab/proxylessnas", 0.767),
    ),
    "mobilenetv2": (
        ("36 36", "36 36 36", "36 36 36 36", "36 36 36", "36 36 36", "36"),
        (24, 32, 64, 96, 160, 320),
        1.0,
        Reference((), "Sandler et al., CVPR 2018, tables 2 and 4", 0.72),
    ),
}


def _genome(stages: Sequence[str]) -> Iterator[int]:
    """Yield the genes of a network from its stages; each block is the digits of its kernel and its expansion."""
    for names, stage in zip(BLOCK_NAMES, stages, strict=True):
        blocks = stage.split()
        if len(names) == BLOCKS:
            yield DEPTHS.index(len(blocks))
        for block in blocks:
            yield from (KERNELS.index(int(block[0])), EXPANSIONS.index(int(block[1])))
        yield from (0, 0) * (len(names) - len(blocks))


def _genes(resolutions: tuple[int, ...]) -> Iterator[Gene]:
    if resolutions:
        yield Gene("resolution", resolutions, ordered=True)
    for names in BLOCK_NAMES:
        if len(names) == BLOCKS:
            yield Gene(f"{names[0].partition('.')[0]}.depth", DEPTHS, ordered=True)
        for name in names:
            yield Gene(f"{name}.kernel", KERNELS, ordered=True)
            yield Gene(f"{name}.expand", EXPANSIONS, ordered=True)


def _split_stages(genes: Genome) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the depth gene and the (kernel, expansion) genes of each stage but the last."""
    for start in range(0, len(genes), 1 + 2 * BLOCKS):
        yield genes[start], genes[start + 1 : start + 1 + 2 * BLOCKS]
