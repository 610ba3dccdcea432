"""The chain of inverted residuals that BossNAS ranks: 18 layers with a choice of four each, 4**18 = 6.9e10 genomes.

References:
    Li et al., "BossNAS: Exploring hybrid CNN-transformers with block-wisely self-supervised neural architecture
    search", ICCV 2021, arXiv:2103.12424, section 4.2; `searching/bossnas/models/supernets/mbconv_supernet.py` and
    `ranking_mbconv/` of github.com/changlin31/BossNAS.
    Li et al., "Block-wisely supervised neural architecture search with knowledge distillation", CVPR 2020,
    arXiv:1911.13053; `retraining/model.py` of github.com/changlin31/DNA, which trains the networks on their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy

from nasctl.api import (
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
from nasctl.spaces._inverted import Inverted
from nasctl.spaces._sums import add_choices

__all__ = ["BossNAS"]

ACT = "swish"
# (channels, stride of the first layer, layers) of each stage.
STAGES = ((24, 2, 2), (40, 2, 4), (80, 2, 4), (112, 1, 4), (192, 2, 4))
CHOICES = ("MB6_3x3", "MB6_5x5", "MB3_3x3", "MB3_5x5")  # digits 0 to 3 of the authors' encoding
# Matches the authors' encoding; each stage is a bracketed group of digits.
PATTERN = "".join(rf"\[([0-3]{{{layers}}})\]" for *_, layers in STAGES)


class BossNAS:
    """Five stages of EfficientNet blocks: an expansion of 6 or 3 and a kernel of 3 or 5 for each of 18 layers.

    The layers before and behind the stages, squeeze-and-excitation and Swish are taken from EfficientNet-B0, as in the
    networks that were trained on their own. These networks have a shortcut only where the shape stays the same. In the
    supernet, layers that change the shape also have one, a pool and a 1x1 convolution that the choices share.

    Departures: dropout before the classifier and stochastic depth are omitted. Both add no parameters or MACs and only
    regularise training.

    Args:
        resolution: Height and width of the images in pixels.
        classes: Outputs of the classifier.
    """

    genes: Sequence[Gene] = tuple(
        Gene(f"stage{k}.{place}", CHOICES) for k, (*_, layers) in enumerate(STAGES, 1) for place in range(layers)
    )
    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=16),
        "balanced": Fidelity(size=64, batch=16),
        "fast": Fidelity(size=32, batch=16),
    }

    def __init__(self, resolution: int = 224, classes: int = 1000) -> None:
        if not 32 <= resolution <= 4096:
            raise BadOption(f"resolution must be 32 to 4096 pixels, got {resolution} (option of bossnas)")
        if classes < 1:
            raise BadOption(f"classes must be 1 or more, got {classes} (option of bossnas)")
        self.input = Input((3, resolution, resolution))
        self._classifier = Classifier(classes)

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome unchanged: the choices of a layer differ in their weights, so no gene is redundant."""
        validate(self.genes, genome)
        return genome

    def spell(self, genome: Genome) -> str:
        """Return the lists of the authors' ranking, "[11][1111][1101][1011][1101]": one digit per layer."""
        digits = iter(map(str, genome))
        return "".join(f"[{''.join(next(digits) for _ in range(layers))}]" for *_, layers in STAGES)

    def parse(self, text: str) -> Genome | None:
        """Return the genome of the authors' lists, or None if the text is something else."""
        match = re.fullmatch(PATTERN, text)
        return tuple(map(int, "".join(match.groups()))) if match else None

    def network(self, genome: Genome) -> Network:
        return self.supernet([(choice,) for choice in genome])

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network whose layers each sum the weighted outputs of several blocks.

        Args:
            allowed: Choices of each layer, (G,), each with one or more.
            gated: Whether a layer with one choice has a factor too.
        """
        net = Builder(self.input.shape)
        x = net.add(STEM, *net.inputs, name="stem")
        x = net.add(FIRST, x, name="first")
        for place, (gene, choices, blocks) in enumerate(zip(self.genes, allowed, BLOCKS, strict=True)):
            x = add_choices(net, x, place, gene, blocks, choices, gated)
        x = net.add(LAST, x, name="last")
        x = net.add(HEAD, x, name="head")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> BossNAS:
        """Return the space on smaller images; no layer is removed, because every layer is a gene."""
        reduced, largest = copy(self), self.input.shape[-1]
        size = max(32, min(largest, fidelity.size or largest))
        reduced.input = Input((3, size, size))
        return reduced


def block(channels: int, kernel: int, expand: int, stride: int = 1) -> Inverted:
    """Return an EfficientNet block: an inverted residual with Swish and squeeze-and-excitation."""
    return Inverted(channels, kernel, expand, stride, ACT, se=True)


def _layer_choices(channels: int, stride: int) -> list[Inverted]:
    """Return the blocks that a gene chooses from, in the order of CHOICES."""
    return [block(channels, kernel, expand, stride) for expand in (6, 3) for kernel in (3, 5)]


STEM = ConvNormAct(32, 3, 2, act=ACT)
FIRST = block(16, 3, 1)  # the block before the stages
# The four blocks that each layer chooses from.
BLOCKS = [
    _layer_choices(channels, 1 if place else stride) for channels, stride, layers in STAGES for place in range(layers)
]
LAST = block(320, 3, 6)  # the block behind the stages
HEAD = ConvNormAct(1280, act=ACT)
