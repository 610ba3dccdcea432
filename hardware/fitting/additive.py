"""Fit of an additive latency table, a sum over blocks, to end-to-end latencies of whole networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import csr_array

from nasctl.api import Emission, MissingBlock, NasctlError, Network
from nasctl.hardware.fitting.nonnegative import fit_nonnegative, minimize_nonnegative
from nasctl.hardware.fitting.operators import evaluate_predictions, left_out_text
from nasctl.hardware.idle import live_spans
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Idle, Method, Row, Validation

MIN_NETWORKS = 30  # networks that a fit needs
MIN_OCCURRENCES = 20  # networks that must have a block for the block to get a row; else the operator model prices it
NETWORKS_PER_ROW = 2  # networks needed per row and for the overhead; else the operator model prices all blocks
# Regularisation strengths that are tried, the strongest first: the pull of rows towards the operator model.
STRENGTHS = (3.0, 0.3, 0.03, 3e-3, 3e-4, 3e-5, 3e-6)
MIN_GAIN = 0.1  # share of the operator model's error that rows must save to be used
NEGLIGIBLE = 0.01  # % of the latency; rows that save no more error are not used
FOLDS = 5  # of cross-validation
MIN_HELD_OUT = 2  # held-out networks that an error needs


@dataclass(frozen=True, slots=True)
class MeasuredNetworks:
    """Whole networks as counts of their distinct blocks, and their latencies."""

    emissions: tuple[Emission, ...]  # the blocks, (K,)
    counts: csr_array  # occurrences of each block in each network, (N, K)
    ms: np.ndarray  # measured latencies, (N,), above 0
    places: tuple[str, ...] = ()  # place of each block, (K,); empty if a block is the same block at every place
    groups: np.ndarray | None = None  # number of each network's group, (N,); a group is held out together

    @classmethod
    def of(
        cls,
        networks: Iterable[Network],
        ms: np.ndarray,
        groups: np.ndarray | None = None,
        by_place: bool = False,
        idle: Idle = "count",
    ) -> MeasuredNetworks:
        """Count the blocks of N networks, one network at a time.

        Args:
            networks: The networks, (N,).
            ms: Their latencies in ms, (N,).
            groups: Number of each network's group, (N,); each network is a group of its own if left out.
            by_place: Count a block at each of its places for itself.
            idle: "ignore" leaves idle blocks out.
        """
        columns_of: dict[tuple[str, str], int] = {}  # by place and key, whose hashes are cached, unlike a block's
        emissions: list[Emission] = []
        columns: list[int] = []
        ends = [0]
        for network in networks:
            spans = network.spans if idle == "count" else live_spans(network)
            for span in spans:
                column = columns_of.setdefault((span.name if by_place else "", span.emission.key), len(emissions))
                if column == len(emissions):
                    emissions.append(span.emission)
                columns.append(column)
            ends.append(len(columns))
        counts = csr_array((np.ones(len(columns)), columns, ends), shape=(len(ms), len(columns_of)))
        counts.sum_duplicates()
        places = tuple(name for name, _ in columns_of) if by_place else ()
        return cls(tuple(emissions), counts, ms, places, groups)

    def part(self, chosen: np.ndarray) -> MeasuredNetworks:
        """Return the networks at the given indices, or where a mask is true."""
        groups = None if self.groups is None else self.groups[chosen]
        return replace(self, counts=self.counts[chosen], ms=self.ms[chosen], groups=groups)

    def renamed(self, places: Sequence[str]) -> MeasuredNetworks:
        """Return the networks with other places of their blocks; counts of one block at one place are added.

        Args:
            places: New place of each block, (K,).
        """
        merged: dict[tuple[str, Emission], int] = {}
        columns = [merged.setdefault(one, len(merged)) for one in zip(places, self.emissions, strict=True)]
        size = (len(columns), len(merged))
        counts = csr_array(self.counts @ csr_array((np.ones(len(columns)), (range(len(columns)), columns)), shape=size))
        return replace(
            self, emissions=tuple(one for _, one in merged), counts=counts, places=tuple(name for name, _ in merged)
        )

    @property
    def by_operation(self) -> MeasuredNetworks:
        """Return the networks with a block counted as the same block at every place."""
        return replace(self.renamed([""] * len(self.emissions)), places=()) if self.places else self

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
        if not table.places and self.places:
            return self.by_operation.predicted(table)
        present = np.flatnonzero(self.counts.sum(axis=0))
        names = self.places or ("",) * len(self.emissions)
        figures = np.zeros(len(self.emissions))
        figures[present] = [table.block(self.emissions[k], names[k]).ms for k in present]
        found: np.ndarray = self.counts @ figures + table.overhead
        return found

    def priceable(self, table: LatencyTable) -> tuple[np.ndarray, list[str]]:
        """Return a mask of the networks that a table can price, (N,), and the keys of the blocks that it cannot."""
        missing = np.zeros(len(self.emissions), dtype=bool)
        for k in np.flatnonzero(self.counts.sum(axis=0)):
            try:
                table.block(self.emissions[k])
            except MissingBlock:
                missing[k] = True
        keys = dict.fromkeys(self.emissions[k].key for k in np.flatnonzero(missing))
        return np.asarray(self.counts @ missing.astype(float) == 0), list(keys)


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
    places: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # rows of places: ms by place and then key
    error: float | None = None  # MAPE in cross-validation, %; None if it was not needed
    place_remark: str = ""  # the reason for or against rows of places, for users

    def fill(self, table: LatencyTable) -> LatencyTable:
        """Return the table with the rows, operator model and overhead of this fit."""
        rows = {key: Row(ms) for key, ms in sorted(self.blocks.items())}
        places = {
            place: {key: Row(ms) for key, ms in sorted(costs.items())} for place, costs in sorted(self.places.items())
        }
        method: Method = "fitted" if rows or places else "modelled"
        filled = replace(table, method=method, overhead=self.overhead, operators=self.operators, blocks=rows)
        return replace(filled, places=places)


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
    data = data.by_operation
    rows, operators = frequent_blocks(data), next(solutions(data, np.array([], dtype=int), [None]))
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
    place = int(np.flatnonzero(excess.mean(axis=1) <= tolerance)[0])
    chosen, error = candidates[place], float(errors[place].mean())
    figures = f"MAPE in {FOLDS} folds {errors[0].mean():.2f}% by operators alone, {errors[best].mean():.2f}% at best"
    if chosen is None:
        return replace(operators, error=error, remark=f"rows per operation would bring too little ({figures})")
    (found,) = solutions(data, rows, [chosen])
    return replace(found, error=error, remark=f"{len(rows):,} rows, {chosen:g} towards the operator model ({figures})")


def split_networks(number: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the networks to fit to and of a random share of the networks to hold out."""
    order = np.random.default_rng(seed).permutation(number)
    held = round(number * share)
    return order[held:], order[:held]


