"""Jacobian covariance: how differently an untrained network's outputs depend on the examples of a batch."""

from __future__ import annotations

import numpy as np

from nasctl.api import Candidate, Direction, Network, Transform

__all__ = ["Jacov"]

K = 1e-5


class Jacov:
    """``-sum log(v + k) + 1 / (v + k)`` over the eigenvalues v of the correlations between Jacobians, with k = 1e-5.

    The Jacobian of an example is the gradient of the sum of all logits with respect to it. Correlations are between the
    examples of the batch, (B, B). Uncorrelated Jacobians score -B, the most there is; a direction that the batch does
    not span costs 1e5, which is why searchers see -log10(-s).

    References:
        Mellor et al., "Neural architecture search without training", first version of arXiv:2006.04647 (2020), section
        3; the score as `jacob_cov` of Abdelfattah et al., "Zero-cost proxies for lightweight NAS", ICLR 2021,
        arXiv:2101.08134, with the eigenvalues of a symmetric matrix in place of those of a general one.
    """

    unit = "nats"  # as of a divergence between the batch's Jacobians and uncorrelated ones
    direction: Direction = "max"
    transform: Transform = "-log10(-s)"
    needs = frozenset({"input_gradients"})
    version = "1"

    def remarks(self, space: str, example: Network) -> list[str]:
        """A warning: of all metrics here it keeps its order least."""
        return ["its order depends on the seed of weights and data, on mbconv wholly: see docs/spaces.md"]

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: An example's Jacobian is constant, as where no path leads to the output: it has no correlations.
            ArithmeticError: A Jacobian is not finite.
        """
        jacobians = candidate.input_gradients.flatten(1).double().numpy(force=True)  # (B, D)
        if not np.isfinite(jacobians).all():
            raise ArithmeticError("the gradients of the examples are not finite")
        if (np.ptp(jacobians, axis=1) == 0).any():
            raise ValueError("the outputs depend on an example nowhere, or everywhere the same")
        values = np.linalg.eigvalsh(np.corrcoef(jacobians)) + K
        return float(-(np.log(values) + 1 / values).sum())
