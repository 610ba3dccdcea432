"""SWAP: number of distinct activation patterns of an untrained network's units over a batch."""

from __future__ import annotations

import math

import numpy as np

from nasctl.api import BadOption, Candidate, Direction, Transform, only_rectified, version_of_layers

__all__ = ["SWAP"]


class SWAP:
    """Number of distinct rows of the on/off matrix of units and examples, (V, B).

    The units of all rectifiers count. A unit is on where the input of its rectifier is above 0. With `sigma`, the
    number is multiplied by ``exp(-(P - mu)^2 / sigma)``, where P is the number of parameters of the full network in
    thousands. The factor steers a search to networks of that size; the paper sets sigma to mu. At most 2^B patterns
    exist, so 16 examples distinguish at most 65,536 units. With many examples all units differ, and the score becomes
    the number of units.

    Differences from the released code (github.com/pym1024/SWAP): weights have PyTorch's own initial distribution and
    are shared with the other metrics. The released code draws weights from N(0, 1) and averages 32 draws, while this
    class averages as many draws as the fidelity repeats. H-swish, swish, GELU, leaky ReLU and the like count as
    rectifiers, like ReLU; `naswot` has the definition. Rectifiers of activations that are not feature maps count too.

    References:
        Peng et al., "SWAP-NAS: Sample-wise activation patterns for ultra-fast NAS", ICLR 2024, arXiv:2403.04161,
        section 3: the SWAP-Score and its regularised form.

    Args:
        mu: Target size, in thousands of parameters.
        sigma: Tolerance around the target size, in thousands of parameters squared; 0 disables the factor.
        samples: Number of examples of the batch whose patterns are compared, 16 in the released code; 0 for all. Batch
            norms use the statistics of the whole batch.
    """

    unit = "patterns"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"activations", "network"})
    version = "1"
    version_on = version_of_layers
    inapplicable_reason = staticmethod(only_rectified)

    def __init__(self, mu: float = 0.0, sigma: float = 0.0, samples: int = 16) -> None:
        if sigma < 0 or (mu and not sigma):
            raise BadOption(
                f"sigma must be at least 0, and above 0 if mu is given, got mu={mu:g},sigma={sigma:g} (options of swap)"
            )
        if samples < 0:
            raise BadOption(f"samples must be at least 0, got {samples} (option of swap); 0 uses the whole batch")
        self._mu, self._sigma, self._samples = mu, sigma, samples or None

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: All units are on for the same examples, for example because no path leads to the output.
            ArithmeticError: The network's size is so far from `mu` that the factor is 0.
        """
        seen = [codes._replace(packed=codes.packed[: self._samples]) for codes in candidate.activations.values()]
        found = [codes.patterns() for codes in seen]
        number = _count_distinct(np.concatenate(found)) if found else 0
        if number < 2:
            raise ValueError("the network has no rectifiers, or all units are on for the same examples")
        if not self._sigma:
            return float(number)
        factor = math.exp(-((candidate.network.params / 1000 - self._mu) ** 2) / self._sigma)
        if factor == 0.0:
            raise ArithmeticError("the network's size is so far from mu that its factor is 0; give a larger sigma")
        return number * factor


def _count_distinct(rows: np.ndarray) -> int:
    """Return the number of distinct rows of (V, W) words. Sorting words is many times faster than `np.unique`."""
    ordered = np.sort(rows, axis=0) if rows.shape[1] == 1 else rows[np.lexsort(rows.T)]
    return 1 + int((ordered[1:] != ordered[:-1]).any(axis=1).sum())
