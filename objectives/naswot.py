"""NASWOT: how differently an untrained network sees the examples of a batch."""

from __future__ import annotations

import numpy as np

from nasctl.api import Candidate, Direction, Transform, only_rectified

__all__ = ["NASWOT"]


class NASWOT:
    """log |det K|, where K[i, j] counts the units of all rectifiers that examples i and j agree on, (B, B).

    A unit is on where the rectifier's input is above 0; h-swish, swish and GELU count as rectifiers, like ReLU and
    ReLU6. The value grows with the batch and with the number of units, so only values of one batch size compare.

    References:
        Mellor et al., "Neural architecture search without training", ICML 2021, arXiv:2006.04647, equation 2.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"activations"})
    version = "1"
    inapplicable_reason = staticmethod(only_rectified)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: Two examples look the same to every unit, so the score would be minus infinity.
        """
        batch = candidate.setting.batch
        agreement = np.zeros((batch, batch), np.int64)
        for codes in candidate.activations.values():
            agreement += codes.agreement()
        # Equal codes are found by counting, which is exact.
        if (np.triu(agreement, 1) == agreement.diagonal().max()).any():
            raise ValueError("two examples of the batch have the same code")
        kernel = agreement.astype(np.float64)
        values = np.linalg.eigvalsh(kernel)
        if values[0] <= batch * np.finfo(np.float64).eps * values[-1]:  # rounding would let it pass for a tiny one
            raise ValueError("the codes of the batch are linearly dependent, as those of few units are")
        _, log_determinant = np.linalg.slogdet(kernel)
        return float(log_determinant)
