"""SWAP: how many different patterns the units of an untrained network show over a batch."""

from __future__ import annotations

import math

import numpy as np

from nasctl.api import BadOption, Candidate, Direction, Transform, only_rectified

__all__ = ["SWAP"]


class SWAP:
    """The number of different rows of the matrix of units and examples, (V, B), which says what unit is on for what.

    Units are those of all rectifiers; one is on where the rectifier's input is above 0. With `sigma`, the number is
    multiplied by ``exp(-(P - mu)^2 / sigma)``, P being the thousands of parameters of the real network, which steers a
    search to that size; the paper sets sigma to mu. There are at most 2^B patterns, so 16 examples tell no more than
    65,536 units apart; with many examples all units differ, and the number becomes that of the units.

    Departures: weights have PyTorch's own initial distribution and are those of the other metrics, where the released
    code (github.com/pym1024/SWAP) takes N(0, 1) and the mean of 32 draws (here, of as many as the fidelity repeats);
    h-swish, swish and GELU count as rectifiers like ReLU, as do rectifiers of what is no map.

    References:
        Peng et al., "SWAP-NAS: Sample-wise activation patterns for ultra-fast NAS", ICLR 2024, arXiv:2403.04161,
        section 3: the SWAP-Score and its regularised form.

    Args:
        mu: The size that is wanted, in thousands of parameters.
        sigma: How far from it is tolerated, in thousands of parameters squared; 0 for the form without.
        samples: How many examples of the batch are looked at, 16 in the released code; 0 for all. Batch norms use the
            statistics of all.
    """

    unit = "patterns"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"activations", "network"})
    version = "1"
    inapplicable_reason = staticmethod(only_rectified)

    def __init__(self, mu: float = 0.0, sigma: float = 0.0, samples: int = 16) -> None:
        if sigma < 0 or (mu and not sigma):
            raise BadOption(f"swap needs a sigma above 0 for a mu, not mu={mu:g},sigma={sigma:g}")
        if samples < 0:
            raise BadOption(f"swap looks at samples=1 or more, or with 0 at the whole batch, not at {samples}")
        self._mu, self._sigma, self._samples = mu, sigma, samples or None

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: All units are on for the same examples, as where no path leads to the output.
            ArithmeticError: The network is so far from `mu` that the factor vanishes.
        """
        seen = [codes._replace(packed=codes.packed[: self._samples]) for codes in candidate.activations.values()]
        found = [codes.patterns() for codes in seen]
        number = _distinct(np.concatenate(found)) if found else 0
        if number < 2:
            raise ValueError("there are no rectifiers, or all their units are on for the same examples")
        if not self._sigma:
            return float(number)
        factor = math.exp(-((candidate.network.params / 1000 - self._mu) ** 2) / self._sigma)
        if factor == 0.0:
            raise ArithmeticError("the network's size is too far from mu; give a larger sigma")
        return number * factor


def _distinct(rows: np.ndarray) -> int:
    """How many different rows there are, (V, W); words are sorted, which is many times as fast as `np.unique`."""
    ordered = np.sort(rows, axis=0) if rows.shape[1] == 1 else rows[np.lexsort(rows.T)]
    return 1 + int((ordered[1:] != ordered[:-1]).any(axis=1).sum())
