"""Whether the predictions of a table order networks better than chance."""

from __future__ import annotations

import math

import numpy as np

from nasctl.hardware.tables_schema import Validation

CHANCE = 1.645  # quantile of the standard normal distribution: one-sided at 5%


def rank_weakness(error: Validation) -> str:
    """Return why the order that a table gives to held-out networks is worth nothing, or "" if it is worth something.

    Without any relation, Spearman's correlation of N pairs has mean 0 and variance 1 / (N - 1), and is close to normal
    (Kendall, "Rank correlation methods", 1948, chapter 4).

    Args:
        error: The error of the table on held-out networks.
    """
    if error.spearman is None:
        return f"all measured or all predicted latencies of the {error.number:,} held-out networks are equal"
    least = CHANCE / math.sqrt(max(error.number - 1, 1))
    if error.spearman >= min(least, 1.0):
        return ""
    return (
        f"the Spearman correlation on {error.number:,} held-out networks is {error.spearman:.2f}, and chance alone "
        f"reaches {min(least, 1.0):.2f}"
    )


def constant_error(inside: np.ndarray, held: np.ndarray) -> float:
    """Return the mean absolute relative error of one latency for all networks, in %.

    The latency minimises the sum of squared relative errors on the networks of the fit, like the terms of a table.

    Args:
        inside: Latencies of the networks of the fit in ms, (N,), above 0.
        held: Latencies of the held-out networks in ms, (M,), above 0.
    """
    constant = float(np.sum(1 / inside) / np.sum(1 / inside**2))
    return float(100 * np.abs(constant / held - 1).mean())


def fit_weakness(error: Validation, inside: np.ndarray, held: np.ndarray) -> str:
    """Return why a fitted table is worth nothing on held-out networks, or "" if it is worth something.

    Args:
        error: The error of the table on the held-out networks.
        inside: Latencies of the networks of the fit in ms, (N,), above 0.
        held: Latencies of the held-out networks in ms, (M,), above 0.
    """
    if weakness := rank_weakness(error):
        return weakness
    constant = constant_error(inside, held)
    if error.mape < constant:
        return ""
    return f"its MAPE on held-out networks is {error.mape:.2f}%, and one latency for all networks has {constant:.2f}%"
