"""Fit of an additive latency table, a sum over blocks, to end-to-end latencies of whole networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from nasctl.api import Emission, NasctlError, Network
from nasctl.hardware.fitting.nonnegative import fit_nonnegative, minimize_nonnegative
from nasctl.hardware.fitting.operators import evaluate_predictions
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Method, Row, Validation

MIN_NETWORKS = 30  # networks that a fit needs
MIN_OCCURRENCES = 20  # networks that must have a block for the block to get a row; else the operator model prices it
NETWORKS_PER_ROW = 2  # networks needed per row and for the overhead; else the operator model prices all blocks
# Regularisation strengths that are tried, the strongest first: the pull of rows towards the operator model.
STRENGTHS = (3.0, 0.3, 0.03, 3e-3, 3e-4, 3e-5, 3e-6)
MIN_GAIN = 0.1  # share of the operator model's error that rows must save to be used
NEGLIGIBLE = 0.01  # % of the latency; rows that save no more error are not used
FOLDS = 5  # of cross-validation


@dataclass(frozen=True, slots=True)
class MeasuredNetworks:
    """Whole networks as counts of their distinct blocks, and their latencies."""

    emissions: tuple[Emission, ...]  # the distinct blocks, (K,)
    counts: csr_array  # occurrences of each block in each network, (N, K)
    ms: np.ndarray  # measured latencies, (N,), above 0

    @classmethod
    def of(cls, networks: Iterable[Network], ms: np.ndarray) -> MeasuredNetworks:
        """Count the blocks of N networks, one network at a time; `ms` are their latencies, (N,)."""
        places: dict[Emission, int] = {}
        columns: list[int] = []
        ends = [0]
        for network in networks:
            columns += [places.setdefault(span.emission, len(places)) for span in network.spans]
            ends.append(len(columns))
        counts = csr_array((np.ones(len(columns)), columns, ends), shape=(len(ms), len(places)))
        counts.sum_duplicates()
        return cls(tuple(places), counts, ms)

    def part(self, chosen: np.ndarray) -> MeasuredNetworks:
        """Return the networks at the given indices, or where a mask is true."""
        return replace(self, counts=self.counts[chosen], ms=self.ms[chosen])

    @property
    def macs(self) -> np.ndarray:
        """Return the multiply-accumulates of each network for one example, (N,)."""
        found: np.ndarray = self.counts @ np.array([float(one.macs) for one in self.emissions])
        return found

    def predicted(self, table: LatencyTable) -> np.ndarray:
        """Return `table.latency` of each network in ms, (N,).

        Raises:
            MissingBlock: The table cannot price a block of a network.
        """
        present = np.flatnonzero(self.counts.sum(axis=0))
        figures = np.zeros(len(self.emissions))
        figures[present] = [table.block(self.emissions[k]).ms for k in present]
        found: np.ndarray = self.counts @ figures + table.overhead
        return found


@dataclass(frozen=True, slots=True)
class AdditiveFit:
    """The terms of a fitted sum: rows of frequent blocks, the operator model for all other blocks, and the overhead.

    Each distinct block is one unknown, and each of its occurrences in a network adds that unknown. With the overhead,
    which every network has once, the latency of a network is linear in the unknowns. The fit minimises the sum of
    squared relative errors subject to non-negativity, plus a ridge penalty: the squared difference between each row
    and the price of its block by the operator model, in units of the mean latency per block, times `strength`. Where
    the data determines a row poorly, for example if blocks always occur together, the operator model thus decides. Its
    own coefficients are fitted first, by `fit_nonnegative`, to the same networks.

    The strength is the largest of `STRENGTHS` whose cross-validated error is within one standard error of the least.
    The operator model alone counts as the largest strength. It is also preferred if rows would save less than
    `MIN_GAIN` of its error, or less than `NEGLIGIBLE`, because a table without rows is small and monotone. Whole
    networks determine the costs of the alternatives of a choice only up to a constant per choice; the penalty towards
    the operator model fixes that constant.

    References:
        Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, section 3.3: additive latency.
        Hoerl & Kennard, Technometrics 12(1), 1970, equation 2.1: ridge regression; here with a prior other than 0.
        Breiman et al., "Classification and regression trees", 1984, section 3.4.3: the one-standard-error rule; here
        with the standard error of the difference to the best over the same folds, which is the quantity compared to 0.
    """

    overhead: float  # ms per network
    operators: Mapping[str, float]  # coefficients of the operator model, ms per unit of each feature
    blocks: Mapping[str, float]  # rows: ms by emission key
    strength: float | None  # None if the operator model prices all blocks
    remark: str  # the reason for this choice, for users

    def fill(self, table: LatencyTable) -> LatencyTable:
        """Return the table with the rows, operator model and overhead of this fit."""
        rows = {key: Row(ms) for key, ms in sorted(self.blocks.items())}
        method: Method = "fitted" if rows else "modelled"
        return replace(table, method=method, overhead=self.overhead, operators=self.operators, blocks=rows)


def fit(data: MeasuredNetworks, operators_only: bool = False) -> AdditiveFit:
    """Fit the additive model with the least cross-validated error on measured networks.

    Args:
        data: The networks to fit to.
        operators_only: Fit no rows, only the operator model.

    Raises:
        NasctlError: There are fewer than `MIN_NETWORKS` networks.
    """
    if len(data.ms) < MIN_NETWORKS:
        raise NasctlError(f"{len(data.ms)} networks are too few to fit to: {MIN_NETWORKS} are the least; measure more")
    rows, operators = _frequent(data), next(_solutions(data, np.array([], dtype=int), [None]))
    needed = NETWORKS_PER_ROW * (len(rows) + 1)
    if operators_only or not len(rows) or len(data.ms) < needed:
        too_few = f"{len(data.ms):,} networks are too few for {len(rows):,} rows, which need {needed:,}"
        no_rows = f"no block is in {MIN_OCCURRENCES} networks or more"
        reason = "the operator model alone was asked for" if operators_only else too_few if len(rows) else no_rows
        return replace(operators, remark=f"{reason}: every block is priced by its operators")
    candidates: list[float | None] = [None, *STRENGTHS]
    errors = _errors(data, rows, candidates)
    best = errors.mean(axis=1).argmin()
    excess = errors - errors[best]
    tolerance = excess.std(axis=1, ddof=1) / np.sqrt(FOLDS)
    tolerance[0] = max(tolerance[0], MIN_GAIN * errors[0].mean(), NEGLIGIBLE)
    chosen = candidates[int(np.flatnonzero(excess.mean(axis=1) <= tolerance)[0])]
    figures = f"MAPE in {FOLDS} folds {errors[0].mean():.2f}% by operators alone, {errors[best].mean():.2f}% at best"
    if chosen is None:
        return replace(operators, remark=f"rows of their own would bring too little ({figures})")
    (found,) = _solutions(data, rows, [chosen])
    return replace(found, remark=f"{len(rows):,} rows, {chosen:g} towards the operator model ({figures})")


def split_networks(number: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the networks to fit to and of a random share of the networks to hold out."""
    order = np.random.default_rng(seed).permutation(number)
    held = round(number * share)
    return order[held:], order[:held]


