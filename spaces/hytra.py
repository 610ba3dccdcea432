"""The HyTra space of BossNAS: 16 layers of convolution or attention with searchable downsampling; 3e6 networks.

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
    Reference,
    Shape,
    Softmax,
    SqueezeExcite,
    UnflattenMap,
    WeightedValues,
    validate,
)
from nasctl.spaces._images import checked_resolutions
from nasctl.spaces._published import under_options

__all__ = ["HyTra"]

LAYERS = 16
SCALES = (4, 8, 16, 32)  # image pixels per pixel of the feature map
STEM_CHANNELS = 64
CHANNELS = (256, 512, 1024, 2048)  # output channels of a layer at each scale
FIRST_ATTENTION_SCALE = 2  # index of the first scale at which a layer can be attention
HEAD_WIDTH = 64  # channels of an attention head
MIN_SCALES = (0, 1, 2, 2)  # smallest index of the scale in each quarter of the layers, with `limited`
OPERATIONS = ("conv", "attention")
SCALE_DIGITS = ("5", "4", "32", "10")  # digits of the supernet's encoding, by scale and then by operation
# Digit -> (index of the scale, index of the operation).
DIGIT_LAYERS = {
    digit: (scale, operation) for scale, digits in enumerate(SCALE_DIGITS) for operation, digit in enumerate(digits)
}

BOSSNET_T = "5433323000100000"  # the layers of BossNet-T0 and T1
BOSSNETS = {2: ("bossnet-t0", 0.808), 1: ("bossnet-t1", 0.819)}  # stride of the last scale -> name and accuracy


class HyTra:
    """Residual bottlenecks of convolution or attention with searchable positions of the strides.

    The first layer is at one of four scales. Every other layer is at the scale of the previous layer or one step down.
    Attention is a choice at the two smallest scales. The layers follow the networks that BossNAS retrained: BossNet-T0
    is 5433323000100000, `se=off` gives "T0 w/o SE", and `last_stride=1` gives T1. Two cases follow the nearest
    published code:

    - If the first layer is below the first scale, a strided depthwise convolution with kernel equal to stride reduces
      the stem's map to its scale, as in the supernet.
    - If the last layer is above the last scale, 3x3 convolutions of stride 2 take each remaining step, as in
      retraining.

    Departures: attention normalises the weights with a softmax over the positions that are attended to, as in every
    transformer. The published code normalises over the positions that attend. Stochastic depth is omitted, because it
    only regularises training.

    Args:
        resolution: Height and width of the images in pixels, a multiple of 32.
        classes: Outputs of the classifier.
        se: Use squeeze-and-excitation in convolution layers, and swish in place of ReLU.
        last_stride: Stride of the first layer at the last scale, 2 or 1.
        limited: Require layers 5 to 8 to be below the first scale and all later layers below the second, as in the
            supernet.
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
        checked_resolutions("hytra", resolution, (), classes)
        if last_stride not in (1, 2):
            raise BadOption(f"last_stride must be 1 or 2, got {last_stride} (option of hytra)")
        self.input = Input((3, resolution, resolution))
        self._min_scales = MIN_SCALES if limited else (0,) * len(MIN_SCALES)
        act, strides = "swish" if se else "relu", (1, 2, 2, last_stride)
        # Indexed by scale, by whether the layer steps down to the scale, and by operation.
        self._layers = [
            [
                [Bottleneck(channels, operation == "attention", stride, se) for operation in OPERATIONS]
                for stride in (1, down)
            ]
            for channels, down in zip(CHANNELS, strides, strict=True)
        ]
        self._stem = ConvNormAct(STEM_CHANNELS, 7, 2, act=act)
        self.references = {}
        if (genome := self.parse(BOSSNET_T)) is not None:
            name, accuracy = BOSSNETS[last_stride]
            published = Reference(genome, "Li et al., ICCV 2021; README of github.com/changlin31/BossNAS", accuracy)
            options: dict[str, tuple[object, object]] = {
                "se": (se, True),
                "resolution": (resolution, 224),
                "classes": (classes, 1000),
            }
            self.references[name] = under_options(published, options)
        self.missing_references = {
            other: f"give last_stride={stride}" for stride, (other, _) in BOSSNETS.items() if stride != last_stride
        }
        self._start_blocks = [Start(*arguments) for arguments in zip(CHANNELS, accumulate(strides, mul), strict=True)]
        self._final_convs = [ConvNormAct(channels, 3, 2, act=act) for channels in CHANNELS]
        self._classifier = Classifier(classes)

    def canonical(self, genome: Genome) -> Genome:
        """Remove steps down that are impossible or forced, and use convolution where attention is impossible."""
        validate(self.genes, genome)
        return tuple(choice for step, _, operation in self._iter_layers(genome) for choice in (step, operation))

    def spell(self, genome: Genome) -> str:
        """Return the supernet's encoding, "5433323000100000": one digit for scale and operation of each layer."""
        return "".join(SCALE_DIGITS[scale][operation] for _, scale, operation in self._iter_layers(genome))

    def parse(self, text: str) -> Genome | None:
        """Return the genome of such an encoding, or None if the text is something else or not in this space."""
        if not re.fullmatch(f"[0-5]{{{LAYERS}}}", text):
            return None
        scales, operations = zip(*(DIGIT_LAYERS[digit] for digit in text), strict=True)
        steps = [scales[0], *(following - previous for previous, following in pairwise(scales))]
        if not set(steps[1:]) <= {0, 1}:
            return None
        genome = self.canonical(tuple(chain.from_iterable(zip(steps, operations, strict=True))))
        return genome if self.spell(genome) == text else None

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x = net.add(self._stem, *net.inputs, name="stem")
        x = net.add(MaxPool(3, 2), x, name="pool")
        previous = 0
        for name, (_, scale, operation) in zip(LAYER_NAMES, self._iter_layers(genome), strict=True):
            down = scale > previous
            if down and name == LAYER_NAMES[0]:
                x, down = net.add(self._start_blocks[scale], x, name="start"), False
            x = net.add(self._layers[scale][down][operation], x, name=name)
            previous = scale
        for scale in range(previous + 1, len(SCALES)):
            x = net.add(self._final_convs[scale], x, name=f"rest{SCALES[scale]}")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> HyTra:
        """Return the space on smaller images; no layer is removed, because the number of layers is fixed."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(32, min(largest, fidelity.size or largest) // 32 * 32)
        reduced.input = Input((3, size, size))
        return reduced

    def _iter_layers(self, genome: Genome) -> Iterator[tuple[int, int, int]]:
        """Yield the step down, the index of the scale and the index of the operation of each layer.

        A step or operation that the layer cannot choose is 0.
        """
        scale = 0
        for place, (step, operation) in enumerate(zip(genome[::2], genome[1::2], strict=True)):
            min_scale = max(scale, self._min_scales[place * len(MIN_SCALES) // LAYERS])
            scale = min(max(scale + step, min_scale), len(SCALES) - 1)
            yield scale - min_scale, scale, operation if scale >= FIRST_ATTENTION_SCALE else 0


LAYER_NAMES = [f"layer{k}" for k in range(1, LAYERS + 1)]


@dataclass(frozen=True, slots=True)
class Start:
    """A strided depthwise convolution and a 1x1 convolution: (C, H, W) -> (channels / 4, H / stride, W / stride)."""

    channels: int  # of the layer that follows; Start itself outputs a quarter
    stride: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(Squares(self.stride), *inputs, name="squares")
        return net.add(ConvNormAct(self.channels // 4, act=None), x, name="mix")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A residual bottleneck with positions from a depthwise convolution: (C, H, W) -> (channels, H', W').

    A 3x3 convolution or attention is between two 1x1 convolutions. Only convolution layers have squeeze-and-excitation.
    If the shape changes, the shortcut is a 1x1 convolution with batch norm, preceded by an average pool if the stride
    is above 1.
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
    """Attention between all positions of a map, without biases or an output projection: (C, H, W) -> (C, H, W)."""

    channels: int

    def emit(self, net: Builder, *inputs: int) -> int:
        x = net.add(FlattenMap(), *inputs, name="tokens")
        project = Linear(self.channels, bias=False)
        queries, keys, values = (net.add(project, x, name=name) for name in ("query", "key", "value"))
        weights = net.add(AttentionScores(self.channels // HEAD_WIDTH), queries, keys, name="scores")
        weights = net.add(Softmax(), weights, name="weights")
        y = net.add(WeightedValues(), weights, values, name="attend")
        return net.add(UnflattenMap(*net.shape(inputs[0])[1:]), y, name="image")


@dataclass(frozen=True, slots=True)
class Squares(Layer):
    """A depthwise convolution with kernel and stride of `size`: (C, H, W) -> (C, H / size, W / size)."""

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
