"""A latency table from end-to-end measurements of whole networks: a sum over blocks, fitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import nnls
from scipy.sparse import csr_array

from nasctl.api import Emission, NasctlError, Network
from nasctl.hardware.fitting.operators import accuracy, nonnegative
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Method, Row, Validation

LEAST = 30  # networks to fit anything from
SEEN = 20  # networks with a block, below which the operator model stands in for it
PER_ROW = 2  # networks for each row and the overhead, below which the operator model stands in for all blocks
STRENGTHS = (3.0, 0.3, 0.03, 3e-3, 3e-4, 3e-5, 3e-6)  # of the pull towards the operator model; the strongest first
WORTH = 0.1  # of the error of the operator model, that rows have to save
NEGLIGIBLE = 0.01  # % of latency
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """Whole networks as counts of their distinct blocks, and the time of each."""

    emissions: tuple[Emission, ...]  # (K,)
    counts: csr_array  # (N, K)
    ms: np.ndarray  # (N,), above 0

    @classmethod
    def of(cls, networks: Iterable[Network], ms: np.ndarray) -> Measured:
        """Count the blocks of networks, (N,), one network at a time."""
        places: dict[Emission, int] = {}
        columns: list[int] = []
        ends = [0]
        for network in networks:
            columns += [places.setdefault(span.emission, len(places)) for span in network.spans]
            ends.append(len(columns))
        counts = csr_array((np.ones(len(columns)), columns, ends), shape=(len(ms), len(places)))
        counts.sum_duplicates()
        return cls(tuple(places), counts, ms)

    def part(self, chosen: np.ndarray) -> Measured:
        """The networks at some places, or where a mask is true."""
        return replace(self, counts=self.counts[chosen], ms=self.ms[chosen])

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates for one example, (N,)."""
        found: np.ndarray = self.counts @ np.array([float(one.macs) for one in self.emissions])
        return found

    def predicted(self, table: LatencyTable) -> np.ndarray:
        """`table.latency` of each network: ms, (N,).

        Raises:
            MissingBlock: The table knows nothing of a block that one of the networks has.
        """
        present = np.flatnonzero(self.counts.sum(axis=0))
        figures = np.zeros(len(self.emissions))
        figures[present] = [table.block(self.emissions[k]).ms for k in present]
        found: np.ndarray = self.counts @ figures + table.overhead
        return found


@dataclass(frozen=True, slots=True)
class Additive:
    """What a latency is the sum of: the figures of the blocks that have one, of the operators of all others, and more.

    Each distinct block is one unknown, however many layers have it; with the overhead, an amount of its own that every
    network has, the latency of a network is linear in how often it has each. The sum of squared relative errors is
    least under two conditions. No figure is negative. And the squared distance of each figure from what the operator
    model says of that block, in units of a network's mean latency for a block, is charged with a `strength`: where the
    data says little, as of blocks that always come together, the operator model decides. Its own coefficients are
    fitted first, by `fit.nonnegative`, to the same networks.

    The strength is the greatest of STRENGTHS whose error in cross-validation is within one standard error of the best.
    The operator model alone counts as the greatest of all; it is also preferred where rows would save less than WORTH
    of its error, or a NEGLIGIBLE amount: without rows a table is small, and monotone. Whole networks determine what
    alternatives cost up to a constant for each choice; where that goes too is for the operator model to say.

    References:
        Additive latency: Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, section 3.3.
        Ridge regression: Hoerl & Kennard, Technometrics 12(1), 1970, equation 2.1, with a prior in place of 0.
        One standard error: Breiman et al., "Classification and regression trees", 1984, section 3.4.3; here of the
        difference to the best over the same folds, which is what is to be told from 0.
    """

    overhead: float  # ms
    operators: Mapping[str, float]
    blocks: Mapping[str, float]  # ms by key
    strength: float | None  # None: the operator model alone
    remark: str  # why so, for people

    def fill(self, table: LatencyTable) -> LatencyTable:
        """The table with these figures."""
        rows = {key: Row(ms) for key, ms in sorted(self.blocks.items())}
        method: Method = "fitted" if rows else "modelled"
        return replace(table, method=method, overhead=self.overhead, operators=self.operators, blocks=rows)


def fit(data: Measured, operators_only: bool = False) -> Additive:
    """The additive model of least error in cross-validation inside these networks.

    Raises:
        NasctlError: There are too few of them.
    """
    if len(data.ms) < LEAST:
        raise NasctlError(f"{len(data.ms)} networks are too few to fit to: {LEAST} are the least; measure more")
    rows, operators = _frequent(data), next(_solutions(data, np.array([], dtype=int), [None]))
    needed = PER_ROW * (len(rows) + 1)
    if operators_only or not len(rows) or len(data.ms) < needed:
        few = f"{len(data.ms):,} networks are too few for {len(rows):,} rows, which need {needed:,}"
        none = f"no block is in {SEEN} networks or more"
        reason = "the operator model alone was asked for" if operators_only else few if len(rows) else none
        return replace(operators, remark=f"{reason}: every block is priced by its operators")
    candidates: list[float | None] = [None, *STRENGTHS]
    errors = _errors(data, rows, candidates)
    best = errors.mean(axis=1).argmin()
    worse = errors - errors[best]
    doubt = worse.std(axis=1, ddof=1) / np.sqrt(FOLDS)
    doubt[0] = max(doubt[0], WORTH * errors[0].mean(), NEGLIGIBLE)
    chosen = candidates[int(np.flatnonzero(worse.mean(axis=1) <= doubt)[0])]
    figures = f"MAPE in {FOLDS} folds {errors[0].mean():.2f}% by operators alone, {errors[best].mean():.2f}% at best"
    if chosen is None:
        return replace(operators, remark=f"rows of their own would bring too little ({figures})")
    (found,) = _solutions(data, rows, [chosen])
    return replace(found, remark=f"{len(rows):,} rows, {chosen:g} towards the operator model ({figures})")


