"""How far a table's predictions are from measurements of other networks, and what it is therefore good for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast, get_args

import numpy as np
from scipy.stats import spearmanr

from nasctl.api import Genome, NasctlError, Network, SearchSpace, unseen
from nasctl.hardware.fitting.operators import accuracy
from nasctl.hardware.profiling.profile import Host, used_genomes
from nasctl.hardware.profiling.runtimes import Precision, Runtime
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Validation

FEWEST = 2  # networks to compare anything with
NEAR = 10.0  # %, within which a prediction counts as near
RANK_SAFE = 0.95  # Spearman, from which on a search may trust the order
SURE = 1.64  # standard deviations that 95 of 100 normal values do not exceed
WORST = 5  # networks that are named


@dataclass(frozen=True)
class TableComparison:
    """Predictions of a table beside measurements of the same networks; latencies in ms for one batch."""

    held_out: str  # what was measured, and how
    space: str  # normal spec
    names: tuple[str, ...]  # ids, (N,)
    predicted: np.ndarray  # (N,)
    measured: np.ndarray  # (N,), above 0
    macs: np.ndarray  # (N,), for one example

    @cached_property
    def errors(self) -> np.ndarray:
        """In % of the measured, above 0 where too much was predicted, (N,)."""
        return np.asarray(100 * (self.predicted - self.measured) / self.measured)

    @cached_property
    def validation(self) -> Validation:
        """What a table keeps of it."""
        return accuracy(self.held_out, self.predicted, self.measured, [self.space])

    @property
    def near(self) -> float:
        """Share of the networks within NEAR of the measured, %."""
        return float(100 * (np.abs(self.errors) <= NEAR).mean())

    @property
    def baseline(self) -> float | None:
        """Spearman of the MACs, which any prediction has to better; None where all are equal."""
        varied = np.ptp(self.macs) > 0 and np.ptp(self.measured) > 0
        return round(float(spearmanr(self.macs, self.measured).statistic), 4) if varied else None

    @property
    def rank_safe(self) -> bool:
        """Whether the order of predictions may be trusted."""
        return (self.validation.spearman or 0.0) >= RANK_SAFE

    @property
    def margin(self) -> float:
        """What to leave below a limit so that a network seldom breaks it, % of the latency."""
        return float(max(abs(self.errors.mean()), SURE * self.errors.std(ddof=1)))

    @property
    def constraint_safe(self) -> bool:
        """Whether limits may be taken at their word."""
        return self.margin < NEAR

    def figures(self) -> dict[str, Any]:
        """All of it as numbers, for programs."""
        one = self.validation
        sizes = np.abs(self.errors)
        return {
            "space": self.space,
            "held_out": self.held_out,
            "networks": one.number,
            "mape": one.mape,
            "median": round(float(np.median(sizes)), 3),
            "largest": round(float(sizes.max()), 3),
            "bias": one.bias,
            "near": round(self.near, 1),
            "spearman": one.spearman,
            "kendall": one.kendall,
            "spearman_of_macs": self.baseline,
            "rank_safe": self.rank_safe,
            "constraint_safe": self.constraint_safe,
            "margin": round(self.margin, 2),
            "worst": self.worst(),
        }

    def worst(self) -> list[dict[str, Any]]:
        """The networks that are furthest off."""
        return [
            {
                "id": self.names[k],
                "predicted": round(float(self.predicted[k]), 6),
                "measured": float(self.measured[k]),
                "error": round(float(self.errors[k]), 2),
            }
            for k in np.argsort(-np.abs(self.errors), kind="stable")[:WORST].tolist()
        ]

    def verdict(self) -> tuple[str, str]:
        """What the order and the values of predictions are good for, a sentence each."""
        found = "not known" if self.validation.spearman is None else f"{self.validation.spearman:.4f}"
        order = "rank-safe" if self.rank_safe else "NOT rank-safe"
        first = f"{order}: the Spearman correlation is {found}, and {RANK_SAFE} is asked of it"
        if self.constraint_safe:
            return first, f"constraint-safe: a limit is kept to within {self.margin:.1f}%"
        return first, f"NOT constraint-safe: latencies may be off by {self.margin:.0f}%, so leave that much to a limit"


def compared(
    table: LatencyTable, space: str, held_out: str, measured: Iterable[tuple[str, Network, float]]
) -> TableComparison:
    """Compare a table with the id, the network and the ms of what was measured, one network at a time.

    Raises:
        MissingBlock: The table cannot predict one of them.
        NasctlError: There are too few, or a latency is not above 0.
    """
    names: list[str] = []
    rows: list[tuple[float, float, float]] = []
    for name, network, ms in measured:
        if ms <= 0:
            raise NasctlError(f"the latency of {name} is {ms:g}, which is not above 0; is this the right column?")
        names.append(name)
        rows.append((table.latency(network), ms, float(network.macs)))
    if len(rows) < FEWEST:
        raise NasctlError(f"{len(rows)} networks are too few to compare with; give {FEWEST} or more")
    predicted, times, macs = np.array(rows).T
    return TableComparison(held_out, space, tuple(names), predicted, times, macs)


def fresh(space: SearchSpace, number: int, seed: int) -> list[Genome]:
    """Random genomes, each network once, without those that `nasctl device profile` has measured.

    Raises:
        NasctlError: The space has too few others.
    """
    used = set(used_genomes(space))
    found = [space.canonical(genome) for genome in unseen(space, np.random.default_rng(seed), number, used)]
    if len(found) < FEWEST:
        raise NasctlError("the space has too few networks that `nasctl device profile` does not use; give --csv")
    return found


def host_of(table: LatencyTable, torch_device: str | None, seconds: float) -> Host:
    """This machine, set as the table says its device was.

    Raises:
        NasctlError: nasctl cannot run networks as on the table's device.
    """
    runtime = table.runtime.partition(" ")[0]
    if table.kind not in ("cpu", "gpu") or runtime not in get_args(Runtime):
        raise NasctlError(
            f"{table.device!r} was timed with {table.runtime or 'a runtime that nobody noted'}, which nasctl does not "
            "run; time networks on the device itself and give them with --csv"
        )
    usual = "cuda:0" if table.kind == "gpu" else "cpu"
    precision = table.precision.partition(",")[0]  # what it may say of TF32 is torch's default
    if precision not in get_args(Precision):
        raise NasctlError(f"{table.device!r} computes in {precision!r}, which nasctl does not; time networks yourself")
    where, threads = torch_device or usual, table.threads or 1
    return Host(table.device, cast(Runtime, runtime), where, threads, table.batch, cast(Precision, precision), seconds)


def differences(table: LatencyTable, here: LatencyTable) -> list[str]:
    """In what this machine, as an empty table of it says, is another than the table's device."""
    pairs = [(field, getattr(table, field), getattr(here, field)) for field in ("processor", "runtime", "precision")]
    return [f"its {field} is {theirs!r}, and here it is {ours!r}" for field, theirs, ours in pairs if theirs != ours]


def with_validation(table: LatencyTable, found: Validation) -> LatencyTable:
    """The table with a validation before all others, in place of an older one of the same."""
    others = [one for one in table.validation if (one.held_out, one.spaces) != (found.held_out, found.spaces)]
    return replace(table, validation=(found, *others))
