"""NASWOT: diversity of the activation patterns of an untrained network over a batch."""

from __future__ import annotations

import numpy as np

from nasctl.api import Candidate, Direction, Transform, only_rectified, version_of_layers

__all__ = ["NASWOT"]


class NASWOT:
    """Logarithm of |det K|, where K[i, j] counts the units whose state agrees for examples i and j, (B, B).

    A unit is on where the input of its rectifier is above 0. Rectifiers are the activations that pass positive inputs
    and damp negative ones: ReLU, ReLU6, leaky ReLU, PReLU, ELU, h-swish, swish, GELU and the like, as layers or as
    functions. Sigmoids are none, and rectifiers inside recurrent layers do not count. The value grows with the batch
    size and with the number of units, so only values of the same batch size can be compared.

    References:
        Mellor et al., "Neural architecture search without training", ICML 2021, arXiv:2006.04647, equation 2.
    """

    unit = "log"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"activations"})
    version = "1"
    version_on = version_of_layers
    inapplicable_reason = staticmethod(only_rectified)

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The network has no rectifiers, two examples have the same code, or the codes are linearly
                dependent. The score would be minus infinity.
        """
        batch = candidate.setting.batch
        agreement = np.zeros((batch, batch), np.int64)
        if not candidate.activations:
            raise ValueError("the network has no rectifiers")
        for codes in candidate.activations.values():
            agreement += codes.agreement()
        # Integer counts detect equal codes exactly; the determinant has rounding errors.
        if (np.triu(agreement, 1) == agreement.diagonal().max()).any():
            raise ValueError("two examples of the batch have the same code")
        kernel = agreement.astype(np.float64)
        eigenvalues = np.linalg.eigvalsh(kernel)
        # Rounding turns an eigenvalue of 0 into a tiny one.
        if eigenvalues[0] <= batch * np.finfo(np.float64).eps * eigenvalues[-1]:
            raise ValueError("the codes of the batch are linearly dependent, for example because there are few units")
        _, log_determinant = np.linalg.slogdet(kernel)
        return float(log_determinant)