def split_groups(groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the networks to fit to and to hold out, without dividing a group.

    Args:
        groups: Number of each network's group, (N,), from 0 to G - 1.
        share: Share of the groups to hold out.
        seed: Seed of the random choice.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(int(groups.max()) + 2))
    parts = split_networks(len(starts) - 1, share, seed)
    inside, held = (np.concatenate([order[starts[k] : starts[k + 1]] for k in part]) for part in parts)
    return inside, held


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

    Raises:
        NasctlError: The table cannot price enough of the held-out networks.
    """
    priced, unpriced = held.priceable(table)
    if unpriced and priced.sum() < MIN_HELD_OUT:
        raise NasctlError(f"the fit saw no network with the operators of {unpriced[0]}; measure more networks")
    left_out = left_out_text(int((~priced).sum()), unpriced)
    held = held.part(priced) if unpriced else held
    predicted = held.predicted(table)
    baseline = [np.column_stack([np.ones(len(one.ms)), one.macs]) for one in (inside, held)]
    by_macs = evaluate_predictions("", baseline[1] @ fit_nonnegative(baseline[0], inside.ms), held.ms)
    rank = "none" if by_macs.spearman is None else f"{by_macs.spearman:.4f}"
    spread = float(np.sum((held.ms - held.ms.mean()) ** 2))
    r2 = f"R2 {1 - float(np.sum((held.ms - predicted) ** 2)) / spread:.4f}; " if spread else ""
    text = f"{what}; the fit saw {len(inside.ms):,} others; {r2}MACs alone: MAPE {by_macs.mape:.2f}%, Spearman {rank}"
    text += f"; {left_out}" if left_out else ""
    return evaluate_predictions(text, predicted, held.ms, spaces)


def frequent_blocks(data: MeasuredNetworks) -> np.ndarray:
    """Return the indices of the blocks that get a row."""
    return np.flatnonzero((data.counts > 0).sum(axis=0) >= MIN_OCCURRENCES)


def folds(data: MeasuredNetworks) -> Iterator[tuple[MeasuredNetworks, MeasuredNetworks]]:
    """Yield the networks inside and outside of each fold of cross-validation; a group is never divided."""
    groups = np.arange(len(data.ms)) if data.groups is None else np.unique(data.groups, return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(int(groups.max()) + 1)
    fold_of = np.empty_like(order)
    fold_of[order] = np.arange(len(order)) % FOLDS
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    sequence = np.argsort(rank[groups], kind="stable")  # networks in the random order of their groups
    place = fold_of[groups[sequence]]
    for fold in range(FOLDS):
        yield data.part(sequence[place != fold]), data.part(sequence[place == fold])


def fold_error(found: AdditiveFit, held: MeasuredNetworks) -> float:
    """Return the mean absolute relative error of a fit on held-out networks, in %.

    Operators that only held-out networks have are priced at 0, because they are too rare to matter.
    """
    known = replace(found, operators=dict.fromkeys(_names(held), 0.0) | dict(found.operators))
    table = known.fill(LatencyTable(device="fold", kind="gpu", batch=1, blocks={}))
    return float(100 * np.abs(held.predicted(table) / held.ms - 1).mean())


def _errors(data: MeasuredNetworks, rows: np.ndarray, strengths: Sequence[float | None]) -> np.ndarray:
    """Return the mean absolute relative errors of S strengths in each fold, in %, (S, FOLDS)."""
    found = [[fold_error(one, held) for one in solutions(inside, rows, strengths)] for inside, held in folds(data)]
    return np.array(found).T


def solutions(data: MeasuredNetworks, rows: np.ndarray, strengths: Sequence[float | None]) -> Iterator[AdditiveFit]:
    """Yield the fit with each strength; `rows`, (R,), are the indices of the blocks that get a row."""
    names = _names(data)
    amounts = np.array([[features(one).get(name, 0.0) for name in names] for one in data.emissions])  # (K, P)
    totals = np.column_stack([data.counts @ amounts, np.ones(len(data.ms))])
    coefficients = fit_nonnegative(totals, data.ms)
    modelled = amounts @ coefficients[:-1]  # ms, (K,)
    operators = dict(zip(names, coefficients[:-1].tolist(), strict=True))
    ridge = Ridge.of(data, rows, modelled)
    for strength in strengths:
        if strength is None:
            yield AdditiveFit(float(coefficients[-1]), operators, {}, None, "")
            continue
        costs, overhead = ridge.solve(strength)
        blocks = {data.emissions[k].key: ms for k, ms in zip(rows, costs, strict=True)}
        yield AdditiveFit(overhead, operators, blocks, strength, "")


@dataclass(frozen=True, slots=True)
class Ridge:
    """Normal equations of rows and overhead, for the least sum of squared relative errors and a ridge penalty."""

    gram: np.ndarray  # (R + 1, R + 1)
    moments: np.ndarray  # (R + 1,)
    prior: np.ndarray  # ms, (R + 1,): costs that the penalty pulls the rows towards
    unit: float  # ms: mean latency per block

    @classmethod
    def of(cls, data: MeasuredNetworks, rows: np.ndarray, prices: np.ndarray) -> Ridge:
        """Set up the equations.

        Args:
            data: The networks.
            rows: Indices of the blocks that get a row, (R,).
            prices: Latencies of all blocks by a simpler model, in ms, (K,): the prior of rows, and the fixed price of
                all other blocks.
        """
        others = np.setdiff1d(np.arange(len(data.emissions)), rows)
        counts = data.counts.tocsc()
        rest = 1 - (counts[:, others] @ prices[others]) / data.ms
        design = csr_array(np.column_stack([counts[:, rows].toarray(), np.ones(len(data.ms))]) / data.ms[:, None])
        unit = float(data.ms.mean() / counts.sum(axis=1).mean())
        return cls((design.T @ design).toarray(), design.T @ rest, np.append(prices[rows], 0.0), unit)

    def solve(self, strength: float) -> tuple[list[float], float]:
        """Return the costs of the rows, (R,), and the overhead, in ms."""
        # The overhead has no prior.
        pull = np.append(np.full(len(self.prior) - 1, strength / self.unit**2), 0.0)
        *costs, overhead = minimize_nonnegative(self.gram + np.diag(pull), self.moments + pull * self.prior).tolist()
        return costs, overhead


def _names(data: MeasuredNetworks) -> list[str]:
    """Return the names of the features that occur in the networks, sorted."""
    present = np.flatnonzero(data.counts.sum(axis=0))
    return sorted({name for k in present for name in features(data.emissions[k])})
