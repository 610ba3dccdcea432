"""The chain of eight blocks of NAS-Bench-Macro: 3**8 = 6,561 genomes, 3,969 different networks.

References:
    Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021, arXiv:2103.11922.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

from nasctl.api import (
    BadOption,
    Block,
    Builder,
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
from nasctl.spaces._sums import add_choices

__all__ = ["NBMacro"]

STAGES = ((64, 2), (128, 3), (256, 3))  # (channels, blocks); the first block has stride 2
CHOICES = ("identity", "MB3_K3", "MB6_K5")  # digits 0, 1, 2 of the benchmark's encoding


class NBMacro:
    """Three stages of inverted residuals of two sizes or identities.

    Parameters and MACs equal the benchmark's "params" and "flops" on all 6,561 networks. The benchmark counts
    multiply-accumulates of convolutions and of the linear layer, without biases and batch norms, as `Layer.macs` does.

    Args:
        classes: Outputs of the classifier.
        resolution: Height and width of the images in pixels.
        canonical: Treat genomes of the same network as one; the published table has a row for each genome.
    """

    levels: Mapping[str, Fidelity] = {
        "full": Fidelity(batch=64),
        "balanced": Fidelity(size=16, batch=32),
        "fast": Fidelity(size=8, batch=16),
    }

    def __init__(self, classes: int = 10, resolution: int = 32, canonical: bool = True) -> None:
        if classes < 1 or resolution < 8:
            raise BadOption(
                "classes must be 1 or more and resolution 8 pixels or more, got"
                f" classes={classes},resolution={resolution} (options of nbmacro)"
            )
        self.input = Input((3, resolution, resolution))
        self._merge_equal = canonical
        places = [(stage, place) for stage, (_, depth) in enumerate(STAGES) for place in range(depth)]
        self.genes: Sequence[Gene] = tuple(Gene(f"stage{stage + 1}.{place}", CHOICES) for stage, place in places)
        self._blocks = tuple(_block_choices(STAGES[stage][0], stride=1 if place else 2) for stage, place in places)
        self._classifier = Classifier(classes)

    def canonical(self, genome: Genome) -> Genome:
        """Move the identities of a stage behind its other blocks, because their position has no effect.

        The first block of a stage stays in place: with a stride, even the identity is a layer.
        """
        validate(self.genes, genome)
        if not self._merge_equal:
            return genome
        ordered: list[int] = []
        for _, depth in STAGES:
            first, *rest = genome[len(ordered) : len(ordered) + depth]
            ordered += [first, *sorted(rest, key=lambda choice: choice == 0)]
        return tuple(ordered)

    def spell(self, genome: Genome) -> str:
        """Return the benchmark's encoding: eight digits, such as "22212220"."""
        return "".join(map(str, genome))

    def parse(self, text: str) -> Genome | None:
        """Return the genome of eight such digits, or None if the text is something else."""
        return tuple(map(int, text)) if len(text) == len(self.genes) and set(text) <= set("012") else None

    def network(self, genome: Genome) -> Network:
        return self.supernet([(choice,) for choice in genome])

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network whose genes each sum the weighted outputs of several blocks.

        Args:
            allowed: Choices of each gene, (G,), each with one or more.
            gated: Whether a gene with one choice has a factor too.
        """
        net = Builder(self.input.shape)
        x = net.add(ConvNormAct(32, 3), *net.inputs, name="stem")
        for place, (gene, choices, blocks) in enumerate(zip(self.genes, allowed, self._blocks, strict=True)):
            x = add_choices(net, x, place, gene, blocks, choices, gated)
        x = net.add(ConvNormAct(1280), x, name="head")
        return net.build(net.add(self._classifier, x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> NBMacro:
        """Return the space on smaller images; no block is removed, because every block is a gene."""
        reduced = copy(self)
        size = min(self.input.shape[-1], fidelity.size or self.input.shape[-1])
        reduced.input = Input((3, size, size))
        return reduced


def _block_choices(channels: int, stride: int) -> tuple[Block, ...]:
    """Return the blocks that a gene chooses from, in the order of CHOICES."""
    identity = Identity() if stride == 1 else ConvNormAct(channels, stride=stride, act=None)
    return identity, MBConv(channels, 3, 3, stride), MBConv(channels, 5, 6, stride)
