"""The base class of an exported network with early exits. Its source is copied, so it stands alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StagedNet(nn.Module):
    """A network that runs stage by stage, and each image only up to the exit at which it leaves.

    An image leaves when the largest probability of an exit exceeds the threshold of the exit. The images of a batch
    leave one by one: a stage runs on those that are left.
    """

    THRESHOLDS: tuple[float, ...] = ()  # of each exit but the last
    STAGES: tuple[tuple[str, ...], ...] = ()  # names of the values that each stage takes
    VALUES: tuple[tuple[str, ...], ...] = ()  # names of the values that each stage returns behind its logits

    def leave(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits with which each image leaves, (B, classes), and the number of its exit from 0, (B,)."""
        values, left = {"input": x}, torch.arange(len(x), device=x.device)
        exits = torch.zeros_like(left)
        found = torch.empty(0)
        for number, (takes, gives) in enumerate(zip(self.STAGES, self.VALUES, strict=True)):
            logits, *more = getattr(self, f"stage{number + 1}")(*[values[name] for name in takes])
            values |= dict(zip(gives, more, strict=True))
            found = logits.clone() if number == 0 else found.index_copy(0, left, logits)
            exits = exits.index_fill(0, left, number)
            if number < len(self.THRESHOLDS):
                leaves = logits.softmax(-1).amax(-1) > self.THRESHOLDS[number]
                if bool(leaves.all()):
                    break
                if bool(leaves.any()):
                    stays = (~leaves).nonzero().flatten()
                    left, values = left[stays], {name: value[stays] for name, value in values.items()}
        return found, exits

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits with which each image leaves, (B, classes)."""
        return self.leave(x)[0]
