"""The examples, the networks with shared weights and the teacher that a strategy of supernets has in a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from nasctl.problem.space import Genome, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

GeneKind = Literal["sliced", "mixed", "free", "other"]


class TeacherNetwork(Protocol):
    """A trained network in evaluation mode, whose weights stay as they are."""

    digest: str  # of its file: 16 hexadecimal digits
    genome: Genome
    space: SearchSpace

    def values(self, inputs: Sequence[Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of layers or blocks by their names; "" is the output of the network.

        Args:
            inputs: The inputs of a batch, as `StepBatch.inputs` returns them.
            wanted: Names of layers or blocks.
        """
        ...


class StepBatch(Protocol):
    """The examples of a step that this process has."""

    size: int  # examples

    def inputs(self, view: int = 0) -> tuple[Tensor, ...]:
        """Return the inputs of networks with the random changes of the recipe. Each view has changes of its own."""
        ...

    def loss(self, outputs: Tensor) -> Tensor:
        """Return the loss of the task, (), for the outputs of a network for view 0."""
        ...

    def quality(self, outputs: Tensor) -> Tensor:
        """Return the accuracy, (), for the outputs of a network for view 0; the inverse of the perplexity for words.

        It is from 0 to 1, and has no gradient.
        """
        ...

    def halves(self) -> tuple[StepBatch, StepBatch]:
        """Return the examples of the first and of the second half of the training examples, as many of each.

        No example is ever in both, where the strategy `SplitsExamples`.
        """
        ...


class StepNetworks(Protocol):
    """The networks of a space with shared weights, in a step.

    Gradients reach the shared weights unless the caller turns them off, and only weights that they reach count as
    trained.
    """

    def outputs(self, genome: Genome, inputs: Sequence[Tensor], copy: int = 0) -> Tensor:
        """Return the outputs of a genome's network."""
        ...

    def outputs_and_values(
        self, genome: Genome, inputs: Sequence[Tensor], wanted: Sequence[str], copy: int = 0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs of a genome's network, and those of layers by their names, in one pass."""
        ...

    def values(
        self,
        genome: Genome,
        inputs: Sequence[Tensor],
        wanted: Sequence[str],
        given: Mapping[str, Tensor] | None = None,
        copy: int = 0,
    ) -> dict[str, Tensor]:
        """Return the outputs of layers or blocks of a genome's network by their names.

        Only the layers that are needed run. With values in `given`, the layers before them are not needed, so a piece
        of a network runs alone.

        Args:
            genome: The genome.
            inputs: Inputs of the network; () where `given` replaces them.
            wanted: Names of layers or blocks; "" is the output of the network.
            given: Outputs of layers or blocks, by their names.
            copy: The copy of the weights.
        """
        ...

    def mixed(
        self,
        allowed: Sequence[Sequence[int]],
        weights: Mapping[int, Tensor],
        inputs: Sequence[Tensor],
        copy: int = 0,
        frozen: bool = False,
    ) -> Tensor:
        """Return the outputs of the network that sums the weighted outputs of several choices of each gene.

        The operations have the weights that the networks of single choices have. The space is a `MixableSpace`.

        Args:
            allowed: Choices of each gene, (genes,), one or more of each.
            weights: Factors of the allowed choices, (choices,), by the place of the gene. A gene without factors has
                one choice.
            inputs: Inputs of the network.
            copy: The copy of the weights.
            frozen: Whether the shared weights get no gradient, so that only `weights` do.
        """
        ...

    def entangled(
        self, weights: Mapping[int, Tensor], inputs: Sequence[Tensor], copy: int = 0, frozen: bool = False
    ) -> Tensor:
        """Return the outputs of one network whose weights are mixtures of the slices of several choices.

        Each number of a shared weight is multiplied by the sum of the factors of the choices whose slice has it
        (TangleNAS). Genes whose choices are no slices are mixed as in `mixed`.

        Args:
            weights: Factors of all choices, (choices,), by the place of the gene. A gene without factors has the choice
                of the largest network.
            inputs: Inputs of the network.
            copy: The copy of the weights.
            frozen: Whether the shared weights get no gradient, so that only `weights` do.
        """
        ...

    def tensors(self, copy: int = 0) -> Mapping[str, Tensor]:
        """Return the shared weights by the names of their slots; leaves of the graph of gradients."""
        ...

    def gathered(self, own: Tensor) -> Tensor:
        """Return the rows of all processes, (sum of N, ...), for those of this process, (N, ...), without gradient."""
        ...


__all__ = ["GeneKind", "StepBatch", "StepNetworks", "TeacherNetwork"]
