"""Acquisition functions: which networks to train next, given predicted labels, exact costs and the labels so far.

References:
    Emmerich, Giannakoglou & Naujoks, "Single- and multiobjective evolutionary optimization assisted by Gaussian random
    field metamodels", IEEE Transactions on Evolutionary Computation 10 (2006) 421-439, for the expected hypervolume
    improvement. Ginsbourger, Le Riche & Carraro, "Kriging is well-suited to parallelize optimization", 2010, for the
    believer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import ndtri

from nasctl.errors import UnknownName

Rule = Literal["ehvi", "mean", "ucb", "thompson"]
RULES: tuple[Rule, ...] = get_args(Rule)

# Reference point of the hypervolume in each objective, in ranges; that of `nasctl.pareto.hypervolume`, which is above
# this package.
REFERENCE = 1.05
QUANTILES = 32  # quantiles of a prediction that an expectation averages over
CONFIDENCE = 1.0  # standard deviations above the mean, of the rule "ucb"
CELLS = 1 << 20  # cells of the space of costs times candidates at once; bounds memory


@dataclass(frozen=True)
class Candidates:
    """Candidates that may be trained, and everything that is known about them.

    Args:
        mean: Predicted mean of the score of the label, (N,); higher is better.
        deviation: Standard deviation of the prediction, (N,).
        costs: Costs to minimise, (N, D), D > 0, exact; a candidate with NaN is never chosen.
        to_labels: Monotone function from scores to labels, elementwise.
    """

    mean: np.ndarray
    deviation: np.ndarray
    costs: np.ndarray
    to_labels: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Labelled:
    """The networks that were trained.

    Args:
        labels: Labels, (T,), finite; higher is better.
        costs: Costs, (T, D), finite.
    """

    labels: np.ndarray
    costs: np.ndarray


def choose_batch(
    candidates: Candidates,
    labelled: Labelled,
    cost_range: tuple[np.ndarray, np.ndarray],
    for_accuracy: list[bool],
    rule: Rule,
    rng: np.random.Generator,
) -> list[int]:
    """Choose the next trainings one by one.

    Each training is for the hypervolume of labels and costs, or for the best label alone. The chosen candidate
    maximises the expected improvement under the rule. A candidate that was chosen for the hypervolume then counts as
    trained, with its predicted mean as its label (the "kriging believer"), so that a batch spreads. If no candidate is
    expected to improve anything, the highest predicted mean is chosen. Costs are scaled by `cost_range` and labels by
    the range of the labels so far.

    Args:
        candidates: The candidates, N of them.
        labelled: The trained networks, at least one.
        cost_range: Costs that count as 0 and as 1, (D,) each.
        for_accuracy: For each training to choose, whether it is for the best label alone, (B,).
        rule: Scores over which an improvement is averaged: "ehvi", quantiles of the prediction; "mean", the mean;
            "ucb", the mean and `CONFIDENCE` deviations; "thompson", one draw for each candidate and training.
        rng: Source of the draws of "thompson".

    Returns:
        Rows of the chosen candidates, (min(N, B),), distinct.

    Raises:
        UnknownName: There is no such rule.
    """
    if rule not in RULES:
        raise UnknownName("rule", rule, list(RULES))
    low, span = cost_range[0], np.where(cost_range[1] > cost_range[0], cost_range[1] - cost_range[0], 1.0)
    best, worst = labelled.labels.max(), labelled.labels.min()
    unit = best - worst if best > worst else 1.0
    costs = (candidates.costs - low) / span  # (N, D)
    known = np.column_stack([(best - labelled.labels) / unit, (labelled.costs - low) / span])  # (T, 1 + D)
    free = np.isfinite(candidates.costs).all(axis=1) & np.isfinite(candidates.mean)
    chosen: list[int] = []
    for accurate in for_accuracy:
        if not free.any():
            break
        rows = np.flatnonzero(free)
        labels = candidates.to_labels(_drawn(candidates, rows, rule, rng))  # (Q, R)
        errors = (best - labels) / unit
        if accurate:
            gain = np.maximum(known[:, 0].min() - errors, 0.0).mean(axis=0)
        else:
            gain = expected_hypervolume_improvement(errors, costs[rows], known, np.full(known.shape[1], REFERENCE))
        row = int(rows[np.lexsort((-candidates.mean[rows], -gain))[0]])  # the predicted mean breaks ties
        chosen.append(row)
        free[row] = False
        if not accurate:
            label = float(candidates.to_labels(candidates.mean[row : row + 1])[0])
            known = np.vstack([known, [(best - label) / unit, *costs[row]]])
    return chosen


def _drawn(candidates: Candidates, rows: np.ndarray, rule: Rule, rng: np.random.Generator) -> np.ndarray:
    """Return the scores of candidates over which a rule averages, (Q, R)."""
    mean, deviation = candidates.mean[rows], candidates.deviation[rows]
    if rule == "ehvi":
        offsets = ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES)[:, None]
    elif rule == "thompson":
        offsets = rng.standard_normal((1, len(rows)))
    else:
        offsets = np.full((1, 1), CONFIDENCE if rule == "ucb" else 0.0)
    return np.asarray(mean + offsets * deviation)


def expected_hypervolume_improvement(
    errors: np.ndarray, costs: np.ndarray, front: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """Return the expected growth of a hypervolume by each of several candidates with exact costs.

    The region that a candidate adds to lies above its costs. The costs of the front cut that region into cells. In each
    cell the front has one lowest error, and the candidate adds the volume of the cell times the expected amount by
    which its error is lower.

    Args:
        errors: Equally likely errors of each candidate, (Q, N), such as quantiles of its prediction.
        costs: Costs of each candidate, (N, D), D > 0.
        front: Errors and costs of known networks, (F, 1 + D), dominated ones allowed.
        reference: Reference point, (1 + D,).

    Returns:
        Expected improvements, (N,).
    """
    import moocore

    known = front[(front < reference).all(axis=1)]
    if len(known):
        known = moocore.filter_dominated(known)
    edges = [np.unique(column) for column in known[:, 1:].T]  # of each cost, ascending
    starts = [np.concatenate([[-np.inf], one]) for one in edges]
    ends = [np.concatenate([one, [top]]) for one, top in zip(edges, reference[1:], strict=True)]
    corners = np.stack([one.ravel() for one in np.meshgrid(*starts, indexing="ij")], axis=1)  # (C, D)
    tops = np.stack([one.ravel() for one in np.meshgrid(*ends, indexing="ij")], axis=1)  # (C, D)
    below = (known[None, :, 1:] <= corners[:, None]).all(axis=2)  # (C, F), known networks that reach a cell
    heights = np.where(below, known[:, 0], reference[0]).min(axis=1, initial=reference[0])  # (C,), lowest error
    levels, level = np.unique(heights, return_inverse=True)
    found = np.empty(len(costs))
    step = max(1, CELLS // (len(corners) * corners.shape[1]))
    for start in range(0, len(costs), step):
        part = slice(start, start + step)
        widths = np.maximum(tops - np.maximum(corners, costs[part][:, None]), 0.0)  # (N, C, D)
        volumes = widths.prod(axis=2)  # (N, C)
        gains = np.maximum(levels[None, :, None] - errors.T[part][:, None], 0.0).mean(axis=2)  # (N, L)
        found[part] = (volumes * gains[:, level.ravel()]).sum(axis=1)
    return found


def shortlist(score: np.ndarray, costs: np.ndarray, number: int) -> np.ndarray:
    """Choose candidates for a first round of trainings, by a training-free score, spread over cost.

    Candidates are sorted by cost and divided into as many groups of equal size as are to be chosen. Each group gives
    its candidate with the highest score.

    Args:
        score: Training-free score, (N,), higher is better; a candidate with NaN is chosen last.
        costs: Cost, (N,); a candidate with NaN is never chosen.
        number: Number of candidates to choose.

    Returns:
        Rows of the chosen candidates, at most `number`, in ascending order of cost.
    """
    able = np.flatnonzero(np.isfinite(costs))
    order = able[np.argsort(costs[able], kind="stable")]
    known = np.where(np.isfinite(score), score, -np.inf)
    groups = [one for one in np.array_split(order, number) if len(one)] if number else []
    return np.array([one[known[one].argmax()] for one in groups], dtype=int)


def stratified(costs: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Choose candidates for a first round of trainings at random, spread over cost.

    Candidates are sorted by cost and divided into as many groups of equal size as are to be chosen. The first group
    gives its cheapest candidate, because a front without its cheap end lacks a large part of its hypervolume. Each
    other group gives a random one.

    Args:
        costs: Cost, (N,); a candidate with NaN is never chosen.
        number: Number of candidates to choose.
        rng: Source of the draws.

    Returns:
        Rows of the chosen candidates, at most `number`, in ascending order of cost.
    """
    able = np.flatnonzero(np.isfinite(costs))
    order = able[np.argsort(costs[able], kind="stable")]
    groups = [one for one in np.array_split(order, number) if len(one)] if number else []
    return np.array([one[0] if k == 0 else rng.choice(one) for k, one in enumerate(groups)], dtype=int)
