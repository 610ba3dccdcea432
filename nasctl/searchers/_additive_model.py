"""A model of an objective as a sum over genes, its fit, and the measure of its error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.api import Genome
from nasctl.searchers._ranking import one_hot

PENALTIES = 10.0 ** np.arange(-6.0, 3.0)  # L2 penalties of ridge regression to choose from, in observations


class AdditiveModel:
    """A sum over genes of a loss per choice.

    Args:
        cardinalities: Number of choices of each gene, (G,).
        weights: Losses of all choices, gene after gene, (D,).
        constant: Loss that is added to every sum.
    """

    def __init__(self, cardinalities: np.ndarray, weights: np.ndarray, constant: float = 0.0) -> None:
        self._cardinalities, self._weights, self._constant = cardinalities, weights, constant

    @property
    def tables(self) -> list[np.ndarray]:
        """Return the losses of the choices of each gene, G arrays of (K,)."""
        return np.split(self._weights, np.cumsum(self._cardinalities)[:-1])

    def predict(self, genomes: Sequence[Genome]) -> np.ndarray:
        """Return the predicted losses of genomes, (N,)."""
        return np.asarray(one_hot(genomes, self._cardinalities) @ self._weights + self._constant)


def fitted(genomes: Sequence[Genome], losses: np.ndarray, cardinalities: np.ndarray) -> AdditiveModel:
    """Return the additive model of losses by ridge regression on one-hot genes.

    The penalty is the one of least squared error when each observation is left out once, or the smallest penalty if no
    observation can be left out, because each alone determines the loss of a choice. A choice that no observation
    has gets the mean loss of the other choices of its gene.

    Args:
        genomes: Observed genomes, N.
        losses: Their losses, (N,); NaN where an objective failed. Such genomes are left out.
        cardinalities: Number of choices of each gene, (G,).
    """
    known = np.isfinite(losses)
    if not known.any():
        return AdditiveModel(cardinalities, np.zeros(int(cardinalities.sum())))
    features, targets = one_hot(genomes, cardinalities)[known], losses[known]
    centre, mean = features.mean(axis=0), float(targets.mean())
    left, singular, right = np.linalg.svd(features - centre, full_matrices=False)
    held = singular > 1e-9 * max(singular.max(), 1.0)
    left, singular, right = left[:, held], singular[held], right[held]
    projected = left.T @ (targets - mean)
    tested = 1 - (left**2).sum(axis=1) - 1 / len(targets) > 1e-6  # observations that the others can predict
    best, weights = np.inf, np.zeros(features.shape[1])
    for penalty in PENALTIES.tolist():
        shrunk = singular**2 / (singular**2 + penalty)
        leverage = (left**2) @ shrunk + 1 / len(targets)
        residual = targets - mean - left @ (shrunk * projected)
        error = float(((residual[tested] / (1 - leverage[tested])) ** 2).sum())
        if error < best:
            best, weights = error, right.T @ (shrunk / singular * projected)
    return AdditiveModel(cardinalities, weights, mean - float(centre @ weights))


def kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Return Kendall's rank correlation (tau-b) of two samples, (N,); 0 if all values of a sample are equal."""
    one, other = (np.sign(values[:, None] - values) for values in (first, second))
    ties = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / ties) if ties else 0.0


def explained(losses: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of the variance of losses that predictions explain, R^2, (N,); 0 if all losses are equal."""
    total = float(((losses - losses.mean()) ** 2).sum())
    return 1 - float(((losses - predicted) ** 2).sum()) / total if total else 0.0
