"""Outputs of networks with early exits for fixed images: logits of all exits are computed once, thresholds compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from nasctl.networks.torch_modules import EarlyExit
from nasctl.problem.space import Genome


@runtime_checkable
class ExitEvaluator(Protocol):
    """A function that computes the outputs of many networks with early exits, and knows where each image leaves."""

    def __call__(self, genome: Genome) -> list[Tensor]:
        """Return the logits for each batch, (B, classes)."""
        ...

    def exits(self, genome: Genome) -> Tensor:
        """Return the number of the exit of each image from 0, over all batches, (N,)."""
        ...


class ExitOutputs:
    """An `ExitEvaluator`.

    Args:
        thresholds: Returns the thresholds of a genome's exits but the last.
        logits: Returns the logits of all exits of a genome, (exits, batches) of (B, classes).
    """

    def __init__(
        self,
        thresholds: Callable[[Genome], tuple[float, ...]],
        logits: Callable[[Genome], Sequence[Sequence[Tensor]]],
    ) -> None:
        self._thresholds, self._logits = thresholds, logits

    @torch.no_grad()
    def __call__(self, genome: Genome) -> list[Tensor]:
        layer = EarlyExit(*self._thresholds(genome))
        return [layer(*one) for one in zip(*self._logits(genome), strict=True)]

    @torch.no_grad()
    def exits(self, genome: Genome) -> Tensor:
        thresholds = self._thresholds(genome)
        logits = [torch.cat(list(one)) for one in self._logits(genome)]
        found = torch.full((len(logits[-1]),), len(thresholds))
        for number, (threshold, one) in reversed([*enumerate(zip(thresholds, logits[:-1], strict=True))]):
            found[one.softmax(-1).amax(-1) > threshold] = number
        return found


__all__ = ["ExitEvaluator", "ExitOutputs"]
