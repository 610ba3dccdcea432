"""Fit of the operator model to measured latencies, and its cross-validated predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau, spearmanr

from nasctl.api import Network
from nasctl.hardware.fitting.nonnegative import fit_nonnegative
from nasctl.hardware.operator_model import features
from nasctl.hardware.tables_schema import Against, Validation

OVERHEAD = "overhead"  # feature of which every whole network has one
FOLDS = 8  # of cross-validation
MIN_SAMPLES = 2  # blocks that a fit needs
NAMED = 3  # blocks without a price that a message names

Amounts = Mapping[str, float]  # features of a block or network, by name


def network_features(network: Network) -> Amounts:
    """Return the features of a network, summed over its blocks, and one overhead."""
    amounts: defaultdict[str, float] = defaultdict(float, {OVERHEAD: 1.0})
    for span in network.spans:
        for name, amount in features(span.emission).items():
            amounts[name] += amount
    return amounts


def fit_operators(samples: Sequence[Amounts], ms: np.ndarray) -> dict[str, float]:
    """Fit a non-negative coefficient, in ms, to each feature that occurs, by least squares of relative errors.

    Args:
        samples: Features of the measured blocks or networks, (N,).
        ms: Measured latencies, (N,), above 0.
    """
    names = sorted({name for sample in samples for name in sample})
    return dict(zip(names, fit_nonnegative(_matrix(samples, names), ms).tolist(), strict=True))


def predict(coefficients: Mapping[str, float], samples: Sequence[Amounts]) -> np.ndarray:
    """Return predicted latencies in ms, (N,), with NaN where a sample has a feature without a coefficient."""
    names = sorted(coefficients)
    ms = _matrix(samples, names) @ np.array([coefficients[name] for name in names])
    return np.where([sample.keys() <= coefficients.keys() for sample in samples], ms, np.nan)


def cross_val_predict(samples: Sequence[Amounts], ms: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    """Return latencies in ms, (N,), each predicted by a fit to the folds that its group is not in.

    Args:
        samples: Features of the measured blocks or networks, (N,).
        ms: Measured latencies, (N,), above 0.
        groups: Group of each sample, (N,). Samples of one group are held out together. Samples of the group None are
            part of every fit, and are predicted by a fit to all samples.

    Returns:
        Predictions, with NaN where a sample has a feature that no sample of the other folds has.
    """
    kept = sorted({group for group in groups if group is not None}, key=str)
    order = np.random.default_rng(0).permutation(len(kept))
    fold_of = {kept[k]: place % FOLDS for place, k in enumerate(order)}
    folds = np.array([fold_of.get(group, -1) for group in groups])
    out = np.full(len(ms), np.nan)
    for fold in sorted(set(folds.tolist())):
        inside = np.flatnonzero(folds == fold).tolist()
        outside = np.flatnonzero(folds != fold).tolist() if fold >= 0 else list(range(len(ms)))
        if len(outside) >= MIN_SAMPLES:
            coefficients = fit_operators([samples[k] for k in outside], ms[outside])
            out[inside] = predict(coefficients, [samples[k] for k in inside])
    return out


def evaluate_predictions(
    held_out: str,
    predicted: np.ndarray,
    measured: np.ndarray,
    spaces: Iterable[str] = (),
    against: Against = "networks",
) -> Validation:
    """Compare predictions with measurements.

    Args:
        held_out: What was predicted, and how it was kept apart from the fit.
        predicted: Latencies in ms, (N,).
        measured: Latencies in ms, (N,), above 0.
        spaces: Normal specs of the search spaces of the networks.
        against: What was measured.
    """
    errors = 100 * (predicted - measured) / measured
    varied = len(set(predicted.tolist())) > 1 and len(set(measured.tolist())) > 1
    spearman = round(float(spearmanr(predicted, measured).statistic), 4) if varied else None
    kendall = round(float(kendalltau(predicted, measured).statistic), 4) if varied else None
    mape, bias = float(np.abs(errors).mean()), float(errors.mean())
    return Validation(held_out, tuple(spaces), against, len(errors), round(mape, 3), round(bias, 3), spearman, kendall)


def left_out_text(number: int, unpriced: Sequence[str]) -> str:
    """Return a clause about networks that took no part in a comparison, or "" if there are none.

    Args:
        number: Number of these networks.
        unpriced: Emission keys of the blocks that the table cannot price.
    """
    if not number:
        return ""
    more = f" and {len(unpriced) - NAMED} more" if len(unpriced) > NAMED else ""
    blocks = ", ".join(unpriced[:NAMED]) + more
    return f"{number:,} networks left out, because the table has no row for {blocks}, and no estimate"


def _matrix(samples: Sequence[Amounts], names: Sequence[str]) -> np.ndarray:
    """Return the features as a design matrix, (N, len(names))."""
    return np.array([[sample.get(name, 0.0) for name in names] for sample in samples], dtype=float)
