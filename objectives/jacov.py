"""Jacobian covariance: correlations between the input gradients of the examples of a batch."""

from __future__ import annotations

import numpy as np

from nasctl.api import Candidate, Direction, Network, Transform, version_of_layers

__all__ = ["Jacov"]

OFFSET = 1e-5  # added to eigenvalues, so that the logarithm and the inverse of 0 stay finite


class Jacov:
    """Score ``-sum log(v + k) + 1 / (v + k)`` of the correlations between Jacobians, with k = 1e-5.

    The Jacobian of an example is the gradient of the sum of all logits with respect to the example. The values v are
    the eigenvalues of the correlations between the examples of the batch, (B, B). Uncorrelated Jacobians reach the
    maximum score -B. A direction that the batch does not span costs 1e5, so searchers see -log10(-s).

    References:
        Mellor et al., "Neural architecture search without training", first version of arXiv:2006.04647 (2020), section
        3; the score is `jacob_cov` of Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021,
        arXiv:2101.08134, with eigenvalues of a symmetric matrix instead of a general one.
    """

    unit = "nats"  # as of a divergence between the batch's Jacobians and uncorrelated ones
    direction: Direction = "max"
    transform: Transform = "-log10(-s)"
    needs = frozenset({"input_gradients"})
    version = "1"
    version_on = version_of_layers

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return a warning: this objective has the least stable ranking of all objectives here."""
        return ["the ranking changes with the seed of weights and data: see docs/spaces.md"]

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: The Jacobian of an example is constant, so it has no correlations. This happens if no path leads
                to the output.
            ArithmeticError: A Jacobian is not finite.
        """
        jacobians = candidate.input_gradients.flatten(1).double().numpy(force=True)  # (B, D)
        if not np.isfinite(jacobians).all():
            raise ArithmeticError("the gradients with respect to the examples are not finite")
        if (np.ptp(jacobians, axis=1) == 0).any():
            raise ValueError("the gradient with respect to an example is constant, so it has no correlations")
        values = np.linalg.eigvalsh(np.corrcoef(jacobians)) + OFFSET
        return float(-(np.log(values) + 1 / values).sum())
