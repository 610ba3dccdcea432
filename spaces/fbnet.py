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
    validate,
)

__all__ = ["FBNet"]

STEM = 16  # channels
# (channels, blocks, stride of the first block) of each stage; with images of CIFAR's size the second keeps the size.
STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
CHOICES = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
SKIP = CHOICES.index("skip")


class FBNet:
    """A chain of 22 blocks: a kernel of 3 or 5, an expansion of 1, 3 or 6, or nothing at all.

    A block of expansion 1 begins with a 1x1 convolution too, in one group or (`g2`) in two with a channel shuffle after
    it. A `skip` where the block would change the shape is what HW-NAS-Bench makes of it: 1x1 convolution with the
    stride, batch norm, ReLU. The paper leaves that open. Choices stand in the order of HW-NAS-Bench, and genes are
    called as the columns of its derivatives, `layer0` to `layer21`.

    Departure: with a `width` other than 1 channels are rounded up to a multiple of 8, as in the published network for
    96 x 96 images with .35 of the channels; the paper names no rule.

    Args:
        resolution: Height and width of the images.
        classes: Outputs of the classifier.
        head: Channels before the classifier, which `width` leaves alone: 1984, and 1504 in FBNet-A and with `cifar`.
        width: Multiplies the channels of the stem and the stages.
        cifar: The strides of HW-NAS-Bench for images of 32 x 32: the stem and the second stage keep the size.
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
        self._least = 8 if cifar else 32
        if not self._least <= resolution <= 4096:
            raise BadOption(f"fbnet needs a resolution of {self._least} to 4096, not {resolution}")
        if not 0 < width <= 10:
            raise BadOption(f"fbnet multiplies its channels by width={width}, which has to be above 0 and up to 10")
        if min(classes, head) < 1:
            raise BadOption("fbnet needs classes and a head of 1 or more")
        self.input = Input((3, resolution, resolution))
        self._stem = ConvNormAct(_scaled(STEM, width), 3, 1 if cifar else 2)
        layers = list(_layers(width, cifar))
        self.genes: Sequence[Gene] = tuple(Gene(f"layer{k}", CHOICES) for k in range(len(layers)))
        self._blocks = [_choices(*layer) for layer in layers]
        self._head, self._classifier = ConvNormAct(head), Classifier(classes)

    def canonical(self, genome: Genome) -> Genome:
        """Move the skips of layers that keep the shape behind their neighbours: where they stand makes no difference.

        A skip that changes the shape is a layer, and stays.
        """
        validate(self.genes, genome)
        ordered: list[int] = []
        run: list[int] = []  # choices of neighbouring layers that keep the shape
        for choice, blocks in zip(genome, self._blocks, strict=True):
            if blocks[SKIP] == Identity():
                run.append(choice)
            else:
                ordered += [*_skips_last(run), choice]
                run = []
        return (*ordered, *_skips_last(run))

    def spell(self, genome: Genome) -> str:
        """The numbers of the blocks, as HW-NAS-Bench counts them: 22 digits."""
        return "".join(map(str, genome))

    def parse(self, text: str) -> Genome | None:
        """The genome of such digits; none if the text is something else."""
        return tuple(map(int, text)) if len(text) == len(self.genes) and set(text) <= set("012345678") else None

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x = net.add(self._stem, *net.inputs, name="stem")
        for gene, choice, blocks in zip(self.genes, genome, self._blocks, strict=True):
            x = net.add(blocks[choice], x, name=gene.name)
        x = net.add(self._head, x, name="head")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> FBNet:
        """Smaller images; every block is a gene of its own, so none can be left out."""
        reduced, size = copy(self), self.input.shape[-1]
        size = min(size, max(self._least, fidelity.size or size))
        reduced.input = Input((3, size, size))
        return reduced


@dataclass(frozen=True, slots=True)
class Separable:
    """A block of expansion 1, with a shortcut where the shape allows one: (C, H, W) -> (channels, H', W').

    1x1 convolution to as many channels as come in, depthwise convolution, 1x1 convolution. With `groups` both 1x1
    convolutions have so many, and what the first puts out is shuffled.
    """

    channels: int
    kernel: int
    stride: int = 1
    groups: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        wide = net.shape(x)[0]
        y = net.add(ConvNormAct(wide, groups=self.groups), x, name="mix")
        y = net.add(ChannelShuffle(self.groups), y, name="shuffle") if self.groups > 1 else y
        y = net.add(ConvNormAct(wide, self.kernel, self.stride, groups=wide), y, name="depthwise")
        y = net.add(ConvNormAct(self.channels, groups=self.groups, act=None), y, name="project")
        return net.add(Add(), x, y, name="add") if net.shape(x) == net.shape(y) else y


def _layers(width: float, cifar: bool) -> Iterator[tuple[int, int, int]]:
    """What goes in, what comes out (channels) and the stride of each of the 22 layers."""
    before = _scaled(STEM, width)
    for stage, (channels, blocks, stride) in enumerate(STAGES):
        for place in range(blocks):
            halves = stride == 2 and not place and not (cifar and stage == 1)
            yield before, _scaled(channels, width), 2 if halves else 1
            before = _scaled(channels, width)


def _scaled(channels: int, width: float) -> int:
    return 8 * ceil(round(channels * width / 8, 6))


def _choices(before: int, channels: int, stride: int) -> tuple[Block, ...]:
    """The blocks that a gene chooses from, in the order of CHOICES."""
    of_kernel: list[Block] = []
    for kernel in (3, 5):
        of_kernel += [Separable(channels, kernel, stride), Separable(channels, kernel, stride, groups=2)]
        of_kernel += [MBConv(channels, kernel, expand, stride) for expand in (3, 6)]
    kept = before == channels and stride == 1
    return (*of_kernel, Identity() if kept else ConvNormAct(channels, stride=stride))


def _skips_last(choices: list[int]) -> list[int]:
    return sorted(choices, key=lambda choice: choice == SKIP)
