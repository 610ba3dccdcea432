"""The skeletons of TransNAS-Bench-101: modules that double channels or halve the resolution; 3,256 networks.

References:
    Duan et al., "TransNAS-Bench-101: Improving transferability and generalizability of cross-task neural architecture
    search", CVPR 2021, arXiv:2105.11871; `lib/models/net_infer/` of github.com/yawen-d/TransNASBench.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from nasctl.api import (
    ActConvNorm,
    Add,
    BadOption,
    Builder,
    Classifier,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Input,
    Network,
    validate,
)

__all__ = ["TNB101Macro"]

# Digits of the benchmark's encoding: plain module, twice the channels, half the resolution, both.
CODES = (1, 2, 3, 4)
MIN_MODULES = 4
MAX_MODULES = 6
MAX_DOUBLINGS = 3  # modules that double the channels; at least one does
MAX_HALVINGS = 4  # modules that halve the resolution; at least one does


class TNB101Macro:
    """Four to six modules of two residual blocks, each of which may double the channels, halve the resolution, or both.

    One to three modules double the channels and one to four halve the resolution. Every genome is such a network,
    because invalid choices are repaired. Modules beyond the fourth that are `none` are left out. Doublings beyond the
    third and halvings beyond the fourth have no effect. If no module doubles the channels or none halves the
    resolution, the last module does.

    The stem and the classifier are those of `tnb101_micro`, whose description lists the heads of the benchmark's seven
    tasks. Parameters equal those of the benchmark's code. MACs count convolutions and the linear layer, without its
    bias.

    Args:
        channels: Channels behind the stem, an even number.
        classes: Outputs of the classifier.
        resolution: Height and width of the images in pixels.
    """

    share = "entangled"  # of weights in a supernet: layers differ in size, or operations in name

    genes: Sequence[Gene] = tuple(
        Gene(f"module{k + 1}", CODES if k < MIN_MODULES else ("none", *CODES)) for k in range(MAX_MODULES)
    )
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, cells=1, batch=16),
    }

    def __init__(self, channels: int = 64, classes: int = 47, resolution: int = 256) -> None:
        if min(channels, classes) < 1 or channels % 2:
            raise BadOption(
                "classes must be 1 or more and channels even and positive, got"
                f" channels={channels},classes={classes} (options of tnb101_macro)"
            )
        if resolution < 32:
            raise BadOption(f"resolution must be 32 pixels or more, got {resolution} (option of tnb101_macro)")
        self.input = Input((3, resolution, resolution))
        self._channels, self._classes, self._blocks = channels, classes, 2

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome whose choices all take effect, with `none` modules at the end."""
        validate(self.genes, genome)
        return _encode(_decode(genome))

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's string, such as "64-1242-basic"."""
        return f"{self._channels}-{''.join(map(str, _decode(genome)))}-basic"

    def parse(self, text: str) -> Genome | None:
        """Return the genome of the benchmark's string, or None if the text is no network of the benchmark."""
        match = re.fullmatch(rf"{self._channels}-([1-4]{{{MIN_MODULES},{MAX_MODULES}}})-basic", text)
        if not match:
            return None
        codes = tuple(map(int, match[1]))
        return _encode(codes) if _decode(_encode(codes)) == codes else None

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(self._channels // 2, 3, stride=2, act=None), *net.inputs, name="stem.0")
        x = net.add(ActConvNorm(self._channels, 3, stride=2), x, name="stem.1")
        channels = self._channels
        for module, code in enumerate(_decode(genome), start=1):
            channels *= 2 if code in (2, 4) else 1
            x = net.add(Residual(channels, 2 if code > 2 else 1), x, name=f"module{module}.0")
            for place in range(1, self._blocks):
                x = net.add(Residual(channels), x, name=f"module{module}.{place}")
        return net.build(net.add(Classifier(self._classes), x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> TNB101Macro:
        """Return the space with fewer blocks in each module and smaller images."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = min(largest, fidelity.size or largest)
        reduced.input = Input((3, size, size))
        reduced._blocks = min(self._blocks, fidelity.cells or self._blocks)
        return reduced


@dataclass(frozen=True, slots=True)
class Residual:
    """A basic residual block with pre-activation: (C, H, W) -> (channels, H', W').

    If the shape changes, the shortcut is a 1x1 convolution with batch norm.
    """

    channels: int
    stride: int = 1

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        y = net.add(ActConvNorm(self.channels, 3, self.stride), x, name="conv_a")
        y = net.add(ActConvNorm(self.channels, 3), y, name="conv_b")
        if self.stride > 1 or net.shape(x)[0] != self.channels:
            x = net.add(ConvNormAct(self.channels, stride=self.stride, act=None), x, name="shortcut")
        return net.add(Add(), x, y, name="add")


def _decode(genome: Genome) -> tuple[int, ...]:
    """Return the digits of the network that a genome stands for, (4,) to (6,)."""
    digits = [CODES[choice] for choice in genome[:MIN_MODULES]] + [choice for choice in genome[MIN_MODULES:] if choice]
    doubles_channels = _limit_flags([digit in (2, 4) for digit in digits], MAX_DOUBLINGS)
    has_stride = _limit_flags([digit > 2 for digit in digits], MAX_HALVINGS)
    return tuple(1 + double + 2 * half for double, half in zip(doubles_channels, has_stride, strict=True))


def _limit_flags(flags: list[bool], most: int) -> list[bool]:
    """Keep at most the first `most` true flags; set the last flag if none is true."""
    limited = [flag and sum(flags[:k]) < most for k, flag in enumerate(flags)]
    return limited if any(limited) else [*limited[:-1], True]


def _encode(codes: tuple[int, ...]) -> Genome:
    """Return the genome of valid digits."""
    return (*(code - 1 for code in codes[:MIN_MODULES]), *codes[MIN_MODULES:], *[0] * (MAX_MODULES - len(codes)))
