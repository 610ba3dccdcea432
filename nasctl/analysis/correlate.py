"""Rank correlation of metrics with known values of architectures, beside the correlation of model sizes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nasctl.analysis.aggregate import Score, orient
from nasctl.analysis.rank_correlation import Agreement, Estimate, agreement
from nasctl.analysis.score import Scored
from nasctl.analysis.timing import median_seconds
from nasctl.architectures.known_values import read_columns
from nasctl.candidates.objective import Objective, closed_form
from nasctl.errors import NasctlError
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome

STRONG = 0.4  # absolute rho of a size, from which a column of the other direction is suspected
BASELINES = ("params", "macs")  # sizes that order networks by their results on nearly every task
REVERSED = (
    "by {column} smaller networks are better, and most metrics say the opposite; check its direction: with"
    " --lower-is-better lower values are better, without it higher ones"
)


@dataclass(frozen=True)
class KnownSample:
    """A sample of architectures with known values.

    Args:
        genomes: Genomes as the table has them, N of them.
        columns: Known values by column, (N,) each.
    """

    genomes: list[Genome]
    columns: Mapping[str, np.ndarray]


def sample_known_values(path: Path, space: str, columns: Sequence[str], sample: int, seed: int) -> KnownSample:
    """Return a random sample of the architectures that have a value in every column.

    Args:
        path: Table of known values.
        space: Spec of the space.
        columns: Names of the columns; without any, the only column of numbers.
        sample: Maximum number of architectures.
        seed: Seed of the sample.

    Raises:
        NasctlError: The table cannot be read (see `nasctl.architectures.known_values.read`), or no architecture has a
            value in every column.
    """
    wanted: Sequence[str | None] = columns or [None]
    tables = read_columns(path, space, wanted)
    shared = sorted(set.intersection(*(set(table.values) for table in tables)))
    if not shared:
        raise NasctlError(
            f"no architecture of {path} has a value in each of {', '.join(columns)}; give one column at a time"
        )
    drawn = np.random.default_rng(seed).permutation(len(shared))[:sample]
    genomes = [shared[k] for k in sorted(drawn)]
    return KnownSample(genomes, {table.column: np.array([table.values[g] for g in genomes]) for table in tables})


def parse_scores(task: Task, texts: Sequence[str]) -> list[Score]:
    """Parse the requested aggregations.

    Raises:
        NasctlError: There is no such method, or a metric is not measured.
    """
    return [Score.parse(text, list(task.metrics)) for text in texts]


@dataclass(frozen=True)
class MetricResult:
    """The agreement of one metric or aggregation with one column of known values."""

    name: str
    agreement: Agreement
    seconds: float | None  # median per architecture, as the store has it; None for an aggregation
    size: bool  # True for a cost that is arithmetic on the network, such as its parameters


@dataclass(frozen=True)
class CorrelationTable:
    """Results of all metrics by column of known values, in descending order of Kendall's tau."""

    columns: Mapping[str, list[MetricResult]]

    def tables(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Yield each column with its rows for display."""
        for column, lines in self.columns.items():
            yield column, [_row(line) for line in lines]

    def warnings(self) -> Iterator[str]:
        """Yield warnings for each column: metrics and scores that do not beat the best size, and failed networks."""
        for column, lines in self.columns.items():
            rho = {line.name: line.agreement.spearman.value for line in lines if line.agreement.spearman}
            sizes = {line.name for line in lines if line.size}
            if looks_reversed(rho, sizes):
                yield f"Warning: {REVERSED.format(column=column)}"
            yield from _failure_warnings(column, lines)
            best = max((line for line in lines if line.size), key=_kendall, default=None)
            if best is None or best.agreement.kendall is None:
                continue
            if beaten := [line.name for line in lines if not line.size and _kendall(line) <= _kendall(best)]:
                yield f"Warning: on {column} these do not beat {best.name}, which is free: {', '.join(beaten)}"

    def report(self) -> dict[str, object]:
        """Return the results as JSON has them."""
        return {
            column: [{"metric": line.name, "seconds": line.seconds, **_json(line.agreement)} for line in lines]
            for column, lines in self.columns.items()
        }


def correlate_metrics(
    task: Task,
    aggregations: Sequence[Score],
    known: KnownSample,
    rows: Mapping[Genome, Scored],
    lower_is_better: bool,
    seed: int,
) -> CorrelationTable:
    """Compare every metric and every aggregation with every column of known values.

    Args:
        task: Space and metrics.
        aggregations: Aggregations of the metrics.
        known: Architectures with known values.
        rows: Scores by canonical genome.
        lower_is_better: True if lower known values are better.
        seed: Seed of the bootstrap.
    """
    values = oriented_columns(task, known, rows)
    seconds = {name: median_seconds(list(rows.values()), name) for name in task.metrics}
    candidates = values | {str(score): score.of(values) for score in aggregations}
    columns = {}
    for column, truth in known.columns.items():
        lines = [
            MetricResult(
                name,
                agreement(scored, orient(truth, "min" if lower_is_better else "max"), seed),
                seconds.get(name),
                name in task.metrics and is_size(task.metrics[name]),
            )
            for name, scored in candidates.items()
        ]
        columns[column] = sorted(lines, key=_kendall, reverse=True)
    return CorrelationTable(columns)


def oriented_columns(task: Task, known: KnownSample, rows: Mapping[Genome, Scored]) -> dict[str, np.ndarray]:
    """Return the values of every metric for known architectures, (N,) each, in which higher is better.

    Args:
        task: Space and metrics.
        known: Architectures with known values, N of them.
        rows: Scores by canonical genome.
    """
    found = [rows[task.space.canonical(genome)] for genome in known.genomes]
    return {
        name: oriented_values(metric, [row.evaluation.values.get(name, np.nan) for row in found])
        for name, metric in task.metrics.items()
    }


def oriented_values(metric: Objective, values: Sequence[float]) -> np.ndarray:
    """Return values of a metric, (N,), in which higher is better. Of a size, larger counts as better."""
    return orient(np.array(values, dtype=float), "max" if is_size(metric) else metric.direction)


def looks_reversed(rho: Mapping[str, float], sizes: Container[str]) -> bool:
    """Return whether known values seem to be taken in the wrong direction, such as losses as if they were accuracies.

    Parameters and MACs are then strongly against the values, and most metrics are against them too. Where neither size
    orders the networks, most metrics have to be strongly against them.

    Args:
        rho: Spearman's rho by metric with the known values, of a size in the direction of larger ones.
        sizes: Names of all sizes.
    """
    baselines = [rho[name] for name in BASELINES if name in rho]
    metrics = [one for name, one in rho.items() if name not in sizes]
    bar = 0 if baselines else -STRONG
    against = sum(one < bar for one in metrics) > len(metrics) / 2 or (not metrics and bool(baselines))
    return against and all(one <= -STRONG for one in baselines)


def is_size(metric: Objective) -> bool:
    """Return whether a metric is a cost that is arithmetic on the network, such as its parameters."""
    return closed_form(metric) and metric.direction == "min"


def _failure_warnings(column: str, lines: Sequence[MetricResult]) -> Iterator[str]:
    """Yield one warning for all metrics that failed on as many networks, since a network often fails many metrics."""
    groups: dict[tuple[int, int], list[str]] = {}
    for line in lines:
        one = line.agreement
        if one.failed and line.seconds is not None and one.spearman is not None:
            rest = "-" if one.without_failed is None else f"{one.without_failed:.3f}"
            said = f"{line.name} {one.spearman.value:.3f} with them, {rest} without"
            groups.setdefault((one.failed, one.n), []).append(said)
    for (failed, count), said_of in groups.items():
        yield (
            f"Warning: on {column} metrics failed on {failed} of {count} networks, which count as worst; Spearman of "
            + "; ".join(said_of)
        )


def _kendall(line: MetricResult) -> float:
    """Return Kendall's tau, or minus infinity where there is none, for sorting."""
    return line.agreement.kendall.value if line.agreement.kendall else -np.inf


def _row(line: MetricResult) -> list[str]:
    """Return the cells of a result for display."""
    found = line.agreement
    cells = [_cell(found.spearman), _cell(found.kendall), _cell(found.top)]
    return [line.name, *cells, str(found.failed), "-" if line.seconds is None else f"{line.seconds:.4f}"]


def _cell(estimate: Estimate | None) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]" if estimate else "-"


def _json(found: Agreement) -> dict[str, object]:
    """Return an agreement as JSON has it."""
    estimates = {"spearman": found.spearman, "kendall": found.kendall, "top": found.top}
    plain = {key: estimate._asdict() if estimate else None for key, estimate in estimates.items()}
    return {**plain, "n": found.n, "failed": found.failed, "spearman_without_failed": found.without_failed}
