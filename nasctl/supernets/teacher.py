"""Trained networks that teach a supernet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, SearchSpace
from nasctl.supernets.pieces import Pieces
from nasctl.training import trained_weights
from nasctl.training.starting_weights import weights_digest


class TrainedTeacher:
    """A network that `nasctl train` has trained, in evaluation mode; see `nasctl.problem.strategy.TeacherNetwork`.

    Args:
        path: Its weights, with the facts of its training.

    Raises:
        NasctlError: The file cannot be read, or holds no network that nasctl trained.
    """

    def __init__(self, path: Path) -> None:
        self.digest = weights_digest(path)
        state, facts = trained_weights.read(path)
        self.space: SearchSpace = registry.create("spaces", facts.space)
        self.genome: Genome = self.space.canonical(facts.genome)
        network = self.space.network(self.genome)
        module: nn.Module = network.module()
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:160]
            raise NasctlError(
                f"Cannot learn from {path}: nasctl {facts.nasctl} built another module of its network ({reason})."
                " Train the teacher again."
            ) from None
        self._shape = network.input_shapes[0]
        self._pieces = Pieces(network, module).eval().requires_grad_(False)

    @torch.no_grad()
    def values(self, inputs: Sequence[Tensor], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of layers or blocks by their names.

        Args:
            inputs: The inputs of a batch; masked words come with their places, which a network does not read.
            wanted: Names of layers or blocks.

        Raises:
            NasctlError: The teacher reads inputs of another shape.
        """
        first = inputs[0]
        if tuple(first.shape[1:]) != self._shape:
            raise NasctlError(
                f"Cannot learn from the teacher: it reads inputs of {self._shape}, and the data are"
                f" {tuple(first.shape[1:])}. Train a teacher at the supernet's resolution."
            )
        self._pieces.to(first.device)
        found: dict[str, Tensor] = self._pieces((first,), wanted, {})
        return found


__all__ = ["TrainedTeacher"]
