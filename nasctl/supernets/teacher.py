"""Trained networks that teach a supernet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, SearchSpace
from nasctl.supernets.pieces import Pieces
from nasctl.training import trained_weights
from nasctl.training.starting_weights import weights_digest

if TYPE_CHECKING:
    from nasctl.training.labelled import TrainingData

SMALL = 1e-6  # least deviation of pixels that normalisation divides by


class TrainedTeacher:
    """A network that `nasctl train` has trained, in evaluation mode; see `nasctl.problem.strategy_step.TeacherNetwork`.

    Args:
        path: Its weights, with the facts of its training.
        data: The data that the teacher's pupils learn from; None if the inputs are as the teacher's own.

    Raises:
        NasctlError: The file cannot be read, or holds no network that nasctl trained, or the teacher numbers words
            otherwise than the data.
    """

    def __init__(self, path: Path, data: TrainingData | None = None) -> None:
        self.digest = weights_digest(path)
        state, facts = trained_weights.read(path)
        if data is not None and data.task != "classes" and facts.data != str(data):
            raise NasctlError(
                f"Cannot learn from the teacher {path}: it was trained on {facts.data}, and this data is {data}, whose"
                " words have other numbers. Train the teacher on this data, with its --split and --split-seed."
            )
        self._scaling = None if data is None else _scaling(data, facts)
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
            inputs: The inputs of a batch, images with the mean and the deviation of the pupils' data, which are changed
                to those of the teacher's own; masked words come with their places, which a network does not read.
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
        if self._scaling is not None:
            factor, shift = (one.to(first) for one in self._scaling)
            first = first * factor + shift
        found: dict[str, Tensor] = self._pieces((first,), wanted, {})
        return found


def _scaling(data: TrainingData, facts: trained_weights.Facts) -> tuple[Tensor, Tensor] | None:
    """Return factor and summand of each channel, (1, C, 1, 1), that turn inputs of data into those of a teacher.

    Returns:
        Both, or None if the teacher's data has the same mean and deviation, or is of words.
    """
    if not facts.mean or (data.mean, data.deviation) == (facts.mean, facts.deviation):
        return None
    mean, deviation, own_mean, own_deviation = (
        torch.tensor(one).clamp(min=least).view(1, -1, 1, 1)
        for one, least in ((data.mean, 0.0), (data.deviation, SMALL), (facts.mean, 0.0), (facts.deviation, SMALL))
    )
    return deviation / own_deviation, (mean - own_mean) / own_deviation


__all__ = ["TrainedTeacher"]
