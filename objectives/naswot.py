"""NASWOT: how differently an untrained network sees the examples of a batch."""

from __future__ import annotations

import numpy as np

from nasctl.api import Candidate, Direction, Transform

__all__ = ["NASWOT"]


class NASWOT:
    """log |det K|, where K[i, j] counts the units of all rectifiers that examples i and j agree on, (B, B).

    A unit is on where the rectifier's input is above 0; h-swish and swish count as rectifiers like ReLU and ReLU6. The
    value grows with the batch and with the number of units, so only values of one batch size compare.

    References:
        Mellor et al., "Neural architecture search without training", ICML 2021, arXiv:2006.04647, equation 2.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"activations"})
    version = "1"

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: Two examples look the same to every unit, so the score would be minus infinity.
        """
        batch = candidate.setting.batch
        agreement = np.zeros((batch, batch), np.int64)
        for codes in candidate.activations.values():
            agreement += codes.agreement()
        # Equal codes are found by counting: rounding would let a singular matrix pass for one of tiny determinant.
        if (np.triu(agreement, 1) == agreement.diagonal().max()).any():
            raise ValueError("two examples of the batch have the same code")
        sign, log_determinant = np.linalg.slogdet(agreement.astype(np.float64))
        if sign <= 0:
            raise ValueError("the codes of the batch are linearly dependent")
        return float(log_determinant)
