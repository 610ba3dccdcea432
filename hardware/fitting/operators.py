"""Coefficients of the operator model from measured latencies, and how well they predict what was held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau, spearmanr

from nasctl.api import Network
from nasctl.hardware.fitting.nonnegative import fit_nonnegative
from nasctl.hardware.operator_model import features
from nasctl.hardware.tables_schema import Against, Validation

OVERHEAD = "overhead"  # the amount that every whole network has one of
FOLDS = 8
FEWEST = 2  # blocks to fit anything from

Amounts = Mapping[str, float]


def whole(network: Network) -> Amounts:
    """The amounts of all blocks of a network, and its one overhead."""
    amounts: defaultdict[str, float] = defaultdict(float, {OVERHEAD: 1.0})
    for span in network.spans:
        for name, amount in features(span.emission).items():
            amounts[name] += amount
    return amounts


def fitted(samples: Sequence[Amounts], ms: np.ndarray) -> dict[str, float]:
    """Coefficients, none negative, of the least sum of squared relative errors; one for each amount that occurs.

    Args:
        samples: What was measured, (N,).
        ms: Its latencies, (N,), above 0.
    """
    names = sorted({name for sample in samples for name in sample})
    return dict(zip(names, fit_nonnegative(_matrix(samples, names), ms).tolist(), strict=True))


def predictions(coefficients: Mapping[str, float], samples: Sequence[Amounts]) -> np.ndarray:
    """Milliseconds, (N,); NaN where a sample has an amount that the coefficients say nothing about."""
    names = sorted(coefficients)
    ms = _matrix(samples, names) @ np.array([coefficients[name] for name in names])
    return np.where([sample.keys() <= coefficients.keys() for sample in samples], ms, np.nan)


def cross_predictions(samples: Sequence[Amounts], ms: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    """Milliseconds, (N,), each predicted from the folds that its group is not in.

    Args:
        samples: What was measured, (N,).
        ms: Its latencies, (N,).
        groups: (N,); samples of one group are held out together, those of the group None never are.

    Returns:
        NaN where the other folds say nothing about an amount.
    """
    kept = sorted({group for group in groups if group is not None}, key=str)
    order = np.random.default_rng(0).permutation(len(kept))
    fold_of = {kept[k]: place % FOLDS for place, k in enumerate(order)}
    folds = np.array([fold_of.get(group, -1) for group in groups])
    out = np.full(len(ms), np.nan)
    for fold in sorted(set(folds.tolist())):
        inside = np.flatnonzero(folds == fold).tolist()
        # Those of the group None are predicted by a fit on everything, which they are a part of.
        outside = np.flatnonzero(folds != fold).tolist() if fold >= 0 else list(range(len(ms)))
        if len(outside) >= FEWEST:
            coefficients = fitted([samples[k] for k in outside], ms[outside])
            out[inside] = predictions(coefficients, [samples[k] for k in inside])
    return out


def accuracy(
    held_out: str,
    predicted: np.ndarray,
    measured: np.ndarray,
    spaces: Iterable[str] = (),
    against: Against = "networks",
) -> Validation:
    """How far predictions, (N,), are from measurements, (N,), of networks of some spaces, by normal spec."""
    errors = 100 * (predicted - measured) / measured
    varied = len(set(predicted.tolist())) > 1 and len(set(measured.tolist())) > 1
    spearman = round(float(spearmanr(predicted, measured).statistic), 4) if varied else None
    kendall = round(float(kendalltau(predicted, measured).statistic), 4) if varied else None
    mape, bias = float(np.abs(errors).mean()), float(errors.mean())
    return Validation(held_out, tuple(spaces), against, len(errors), round(mape, 3), round(bias, 3), spearman, kendall)


def _matrix(samples: Sequence[Amounts], names: Sequence[str]) -> np.ndarray:
    """(N, names)."""
    return np.array([[sample.get(name, 0.0) for name in names] for sample in samples], dtype=float)
