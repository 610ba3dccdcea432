"""A trained network with early exits: where images may leave, and how sure a classifier must be that they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasctl.api import BadOption, Fidelity, Gene, Genome, Input, Network, Reference, thresholds_of, validate
from nasctl.compression.compressed_space import Given, with_digest
from nasctl.compression.depth_exits import DepthExits
from nasctl.compression.exit_training import ExitTraining
from nasctl.compression.exits_space import ExitVariants, exits_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nasctl.compression.compressed_space import Evaluator, TrainingData
    from nasctl.compression.trained_base import TrainedBase

__all__ = ["Exits"]

THRESHOLDS = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)

RATES = {"depth": 3e-3}  # peak learning rates of AdamW by kind


class Exits:
    """A trained network whose images leave at the first exit that is sure enough.

    An exit is a classifier on features within the network. An image leaves when the largest probability exceeds the
    exit's threshold, and later layers do not run for it. The classifiers learn from the training images once for all
    candidates, and the layers of the given network are unchanged.

    Args:
        of: A training of nasctl by its name, or the path of its weights or of an export with weights; or FILE.py:NAME
            for a module of your own, which is trained.
        kind: "depth": exits between the blocks of the network.
        places: Places for exits, which divide the MACs evenly.
        thresholds: Choices of each threshold, descending, above 0 and below 1.
        hidden: Hidden units of each classifier: channels of a 3x3 convolution in front of it; 0 for none.
        epochs: Passes over the training images that train the classifiers.
        seed: Seed of that training.
        data: Labelled images, from whose training part the classifiers learn; those of the training by default.
        digest: Digest of network and data, which nasctl adds. A changed file is another space.

    References:
        Teerapittayanon, McDanel & Kung, "BranchyNet: fast inference via early exiting from deep neural networks", ICPR
        2016, arXiv:1709.01686, with the largest probability in place of the entropy. Yuan et al., "S2DNAS: transforming
        static CNN model for dynamic inference via neural architecture search", ECCV 2020, arXiv:1911.07033, section
        3.1: thresholds.
    """

    default_cost = "expected_macs"

    def __init__(
        self,
        of: str,
        kind: str = "depth",
        places: int = 4,
        thresholds: tuple[float, ...] = THRESHOLDS,
        hidden: int = 32,
        epochs: int = 10,
        seed: int = 0,
        data: str = "",
        digest: str = "",
    ) -> None:
        if kind not in RATES:
            raise BadOption(f"Cannot use kind={kind}. Give kind={' or kind='.join(RATES)}.")
        for name, value, least in (
            ("places", places, 1),
            ("hidden", hidden, 0),
            ("epochs", epochs, 1),
            ("seed", seed, 0),
        ):
            if value < least:
                raise BadOption(f"Cannot use {name}={value}. Give {name}={least} or more.")
        if not thresholds or list(thresholds) != sorted(set(thresholds), reverse=True):
            raise BadOption(
                "Cannot use these thresholds: they do not descend. Give for example thresholds=0.9,0.7,0.5."
            )
        if not 0 < thresholds[-1] <= thresholds[0] < 1:
            raise BadOption("Cannot use these thresholds: probabilities to exceed are above 0 and below 1.")
        given = Given.of(of, data, digest or with_digest({"of": of, "data": data})["digest"])
        if thresholds_of(given.base.network):
            raise BadOption(f"Cannot add exits to {of}: it has early exits already. Give the network without them.")
        training = ExitTraining(epochs, seed, RATES[kind])
        self._given = given
        self.exits: ExitVariants = DepthExits(given, places, tuple(thresholds), hidden, training, exits_folder())
        self.input: Input = given.base.input
        self.genes: Sequence[Gene] = self.exits.genes

    @classmethod
    def completed(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return options with the digest of the files that they name, which is part of the space's identity."""
        return with_digest(options)

    @property
    def references(self) -> Mapping[str, Reference]:
        """The networks with one threshold at all exits, such as "all-0.9", which searches begin with."""
        return {
            f"all-{threshold:g}": Reference(genome, f"exits at all places, each with the threshold {threshold:g}")
            for threshold, genome in self.exits.uniform().items()
        }

    @property
    def base(self) -> TrainedBase:
        """The trained network."""
        return self._given.base

    @property
    def calibration(self) -> TrainingData:
        """The labelled data from whose training part the classifiers learn."""
        return self._given.calibration

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome unchanged: each exit and each threshold changes where images leave."""
        validate(self.genes, genome)
        return genome

    def network(self, genome: Genome) -> Network:
        return self.exits.network(genome)

    def reduced(self, fidelity: Fidelity) -> Exits:
        """Return the space itself: a trained network has one size."""
        return self

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network with its weights, in evaluation mode.

        It runs all stages, and chooses the logits of the exit at which each image leaves.
        """
        return self.exits.module(genome)

    def evaluator(self, batches: Sequence[Tensor]) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images; see `CompressedSpace`."""
        return self.exits.evaluator(batches)
