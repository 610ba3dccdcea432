"""Comparison of a table's predictions with measured networks, and whether searches may rely on the predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast, get_args

import numpy as np
from scipy.stats import spearmanr

from nasctl.api import Genome, MissingBlock, NasctlError, Network, SearchSpace, declared_network, unseen
from nasctl.hardware.fitting.operators import evaluate_predictions, left_out_text
from nasctl.hardware.idle import live_spans
from nasctl.hardware.precision import Precision, known_precision
from nasctl.hardware.profiling.profile import Host, profiled_genomes
from nasctl.hardware.runtimes import runtime_names
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Idle, Validation

MIN_NETWORKS = 2  # networks that a comparison needs
NEAR = 10.0  # %; relative error up to which a prediction counts as near
RANK_SAFE = 0.95  # least Spearman correlation with which a search may rely on the order of predictions
QUANTILE_95 = 1.64  # 95% quantile of the normal distribution, in standard deviations
WORST = 5  # networks with the largest errors that are reported


@dataclass(frozen=True)
class TableComparison:
    """Predictions of a table and measurements of the same networks; latencies are in ms for one batch."""

    held_out: str  # what was measured, and how
    space: str  # normal spec of the search space
    names: tuple[str, ...]  # architecture ids, (N,)
    predicted: np.ndarray  # latencies, (N,)
    measured: np.ndarray  # latencies above 0, (N,)
    macs: np.ndarray  # multiply-accumulates for one example, (N,)
    left_out: int = 0  # further networks, with blocks that the table cannot price
    unpriced: tuple[str, ...] = ()  # emission keys of these blocks

    @cached_property
    def errors(self) -> np.ndarray:
        """Return the relative errors in %, (N,), above 0 where the prediction is too high."""
        return np.asarray(100 * (self.predicted - self.measured) / self.measured)

    @cached_property
    def validation(self) -> Validation:
        """Return the summary that a table stores."""
        return evaluate_predictions(self.held_out, self.predicted, self.measured, [self.space])

    @property
    def near(self) -> float:
        """Return the share of networks, in %, with a relative error of at most `NEAR`."""
        return float(100 * (np.abs(self.errors) <= NEAR).mean())

    @property
    def baseline(self) -> float | None:
        """Return the Spearman correlation of MACs with the measurements, or None if either is constant.

        A table is of use for ranking only if its own correlation is higher.
        """
        varied = np.ptp(self.macs) > 0 and np.ptp(self.measured) > 0
        return round(float(spearmanr(self.macs, self.measured).statistic), 4) if varied else None

    @property
    def rank_safe(self) -> bool:
        """Return whether a search may rely on the order of predictions."""
        return (self.validation.spearman or 0.0) >= RANK_SAFE

    @property
    def margin(self) -> float:
        """Return the margin, in % of the latency, to leave below a limit so that few networks exceed it."""
        return float(max(abs(self.errors.mean()), QUANTILE_95 * self.errors.std(ddof=1)))

    @property
    def constraint_safe(self) -> bool:
        """Return whether predictions are accurate enough for latency limits."""
        return self.margin < NEAR

    def figures(self) -> dict[str, Any]:
        """Return all results for --json."""
        one = self.validation
        sizes = np.abs(self.errors)
        return {
            "space": self.space,
            "held_out": self.held_out,
            "networks": one.number,
            "left_out": self.left_out,
            "unpriced": list(self.unpriced),
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
        """Return the networks with the largest relative errors, the largest first."""
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
        """Return a sentence about the order of predictions and one about their values."""
        correlation = "not known" if self.validation.spearman is None else f"{self.validation.spearman:.4f}"
        order = "rank-safe" if self.rank_safe else "NOT rank-safe"
        first = f"{order}: the Spearman correlation is {correlation}, and {RANK_SAFE} is asked of it"
        if self.constraint_safe:
            kept = int((self.errors >= -self.margin).sum())
            return first, (
                f"constraint-safe: a limit is kept to within {self.margin:.1f}% by {kept} of {len(self.errors)}"
                " networks (a prediction that is too high breaks no limit)"
            )
        return first, f"NOT constraint-safe: latencies may be off by {self.margin:.0f}%, so leave that much to a limit"


def compare(
    table: LatencyTable, space: str, held_out: str, measured: Iterable[tuple[str, Network, float]]
) -> TableComparison:
    """Compare predictions of a table with measured networks, one network at a time.

    Networks with blocks that the table cannot price are left out, counted, and named in the description of the others.

    Args:
        table: The table.
        space: Normal spec of the search space.
        held_out: What was measured, and how.
        measured: Architecture id, network, and measured latency in ms for one batch.

    Raises:
        NasctlError: There are too few networks that the table can price, or a latency is not above 0.
    """
    names: list[str] = []
    rows: list[tuple[float, float, float]] = []
    unpriced: dict[str, None] = {}
    left_out = 0
    for name, network, ms in measured:
        if ms <= 0:
            raise NasctlError(f"the latency of {name} is {ms:g}, which is not above 0; is this the right column?")
        try:
            rows.append((table.latency(network), ms, float(network.macs)))
            names.append(name)
        except MissingBlock:
            left_out += 1
            unpriced |= dict.fromkeys(table.unpriced_keys(network))
    if len(rows) < MIN_NETWORKS and left_out:
        raise NasctlError(
            f"Cannot compare {table.device!r} with these networks: {left_out_text(left_out, list(unpriced))}. "
            "Measure the space with `nasctl device profile`, or choose another device."
        )
    if len(rows) < MIN_NETWORKS:
        raise NasctlError(f"{len(rows)} networks are too few to compare with; give {MIN_NETWORKS} or more")
    predicted, times, macs = np.array(rows).T
    text = f"{held_out}; {left_out_text(left_out, list(unpriced))}" if left_out else held_out
    return TableComparison(text, space, tuple(names), predicted, times, macs, left_out, tuple(unpriced))


def timed_form(space: SearchSpace, genome: Genome, idle: Idle | None) -> Network:
    """Return the network that stands for a timed genome.

    Args:
        space: The search space.
        genome: The genome, as a file has it.
        idle: "count" for the network as it is written, with all operations that the benchmark's own code runs; "ignore"
            for that network without idle blocks, which can be priced but not run, because inputs of its blocks may
            be outputs that were left out; None for the network that nasctl builds, of the canonical genome.
    """
    if idle is None:
        return space.network(space.canonical(genome))
    if idle == "count":
        return declared_network(space, genome)
    network = space.network(genome)
    return replace(network, spans=live_spans(network))


def unprofiled_genomes(space: SearchSpace, number: int, seed: int) -> list[Genome]:
    """Return random canonical genomes of distinct networks that `nasctl device profile` does not measure.

    Raises:
        NasctlError: The space has too few such networks.
    """
    used = set(profiled_genomes(space))
    found = [space.canonical(genome) for genome in unseen(space, np.random.default_rng(seed), number, used)]
    if len(found) < MIN_NETWORKS:
        raise NasctlError("the space has too few networks that `nasctl device profile` does not use; give --csv")
    return found


def matching_host(table: LatencyTable, torch_device: str | None, seconds: float) -> Host:
    """Return this machine with the runtime, precision, threads and batch of the table.

    Args:
        table: The table.
        torch_device: Device of torch; None for the default of the table's kind.
        seconds: Time per network, in seconds.

    Raises:
        NasctlError: nasctl cannot run networks with the runtime or precision of the table.
    """
    runtime = table.runtime.partition(" ")[0]
    if table.kind not in ("cpu", "gpu") or runtime not in runtime_names():
        raise NasctlError(
            f"Cannot measure {table.device!r} here: {_why_not_here(table)}. "
            "Time networks on the device itself, and give them with --csv."
        )
    default = "cuda:0" if table.kind == "gpu" else "cpu"
    known = known_precision(table.precision) or table.precision
    precision = known.partition(",")[0]  # A remark about TF32 may follow; TF32 is the default of torch.
    if precision not in get_args(Precision):
        raise NasctlError(f"{table.device!r} computes in {precision!r}, which nasctl does not; time networks yourself")
    where, threads = torch_device or default, table.threads or 1
    return Host(table.device, runtime, where, threads, table.batch, cast(Precision, precision), seconds)


def _why_not_here(table: LatencyTable) -> str:
    """Return a clause that says why nasctl cannot run networks as they were timed for a table."""
    if table.runtime_text == "runtime not stated":
        return "the source of its table does not state the runtime that was timed"
    if table.kind not in ("cpu", "gpu"):
        return f"it is of the kind {table.kind!r}, and nasctl measures CPUs and GPUs"
    return f"it was timed with {table.runtime_text}, which nasctl does not run"


def host_differences(table: LatencyTable, here: LatencyTable) -> list[str]:
    """Return a clause per difference between the device of a table and this machine.

    Args:
        table: The table.
        here: A table of this machine, without rows.
    """
    facts = (
        ("processor", table.processor, here.processor),
        ("runtime", table.runtime, here.runtime),
        ("precision", table.precision, here.precision),
    )
    return [f"its {fact} is {theirs!r}, and here it is {ours!r}" for fact, theirs, ours in facts if theirs != ours]


def with_validation(table: LatencyTable, found: Validation) -> LatencyTable:
    """Return the table with a validation in first place, instead of an older one of the same networks."""
    others = [one for one in table.validation if (one.held_out, one.spaces) != (found.held_out, found.spaces)]
    return replace(table, validation=(found, *others))