def validate_fit(
    table: LatencyTable, inside: MeasuredNetworks, held: MeasuredNetworks, what: str, spaces: Sequence[str]
) -> Validation:
    """Compare predictions of a table with held-out networks; the text adds R2 and the error of MACs alone.

    The baseline is latency = a + b MACs with non-negative a and b and the least squared relative errors.

    Args:
        table: A table fitted to `inside`.
        inside: The networks of the fit, to which the baseline is fitted too.
        held: The held-out networks.
        what: Description of the held-out networks.
        spaces: Normal specs of their search spaces.
    """
    predicted = held.predicted(table)
    baseline = [np.column_stack([np.ones(len(one.ms)), one.macs]) for one in (inside, held)]
    by_macs = evaluate_predictions("", baseline[1] @ fit_nonnegative(baseline[0], inside.ms), held.ms)
    rank = "none" if by_macs.spearman is None else f"{by_macs.spearman:.4f}"
    spread = float(np.sum((held.ms - held.ms.mean()) ** 2))
    r2 = f"R2 {1 - float(np.sum((held.ms - predicted) ** 2)) / spread:.4f}; " if spread else ""
    text = f"{what}; the fit saw {len(inside.ms):,} others; {r2}MACs alone: MAPE {by_macs.mape:.2f}%, Spearman {rank}"
    return evaluate_predictions(text, predicted, held.ms, spaces)