def split(number: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of those to fit to and of those that are held out: a random share of a number of networks."""
    order = np.random.default_rng(seed).permutation(number)
    held = round(number * share)
    return order[held:], order[:held]


def check(table: LatencyTable, inside: Measured, held: Measured, what: str, spaces: Sequence[str]) -> Validation:
    """How well a table predicts the networks held out, beside R2 and what MACs alone predict.

    Args:
        table: Fitted to `inside`.
        inside: What MACs are fitted to, as latency = a + b MACs, with least squared relative errors.
        held: Predicted.
        what: Which networks these are.
        spaces: Their normal specs.
    """
    predicted = held.predicted(table)
    baseline = [np.column_stack([np.ones(len(one.ms)), one.macs]) for one in (inside, held)]
    by_macs = accuracy("", baseline[1] @ nonnegative(baseline[0], inside.ms), held.ms)
    rank = "none" if by_macs.spearman is None else f"{by_macs.spearman:.4f}"
    spread = float(np.sum((held.ms - held.ms.mean()) ** 2))
    r2 = f"R2 {1 - float(np.sum((held.ms - predicted) ** 2)) / spread:.4f}; " if spread else ""
    text = f"{what}; the fit saw {len(inside.ms):,} others; {r2}MACs alone: MAPE {by_macs.mape:.2f}%, Spearman {rank}"
    return accuracy(text, predicted, held.ms, spaces)


def _frequent(data: Measured) -> np.ndarray:
    """Places of the blocks that get a row."""
    return np.flatnonzero((data.counts > 0).sum(axis=0) >= SEEN)


def _errors(data: Measured, rows: np.ndarray, strengths: Sequence[float | None]) -> np.ndarray:
    """Mean absolute errors in cross-validation, %: (S, FOLDS)."""
    order = np.random.default_rng(0).permutation(len(data.ms))
    errors = np.zeros((len(strengths), FOLDS))
    table = LatencyTable(device="fold", kind="gpu", batch=1, blocks={})
    for fold in range(FOLDS):
        inside, held = data.part(order[np.arange(len(order)) % FOLDS != fold]), data.part(order[fold::FOLDS])
        for k, found in enumerate(_solutions(inside, rows, strengths)):
            # An operator that only the held-out networks have costs nothing here: too rare to matter.
            known = replace(found, operators=dict.fromkeys(_names(held), 0.0) | dict(found.operators))
            errors[k, fold] = 100 * np.abs(held.predicted(known.fill(table)) / held.ms - 1).mean()
    return errors


def _solutions(data: Measured, rows: np.ndarray, strengths: Sequence[float | None]) -> Iterator[Additive]:
    """The fit with every strength; `rows`, (R,), are places of the blocks that get a figure of their own."""
    names = _names(data)
    amounts = np.array([[features(one).get(name, 0.0) for name in names] for one in data.emissions])  # (K, P)
    totals = np.column_stack([data.counts @ amounts, np.ones(len(data.ms))])
    coefficients = nonnegative(totals, data.ms)
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
            yield Additive(float(coefficients[-1]), operators, {}, None, "")
            continue
        pull = np.append(np.full(len(rows), strength / unit**2), 0.0)  # the overhead is pulled nowhere
        figures = _least(gram + np.diag(pull), moments + pull * prior)
        blocks = {data.emissions[k].key: ms for k, ms in zip(rows, figures[:-1], strict=True)}
        yield Additive(figures[-1], operators, blocks, strength, "")


def _names(data: Measured) -> list[str]:
    """The amounts of operators that occur."""
    present = np.flatnonzero(data.counts.sum(axis=0))
    return sorted({name for k in present for name in features(data.emissions[k])})


def _least(gram: np.ndarray, moments: np.ndarray) -> list[float]:
    """The x without a negative entry of least x'Gx / 2 - m'x, (P,), from G, (P, P) and definite, and m, (P,)."""
    upper = cholesky(gram)
    solution = cho_solve((upper, False), moments)
    if solution.min() < 0:  # |Ux - b|^2 with U'b = m is the same function of x, up to a factor and a constant
        solution, _ = nnls(upper, solve_triangular(upper, moments, trans=1))
    return [float(f"{value:.6g}") for value in solution]
