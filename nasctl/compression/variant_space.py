"""What the spaces of variants of a trained network have in common: each hands its genomes to its variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from torch import Tensor, nn

from nasctl.compression.compressed_space import Evaluator, Given, with_digest
from nasctl.compression.trained_base import TrainedBase
from nasctl.networks.graph import Network
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Gene, Genome, Input, validate
from nasctl.training.labelled import TrainingData


class Variants(Protocol):
    """The variants of a trained network; a genome names one."""

    @property
    def given(self) -> Given:
        """The network and its data."""
        ...

    @property
    def genes(self) -> Sequence[Gene]:
        """The genes."""
        ...

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome that stands for all genomes of the same network."""
        ...

    def network(self, genome: Genome) -> Network:
        """Return the network of a genome."""
        ...

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        ...

    def evaluator(self, batches: Sequence[Tensor]) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images."""
        ...


AnyVariants = TypeVar("AnyVariants", bound=Variants)


class VariantSpace(Generic[AnyVariants]):
    """A space of variants of a trained network: all of `CompressedSpace`, and of `SearchSpace` but references.

    Args:
        variants: The variants.
    """

    def __init__(self, variants: AnyVariants) -> None:
        self.variants = variants
        self.input: Input = variants.given.base.input
        self.genes: Sequence[Gene] = variants.genes

    @classmethod
    def completed(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return options with the digest of the files that they name, which is part of the space's identity."""
        return with_digest(options)

    @property
    def base(self) -> TrainedBase:
        """The trained network."""
        return self.variants.given.base

    @property
    def calibration(self) -> TrainingData:
        """The labelled data whose training part calibrates the variants, or trains parts of them."""
        return self.variants.given.calibration

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome that stands for all genomes of the same network."""
        validate(self.genes, genome)
        return self.variants.canonical(genome)

    def network(self, genome: Genome) -> Network:
        return self.variants.network(genome)

    def reduced(self, fidelity: Fidelity) -> Self:
        """Return the space itself: a trained network has one size."""
        return self

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode."""
        return self.variants.module(genome)

    def evaluator(self, batches: Sequence[Tensor]) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images; see `CompressedSpace`."""
        return self.variants.evaluator(batches)


__all__ = ["VariantSpace", "Variants"]
