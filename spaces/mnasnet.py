"""The space of MnasNet: operation, kernel, gate, skip, channels and layers of each of seven blocks; 1e18 genomes.

References:
    Tan et al., "MnasNet: Platform-aware neural architecture search for mobile", CVPR 2019, arXiv:1807.11626, section
    4.1 and figure 4; `models/official/mnasnet/` of github.com/tensorflow/tpu for the layers, and
    `nas_architecture/tunable_mnasnet_search_space.py` of github.com/google/vertex-ai-nas for the choices.
    Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018, arXiv:1801.04381, table 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from nasctl.api import (
    Add,
    AvgPool,
    BadOption,
    Builder,
    Classifier,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Input,
    Network,
    Reference,
    SqueezeExcite,
    validate,
)
from nasctl.spaces._inverted import Inverted
from nasctl.spaces._published import genome_of, under_options

__all__ = ["MnasNet"]

OPERATIONS = ("conv", "sepconv", "mbconv3", "mbconv6")
# Expanded channels per input channel of the operations built from an inverted residual.
EXPANSIONS = {"sepconv": 1, "mbconv3": 3, "mbconv6": 6}
KERNELS = (3, 5)  # choices of a kernel's height and width
SE_RATIOS = (0.0, 0.25)  # choices of squeezed channels per input channel; 0 means no squeeze-and-excitation
SKIPS = ("none", "identity", "pool")
STEM = 32  # channels of the stem
HEAD = 1280  # channels before the classifier
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # stride of the first layer of each block
# Channels and layers of each block of the networks that the choices are relative to.
REFERENCES = {
    "mobilenet_v2": ((16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1)),
    "mnasnet_a1": ((16, 24, 40, 80, 112, 160, 320), (1, 2, 3, 4, 2, 3, 1)),
}
GENES_PER_BLOCK = 6  # operation, kernel, squeeze-and-excitation, skip, channels, layers


class BlockChoices(NamedTuple):
    """The stride of a block and its choices of channels and layers; the other choices are the same in all blocks."""

    stride: int  # of the first layer
    channels: tuple[int, ...]
    layers: tuple[int, ...]


class MnasNet:
    """Seven blocks, each of equal layers: convolutions, separable convolutions or inverted residuals.

    Each block may have squeeze-and-excitation and a skip. Channels are 0.75, 1 or 1.25 times the channels of the
    reference, without rounding. The number of layers is one fewer, equal or one more than in the reference, and at
    least one. Both follow Google's own code of this space. MobileNetV2, with ReLU for ReLU6, is in the space.
    MnasNet-A1 is not, although the paper found it there: its 112 channels are not among 72, 96 and 120. With
    `reference=mnasnet_a1` it is.

    The paper only names the choices, so two details are defined here. A convolution is followed by batch norm, ReLU
    and, if chosen, squeeze-and-excitation. A skip is added wherever the layer keeps the number of channels: `identity`
    only where the layer also keeps the resolution, and `pool`, a mean over 3x3 values, also across a stride.

    Departure: dropout before the classifier is omitted. It adds no parameters or MACs and only regularises training.

    Args:
        resolution: Height and width of the images in pixels.
        classes: Outputs of the classifier.
        reference: Network whose channels and layers the choices are relative to: mobilenet_v2 or mnasnet_a1.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(self, resolution: int = 224, classes: int = 1000, reference: str = "mobilenet_v2") -> None:
        if not 32 <= resolution <= 4096:
            raise BadOption(f"resolution must be 32 to 4096 pixels, got {resolution} (option of mnasnet)")
        if classes < 1:
            raise BadOption(f"classes must be 1 or more, got {classes} (option of mnasnet)")
        if reference not in REFERENCES:
            raise BadOption(f"reference must be {' or '.join(REFERENCES)}, got {reference!r} (option of mnasnet)")
        self.input = Input((3, resolution, resolution))
        self._blocks = [_block_choices(*given) for given in zip(STRIDES, *REFERENCES[reference], strict=True)]
        self.genes: Sequence[Gene] = tuple(gene for k, block in enumerate(self._blocks, 1) for gene in _genes(k, block))
        self._stem, self._head, self._classifier = ConvNormAct(STEM, 3, 2), ConvNormAct(HEAD), Classifier(classes)
        name, published = PUBLISHED[reference]
        found = replace(published, genome=genome_of(self.genes, _published_values(reference)))
        options: dict[str, tuple[object, object]] = {"resolution": (resolution, 224), "classes": (classes, 1000)}
        self.references = {name: under_options(found, options)}
        self.missing_references = {
            other: f"give reference={option}" for option, (other, _) in PUBLISHED.items() if option != reference
        }

    def canonical(self, genome: Genome) -> Genome:
        """Set the skip to "none" where a block is one layer that the skip does not fit; no other gene is redundant."""
        validate(self.genes, genome)
        out, channels_in = list(genome), STEM
        for k, block in enumerate(self._blocks):
            *_, skip, width, depth = genome[GENES_PER_BLOCK * k : GENES_PER_BLOCK * (k + 1)]
            channels = block.channels[width]
            if block.layers[depth] == 1 and not _skip_fits(SKIPS[skip], block.stride, channels_in == channels):
                out[GENES_PER_BLOCK * k + 3] = 0
            channels_in = channels
        return tuple(out)

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        x, channels_in = net.add(self._stem, *net.inputs, name="stem"), STEM
        for k, (names, block) in enumerate(zip(LAYER_NAMES, self._blocks, strict=True)):
            *settings, width, depth = genome[GENES_PER_BLOCK * k : GENES_PER_BLOCK * (k + 1)]
            channels = block.channels[width]
            first, others = _first_and_other_layers(block.stride, channels, channels_in == channels, *settings)
            for place in range(block.layers[depth]):
                x = net.add(others if place else first, x, name=names[place])
            channels_in = channels
        x = net.add(self._head, x, name="head")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> MnasNet:
        """Return the space on smaller images; no layer is removed, because the number of layers is a gene."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(32, min(largest, fidelity.size or largest))
        reduced.input = Input((3, size, size))
        return reduced


# Name and publication of the network that each reference is, by option; `_published_values` has the genes.
PUBLISHED = {
    "mobilenet_v2": (
        "mobilenetv2",
        Reference((), "Sandler et al., CVPR 2018, tables 2 and 4", 0.72, "ReLU in place of ReLU6"),
    ),
    "mnasnet_a1": ("mnasnet-a1", Reference((), "Tan et al., CVPR 2019, table 1", 0.752)),
}
# Operation, kernel and squeeze-and-excitation ratio of blocks 2 to 7 of the published networks.
PUBLISHED_BLOCKS = {
    "mobilenet_v2": (("mbconv6", 3, 0.0),) * 6,
    "mnasnet_a1": (
        ("mbconv6", 3, 0.0),
        ("mbconv3", 5, 0.25),
        ("mbconv6", 3, 0.0),
        ("mbconv6", 3, 0.25),
        ("mbconv6", 5, 0.25),
        ("mbconv6", 3, 0.0),
    ),
}


def _published_values(reference: str) -> dict[str, object]:
    """Return the choices of a published network by name of the gene."""
    blocks = (("sepconv", 3, 0.0), *PUBLISHED_BLOCKS[reference])
    values: dict[str, object] = {}
    for k, (block, channels, layers) in enumerate(zip(blocks, *REFERENCES[reference], strict=True), 1):
        names = ("operation", "kernel", "se", "skip", "channels", "layers")
        skip = "none" if k == 1 else "identity"
        settings = dict(zip(names, (*block, skip, channels, layers), strict=True))
        values |= {f"block{k}.{name}": value for name, value in settings.items()}
    return values


@dataclass(frozen=True, slots=True)
class Searched:
    """One layer of a block: (C, H, W) -> (channels, H', W')."""

    operation: str  # one of OPERATIONS
    channels: int
    kernel: int
    stride: int = 1
    se: bool = False
    skip: str = "none"  # one of SKIPS; must be "none" where `_skip_fits` is false

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        channels = net.shape(x)[0]
        if self.operation == "conv":
            y = net.add(ConvNormAct(self.channels, self.kernel, self.stride), x, name="conv")
            y = net.add(SqueezeExcite(max(1, channels // 4), "sigmoid"), y, name="se") if self.se else y
        else:
            expand = EXPANSIONS[self.operation]
            block = Inverted(self.channels, self.kernel, expand, self.stride, se=self.se, skip=False)
            y = net.add(block, x, name="block")
        x = net.add(AvgPool(3, self.stride), x, name="pool") if self.skip == "pool" else x
        return y if self.skip == "none" else net.add(Add(), x, y, name="add")


def _skip_fits(skip: str, stride: int, same_channels: bool) -> bool:
    """Return whether a layer can have the skip; `same_channels` is True if it has as many channels as its input."""
    return same_channels and (skip == "pool" or (skip == "identity" and stride == 1))


@cache
def _first_and_other_layers(
    stride: int, channels: int, same_channels: bool, operation: int, kernel: int, se: int, skip: int
) -> tuple[Searched, Searched]:
    """Return the first layer of a block and the layer that all others repeat.

    `same_channels` is True if the block has as many channels as its input. `operation`, `kernel`, `se` and `skip` are
    numbers of choices.
    """
    others = Searched(OPERATIONS[operation], channels, KERNELS[kernel], 1, bool(se), SKIPS[skip])
    fits = _skip_fits(others.skip, stride, same_channels)
    return replace(others, stride=stride, skip=others.skip if fits else "none"), others


def _block_choices(stride: int, channels: int, layers: int) -> BlockChoices:
    widths = (int(0.75 * channels), channels, int(1.25 * channels))
    return BlockChoices(stride, widths, (layers - 1, layers, layers + 1) if layers > 1 else (1, 2))


def _genes(number: int, block: BlockChoices) -> Iterator[Gene]:
    yield Gene(f"block{number}.operation", OPERATIONS)
    yield Gene(f"block{number}.kernel", KERNELS, ordered=True)
    yield Gene(f"block{number}.se", SE_RATIOS, ordered=True)
    yield Gene(f"block{number}.skip", SKIPS)
    # Not ordered: a larger number of channels may differ from the input's and so remove a skip.
    yield Gene(f"block{number}.channels", block.channels)
    yield Gene(f"block{number}.layers", block.layers, ordered=True)


LAYER_NAMES = [[f"block{k}.{place}" for place in range(5)] for k in range(1, len(STRIDES) + 1)]
