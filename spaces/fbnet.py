"""The layer-wise space of FBNet: 22 layers with a choice of nine blocks each, 9**22 = 9.8e20 genomes.

References:
    Wu et al., "FBNet: Hardware-aware efficient ConvNet design via differentiable neural architecture search", CVPR
    2019, arXiv:1812.03443, tables 1 and 2 and figure 3.
    Li et al., "HW-NAS-Bench: Hardware-aware neural architecture search benchmark", ICLR 2021, arXiv:2103.10584;
    `hw_nas_bench_api/fbnet_models/model_infer.py` of github.com/GATECH-EIC/HW-NAS-Bench.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import ceil

from nasctl.api import (
    Add,
    BadOption,
    Block,
    Builder,
    ChannelShuffle,
    Classifier,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Identity,
    Input,
    MBConv,
    Network,
    Reference,
    validate,
)
from nasctl.spaces._published import under_options
from nasctl.spaces._sums import add_choices

__all__ = ["FBNet"]

STEM = 16  # channels of the stem
# (channels, blocks, stride of the first block) of each stage; with `cifar` the second stage has stride 1.
STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
# Blocks in the order of HW-NAS-Bench: k is the kernel, e the expansion, g the groups.
CHOICES = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
SKIP = CHOICES.index("skip")


class FBNet:
    """A chain of 22 blocks, each with a kernel of 3 or 5 and an expansion of 1, 3 or 6, or skipped.

    A block of expansion 1 also begins with a 1x1 convolution, in one group or (`g2`) in two groups followed by a
    channel shuffle. Where a block would change the shape, `skip` is a 1x1 convolution with the stride, batch norm and
    ReLU, as in HW-NAS-Bench; the paper leaves this case open. Choices are in the order of HW-NAS-Bench. Genes are named
    after the columns of tables derived from it, `layer0` to `layer21`.

    Departure: with a `width` other than 1, channels are rounded up to a multiple of 8. The published network for 96 x
    96 images with 0.35 of the channels does so; the paper gives no rule.

    Args:
        resolution: Height and width of the images in pixels.
        classes: Outputs of the classifier.
        head: Channels before the classifier, which `width` does not scale: 1984, or 1504 in FBNet-A and with `cifar`.
        width: Multiplier of the channels of the stem and the stages.
        cifar: Use the strides of HW-NAS-Bench for images of 32 x 32: the stem and the second stage have stride 1.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(
        self,
        resolution: int = 224,
        classes: int = 1000,
        head: int = 1984,
        width: float = 1.0,
        cifar: bool = False,
    ) -> None:
        self._min_resolution = 8 if cifar else 32
        if not self._min_resolution <= resolution <= 4096:
            raise BadOption(
                f"resolution must be {self._min_resolution} to 4096 pixels, got {resolution} (option of fbnet)"
            )
        if not 0 < width <= 10:
            raise BadOption(f"width must be above 0 and at most 10, got {width} (option of fbnet)")
        if min(classes, head) < 1:
            raise BadOption(f"classes and head must be 1 or more, got classes={classes},head={head} (options of fbnet)")
        self.input = Input((3, resolution, resolution))
        self._stem = ConvNormAct(_scale_channels(STEM, width), 3, 1 if cifar else 2)
        layers = list(_layer_shapes(width, cifar))
        self.genes: Sequence[Gene] = tuple(Gene(f"layer{k}", CHOICES) for k in range(len(layers)))
        self._blocks = [_layer_choices(*layer) for layer in layers]
        self._head, self._classifier = ConvNormAct(head), Classifier(classes)
        self.references = {
            name: under_options(
                Reference(tuple(map(CHOICES.index, words.split())), SOURCE, accuracy, remark),
                {
                    "cifar": (cifar, False),
                    "width": (width, 1.0),
                    "head": (head, published_head),
                    "resolution": (resolution, 224),
                    "classes": (classes, 1000),
                },
            )
            for name, (words, published_head, accuracy, remark) in PUBLISHED.items()
        }

    def canonical(self, genome: Genome) -> Genome:
        """Move every skip that keeps the shape behind its neighbours, because its position has no effect.

        A skip that changes the shape is a layer and stays in place.
        """
        validate(self.genes, genome)
        ordered: list[int] = []
        movable: list[int] = []  # choices of neighbouring layers that keep the shape
        for choice, blocks in zip(genome, self._blocks, strict=True):
            if blocks[SKIP] == Identity():
                movable.append(choice)
            else:
                ordered += [*_skips_last(movable), choice]
                movable = []
        return (*ordered, *_skips_last(movable))

    def spell(self, genome: Genome) -> str:
        """Return the block numbers of HW-NAS-Bench as 22 digits."""
        return "".join(map(str, genome))

    def parse(self, text: str) -> Genome | None:
        """Return the genome of 22 block numbers, or None if the text is something else."""
        return tuple(map(int, text)) if len(text) == len(self.genes) and set(text) <= set("012345678") else None

    def network(self, genome: Genome) -> Network:
        return self.supernet([(choice,) for choice in genome])

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network whose layers each sum the weighted outputs of several blocks.

        Args:
            allowed: Choices of each layer, (G,), each with one or more.
            gated: Whether a layer with one choice has a factor too.
        """
        net = Builder(self.input.shape)
        x = net.add(self._stem, *net.inputs, name="stem")
        for place, (gene, choices, blocks) in enumerate(zip(self.genes, allowed, self._blocks, strict=True)):
            x = add_choices(net, x, place, gene, blocks, choices, gated)
        x = net.add(self._head, x, name="head")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> FBNet:
        """Return the space on smaller images; no block is removed, because every block is a gene."""
        reduced, size = copy(self), self.input.shape[-1]
        size = min(size, max(self._min_resolution, fidelity.size or size))
        reduced.input = Input((3, size, size))
        return reduced


SOURCE = "Wu et al., CVPR 2019, table 3; model definitions of github.com/facebookresearch/mobile-vision"
# Name -> choice of each layer, channels before the classifier, accuracy and remark.
PUBLISHED = {
    "fbnet-a": (
        "skip k3_e3 k3_e1 skip skip k5_e6 k3_e3 k5_e1 k3_e3 k5_e6 k5_e3 k5_e1_g2 k5_e6 k3_e6 k5_e1_g2 k5_e3"
        " k3_e1_g2 k5_e6 k5_e6 k5_e3 k5_e6 k5_e6",
        1504,
        0.730,
        "",
    ),
    "fbnet-b": (
        "k3_e1 k3_e6 k5_e1 k3_e1 k3_e1 k5_e6 k5_e3 k3_e6 k5_e6 k5_e6 k5_e1 skip k5_e3 k5_e6 k3_e1 k5_e1 k5_e3"
        " k5_e6 k5_e1 k5_e6 k5_e6 k3_e6",
        1984,
        0.741,
        "layer10 is k5_e1 as in the paper's figure; the authors' code has k5_e6, which costs more than it prints",
    ),
    "fbnet-c": (
        "k3_e1 k3_e6 skip k3_e1 k3_e1 k5_e6 k5_e3 k5_e6 k3_e6 k5_e6 k5_e3 k5_e6 k5_e6 k5_e6 k5_e6 k5_e6 k5_e3"
        " k5_e6 k5_e6 k5_e6 k5_e6 k3_e6",
        1984,
        0.749,
        "",
    ),
}


@dataclass(frozen=True, slots=True)
class Separable:
    """A block of expansion 1, with a shortcut if the shape stays the same: (C, H, W) -> (channels, H', W').

    The block is a 1x1 convolution to C channels, a depthwise convolution and a 1x1 convolution. `groups` applies to
    both 1x1 convolutions; with more than one group the channels are shuffled after the first.
    """

    channels: int
    kernel: int
    stride: int = 1
    groups: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        channels_in = net.shape(x)[0]
        y = net.add(ConvNormAct(channels_in, groups=self.groups), x, name="mix")
        y = net.add(ChannelShuffle(self.groups), y, name="shuffle") if self.groups > 1 else y
        y = net.add(ConvNormAct(channels_in, self.kernel, self.stride, groups=channels_in), y, name="depthwise")
        y = net.add(ConvNormAct(self.channels, groups=self.groups, act=None), y, name="project")
        return net.add(Add(), x, y, name="add") if net.shape(x) == net.shape(y) else y


def _layer_shapes(width: float, cifar: bool) -> Iterator[tuple[int, int, int]]:
    """Yield the input channels, output channels and stride of each of the 22 layers."""
    channels_in = _scale_channels(STEM, width)
    for stage, (channels, blocks, stride) in enumerate(STAGES):
        for place in range(blocks):
            has_stride = stride == 2 and not place and not (cifar and stage == 1)
            yield channels_in, _scale_channels(channels, width), 2 if has_stride else 1
            channels_in = _scale_channels(channels, width)


def _scale_channels(channels: int, width: float) -> int:
    return 8 * ceil(round(channels * width / 8, 6))


def _layer_choices(channels_in: int, channels: int, stride: int) -> tuple[Block, ...]:
    """Return the blocks that a gene chooses from, in the order of CHOICES."""
    blocks: list[Block] = []
    for kernel in (3, 5):
        blocks += [Separable(channels, kernel, stride), Separable(channels, kernel, stride, groups=2)]
        blocks += [MBConv(channels, kernel, expand, stride) for expand in (3, 6)]
    keeps_shape = channels_in == channels and stride == 1
    return (*blocks, Identity() if keeps_shape else ConvNormAct(channels, stride=stride))


def _skips_last(choices: list[int]) -> list[int]:
    return sorted(choices, key=lambda choice: choice == SKIP)
