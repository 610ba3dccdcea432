"""Least squares with non-negative coefficients, by the algorithm of `scipy.optimize.nnls`.

References:
    Lawson & Hanson, "Solving least squares problems", 1974, chapter 23.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import nnls

SMALLEST_SCALE = 1e-12  # lower bound of a column's scale, so that a column of zeros is not divided by 0


def fit_nonnegative(amounts: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Return the coefficients, (P,), with the least sum of squared relative errors, to six significant digits.

    Rows are divided by the measured latency, so that networks of 10 ms and of 100 ms are fitted equally well. Columns
    are scaled to a largest value of 1, because their magnitudes differ by ten orders. Where columns are proportional,
    only the sum of their contributions is determined, and its division among them is arbitrary.

    Args:
        amounts: Design matrix, (N, P), 0 or more.
        ms: Measured latencies in ms, (N,), above 0.
    """
    scale = np.maximum(amounts.max(axis=0), SMALLEST_SCALE)
    solution, _ = nnls(amounts / scale / ms[:, None], np.ones(len(ms)))
    return _rounded(solution / scale)


def minimize_nonnegative(gram: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the non-negative x, (P,), with the least x'Gx / 2 - m'x, to six significant digits.

    Args:
        gram: G, (P, P), symmetric and positive definite.
        moments: m, (P,).
    """
    upper = cholesky(gram)
    solution = cho_solve((upper, False), moments)
    if solution.min() < 0:  # |Ux - b|^2 with U'U = G and U'b = m is the same function of x, up to factor and constant.
        solution, _ = nnls(upper, solve_triangular(upper, moments, trans=1))
    return _rounded(solution)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Round values to six significant digits, as tables store them."""
    return np.array([float(f"{value:.6g}") for value in values])