def _frequent(data: MeasuredNetworks) -> np.ndarray:
    """Return the indices of the blocks that get a row."""
    return np.flatnonzero((data.counts > 0).sum(axis=0) >= MIN_OCCURRENCES)


def _errors(data: MeasuredNetworks, rows: np.ndarray, strengths: Sequence[float | None]) -> np.ndarray:
    """Return the mean absolute relative errors of S strengths in each fold, in %, (S, FOLDS)."""
    order = np.random.default_rng(0).permutation(len(data.ms))
    errors = np.zeros((len(strengths), FOLDS))
    table = LatencyTable(device="fold", kind="gpu", batch=1, blocks={})
    for fold in range(FOLDS):
        inside, held = data.part(order[np.arange(len(order)) % FOLDS != fold]), data.part(order[fold::FOLDS])
        for k, found in enumerate(_solutions(inside, rows, strengths)):
            # Operators that only held-out networks have are priced at 0, because they are too rare to matter.
            known = replace(found, operators=dict.fromkeys(_names(held), 0.0) | dict(found.operators))
            errors[k, fold] = 100 * np.abs(held.predicted(known.fill(table)) / held.ms - 1).mean()
    return errors


def _solutions(data: MeasuredNetworks, rows: np.ndarray, strengths: Sequence[float | None]) -> Iterator[AdditiveFit]:
    """Yield the fit with each strength; `rows`, (R,), are the indices of the blocks that get a row."""
    names = _names(data)
    amounts = np.array([[features(one).get(name, 0.0) for name in names] for one in data.emissions])  # (K, P)
    totals = np.column_stack([data.counts @ amounts, np.ones(len(data.ms))])
    coefficients = fit_nonnegative(totals, data.ms)
    modelled = amounts @ coefficients[:-1]  # ms, (K,)
    operators = dict(zip(names, coefficients[:-1].tolist(), strict=True))
    others = np.setdiff1d(np.arange(len(data.emissions)), rows)
    counts = data.counts.tocsc()
    rest = 1 - (counts[:, others] @ modelled[others]) / data.ms
    design = csr_array(np.column_stack([counts[:, rows].toarray(), np.ones(len(data.ms))]) / data.ms[:, None])
    gram, moments = (design.T @ design).toarray(), design.T @ rest
    prior = np.append(modelled[rows], 0.0)
    unit = data.ms.mean() / counts.sum(axis=1).mean()
    for strength in strengths:
        if strength is None:
            yield AdditiveFit(float(coefficients[-1]), operators, {}, None, "")
            continue
        pull = np.append(np.full(len(rows), strength / unit**2), 0.0)  # The overhead has no prior.
        *costs, overhead = minimize_nonnegative(gram + np.diag(pull), moments + pull * prior).tolist()
        blocks = {data.emissions[k].key: ms for k, ms in zip(rows, costs, strict=True)}
        yield AdditiveFit(overhead, operators, blocks, strength, "")


def _names(data: MeasuredNetworks) -> list[str]:
    """Return the names of the features that occur in the networks, sorted."""
    present = np.flatnonzero(data.counts.sum(axis=0))
    return sorted({name for k in present for name in features(data.emissions[k])})
