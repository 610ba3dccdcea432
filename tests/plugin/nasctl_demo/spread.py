"""How far apart an untrained network puts the examples of a batch."""

from __future__ import annotations

import torch

from nasctl.api import Candidate, Direction, Transform


class Spread:
    """The standard deviation of the logits over the batch, averaged over the classes."""

    unit = "nats"
    direction: Direction = "max"
    transform: Transform = "log10"
    needs = frozenset({"module"})
    version = "1"

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate."""
        examples, _ = candidate.batch()
        with torch.no_grad():
            return float(candidate.module()(examples).double().std(dim=0).mean())
