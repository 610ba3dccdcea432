"""The HyTra space of BossNAS: 16 layers, each a convolution or attention, that halve their maps where they like; 3e6.

References:
    Li et al., "BossNAS: Exploring hybrid CNN-transformers with block-wisely self-supervised neural architecture
    search", ICCV 2021, arXiv:2103.12424, section 4; of github.com/changlin31/BossNAS, `retraining_hytra/` for the
    layers, and `searching/bossnas/models/supernets/hytra_supernet.py` and
    `searching/bossnas/models/utils/hytra_paths.py` for the choices.
    Srinivas et al., "Bottleneck transformers for visual recognition", CVPR 2021, arXiv:2101.11605: attention in a
    bottleneck.
    Chu et al., "Conditional positional encodings for vision transformers", ICLR 2023, arXiv:2102.10882: positions from
    a depthwise convolution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from math import prod
from operator import mul

from nasctl.api import (
    ACTIVATIONS,
    Add,
    AttentionScores,
    AvgPool,
    BadOption,
    BatchNorm,
    Builder,
    Call,
    Classifier,
    Conv,
    ConvNormAct,
    Fidelity,
    FlattenMap,
    Gene,
    Genome,
    Input,
    Layer,
    Linear,
    MaxPool,
    Network,
    Shape,
    Softmax,
    SqueezeExcite,
    UnflattenMap,
    WeightedValues,
    validate,
)
from nasctl.spaces._images import sizes

__all__ = ["HyTra"]

LAYERS = 16
SCALES = (4, 8, 16, 32)  # by how much maps are smaller than the image
STEM, CHANNELS = 64, (256, 512, 1024, 2048)  # of the layers at each scale
ATTENDING = 2  # the first scale at which a layer can be attention
HEAD = 64  # width of a head
LIMITS = (0, 1, 2, 2)  # the least scale of each quarter of the layers in the supernet
OPERATIONS = ("conv", "attention")
DIGITS = ("5", "4", "32", "10")  # what the supernet's code calls a layer, by scale and operation
PLACES = {digit: (scale, op) for scale, digits in enumerate(DIGITS) for op, digit in enumerate(digits)}


class HyTra:
    """Residual bottlenecks of convolution or attention, with searchable places for the strides.

    The first layer is at one of four scales, and every other at that of the layer before it or one step down. Attention
    is a choice at the two lower scales. Layers are those of the networks that BossNAS retrained: BossNet-T0 is
    5433323000100000, `se=off` is "T0 w/o SE", and `last_stride=1` makes T1 of it. Their code leaves two things open,
    and each is as in the code that comes nearest:

    - Where layers start below the first scale, squares of the stem's maps are brought down to it, as in the supernet.
    - Where they end above the last, a 3x3 convolution of stride 2 takes each step that is left, as in retraining.

    Departures: what attention gathers at a place is weighted with a softmax over the places that it gathers from, as in
    every transformer; that code normalises over the places that gather. And the dropping of whole layers, which has no
    place in an untrained network, is left out.

    Args:
        resolution: Height and width of the images, a multiple of 32.
        classes: Outputs of the classifier.
        se: Whether convolutions have squeeze-and-excitation, and activations are swish in place of ReLU.
        last_stride: Of the first layer at the last scale, 2 or 1.
        limited: Whether the second four layers are below the first scale and all after them below the second, as in
            the supernet.
    """

    genes: Sequence[Gene] = (
        Gene("layer1.scale", SCALES),
        Gene("layer1.operation", OPERATIONS),
        *(
            gene
            for k in range(2, LAYERS + 1)
            for gene in (Gene(f"layer{k}.down", (False, True)), Gene(f"layer{k}.operation", OPERATIONS))
        ),
    )
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(
        self,
        resolution: int = 224,
        classes: int = 1000,
        se: bool = True,
        last_stride: int = 2,
        limited: bool = False,
    ) -> None:
        sizes("hytra", resolution, (), classes)
        if last_stride not in (1, 2):
            raise BadOption(f"hytra takes last_stride=1 or last_stride=2, not {last_stride}")
        self.input = Input((3, resolution, resolution))
        self._limits = LIMITS if limited else (0,) * len(LIMITS)
        act, strides = "swish" if se else "relu", (1, 2, 2, last_stride)
        # A layer by scale, whether it goes down to it, and operation.
        self._layers = [
            [[Bottleneck(channels, op == "attention", stride, se) for op in OPERATIONS] for stride in (1, down)]
            for channels, down in zip(CHANNELS, strides, strict=True)
        ]
        self._stem = ConvNormAct(STEM, 7, 2, act=act)
        self._starts = [Start(*given) for given in zip(CHANNELS, accumulate(strides, mul), strict=True)]
        self._rests = [ConvNormAct(channels, 3, 2, act=act) for channels in CHANNELS]
        self._classifier = Classifier(classes)

    def canonical(self, genome: Genome) -> Genome:
        """No step down where none is possible or one has to be, and convolution where no attention is possible."""
        validate(self.genes, genome)
        return tuple(choice for step, _, operation in self._walk(genome) for choice in (step, operation))

    def spell(self, genome: Genome) -> str:
        """The supernet's own code: "5433323000100000", a digit for scale and operation of each layer."""
        return "".join(DIGITS[scale][op] for _, scale, op in self._walk(genome))

    def parse(self, text: str) -> Genome | None:
        """The genome of such a code; none if the text is something else, or no architecture of this space."""
        if not re.fullmatch(f"[0-5]{{{LAYERS}}}", text):
            return None
        scales, operations = zip(*(PLACES[digit] for digit in text), strict=True)
        steps = [scales[0], *(after - before for before, after in pairwise(scales))]
        if not set(steps[1:]) <= {0, 1}:
            return None
        genome = self.canonical(tuple(chain.from_iterable(zip(steps, operations, strict=True))))
        return genome if self.spell(genome) == text else None

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x = net.add(self._stem, *net.inputs, name="stem")
        x = net.add(MaxPool(3, 2), x, name="pool")
        before = 0
        for name, (_, scale, operation) in zip(NAMES, self._walk(genome), strict=True):
            down = scale > before
            if down and name == NAMES[0]:
                x, down = net.add(self._starts[scale], x, name="start"), False
            x = net.add(self._layers[scale][down][operation], x, name=name)
            before = scale
        for scale in range(before + 1, len(SCALES)):
            x = net.add(self._rests[scale], x, name=f"rest{SCALES[scale]}")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> HyTra:
        """Smaller images; there is a fixed number of layers, so none is left out."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(32, min(largest, fidelity.size or largest) // 32 * 32)
        reduced.input = Input((3, size, size))
        return reduced

    def _walk(self, genome: Genome) -> Iterator[tuple[int, int, int]]:
        """The step down, the scale and the operation of each layer; 0 for a step or an operation that is no choice."""
        scale = 0
        for place, (step, operation) in enumerate(zip(genome[::2], genome[1::2], strict=True)):
            least = max(scale, self._limits[place * len(LIMITS) // LAYERS])
            scale = min(max(scale + step, least), len(SCALES) - 1)
            yield scale - least, scale, operation if scale >= ATTENDING else 0


NAMES = [f"layer{k}" for k in range(1, LAYERS + 1)]


@dataclass(frozen=True, slots=True)
class Start:
    """Squares brought down to a vector of a quarter of the channels: (C, H, W) -> (channels / 4, H', W')."""

    channels: int  # of the layer that follows
    stride: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(Squares(self.stride), *inputs, name="squares")
        return net.add(ConvNormAct(self.channels // 4, act=None), x, name="mix")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A residual block with positions from a depthwise convolution: (C, H, W) -> (channels, H', W').

    Between 1x1 convolutions is a 3x3 convolution or attention; squeeze-and-excitation is of convolutions alone. Where
    the shape changes, the shortcut is an average pool if there is a stride, and a 1x1 convolution.
    """

    channels: int
    attention: bool
    stride: int = 1
    se: bool = True

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        middle, act = self.channels // 4, ACTIVATIONS["swish" if self.se else "relu"]
        y = net.add(Conv(middle), x, name="reduce")
        y = net.add(Conv(middle, 3, self.stride, groups=middle, bias=True), y, name="positions")
        y = net.add(act, net.add(BatchNorm(), y, name="norm"), name="act")
        y = net.add(Heads(middle) if self.attention else Conv(middle, 3), y, name="mix")
        y = net.add(act, net.add(BatchNorm(), y, name="mix_norm"), name="mix_act")
        y = net.add(ConvNormAct(self.channels, act=None), y, name="expand")
        if self.se and not self.attention:
            y = net.add(SqueezeExcite(self.channels // 16, gate="sigmoid"), y, name="se")
        if net.shape(x) != net.shape(y):
            x = net.add(AvgPool(2, 2), x, name="pool") if self.stride > 1 else x
            x = net.add(ConvNormAct(self.channels, act=None), x, name="shortcut")
        return net.add(act, net.add(Add(), y, x, name="add"), name="out_act")


@dataclass(frozen=True, slots=True)
class Heads:
    """Attention between all places of a map, without biases and without a layer behind it: (C, H, W) -> (C, H, W)."""

    channels: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(FlattenMap(), *inputs, name="tokens")
        project = Linear(self.channels, bias=False)
        queries, keys, values = (net.add(project, x, name=name) for name in ("query", "key", "value"))
        weights = net.add(AttentionScores(self.channels // HEAD), queries, keys, name="scores")
        weights = net.add(Softmax(), weights, name="weights")
        y = net.add(WeightedValues(), weights, values, name="attend")
        return net.add(UnflattenMap(*net.shape(inputs[0])[1:]), y, name="image")


@dataclass(frozen=True, slots=True)
class Squares(Layer):
    """A weighted sum of each square of each channel: (C, H, W) -> (C, H / size, W / size)."""

    size: int

    def out(self, *inputs: Shape) -> Shape:
        channels, height, width = inputs[0]
        return channels, height // self.size, width // self.size

    def params(self, *inputs: Shape) -> int:
        return inputs[0][0] * self.size**2

    def macs(self, *inputs: Shape) -> int:
        return prod(self.out(*inputs)) * self.size**2

    def module(self, *inputs: Shape) -> Call:
        channels = inputs[0][0]
        return Call("nn.Conv2d", channels, channels, self.size, stride=self.size, groups=channels, bias=False)
