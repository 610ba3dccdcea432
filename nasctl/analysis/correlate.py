"""What metrics are worth on a space: how their order of candidates agrees with a known one, beside that of sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Facts:
    """What is known of some architectures.

    Args:
        genomes: As the table has them, N of them.
        columns: Values by name of the column, (N,) each.
    """

    genomes: list[Genome]
    columns: Mapping[str, np.ndarray]


def facts(path: Path, space: str, columns: Sequence[str], sample: int, seed: int) -> Facts:
    """A random sample of the architectures that all columns have a value for.

    Raises:
        NasctlError: As `nasctl.truth.read`, or no architecture has a value in every column.
    """
    wanted: Sequence[str | None] = columns or [None]
    tables = read_columns(path, space, wanted)
    shared = sorted(set.intersection(*(set(table.values) for table in tables)))
    if not shared:
        raise NasctlError(f"no architecture of {path} has a value in each of {', '.join(columns)}; give them apart")
    drawn = np.random.default_rng(seed).permutation(len(shared))[:sample]
    genomes = [shared[k] for k in sorted(drawn)]
    return Facts(genomes, {table.column: np.array([table.values[g] for g in genomes]) for table in tables})


def scores(task: Task, texts: Sequence[str]) -> list[Score]:
    """The aggregations that a person asked for.

    Raises:
        NasctlError: There is no such method, or a metric that is not measured.
    """
    return [Score.parse(text, list(task.metrics)) for text in texts]


@dataclass(frozen=True)
class Line:
    """One metric or aggregation against one column."""

    name: str
    agreement: Agreement
    seconds: float | None  # for an architecture, when nothing else is asked; None for an aggregation
    size: bool  # whether it is arithmetic on the network, such as its parameters


@dataclass(frozen=True)
class Judged:
    """All lines by column of the truth, the best Kendall first."""

    columns: Mapping[str, list[Line]]

    def tables(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Rows for people, by column."""
        for column, lines in self.columns.items():
            yield column, [_row(line) for line in lines]

    def warnings(self) -> Iterator[str]:
        """Which metrics do not beat the sizes."""
        for column, lines in self.columns.items():
            best = max((line for line in lines if line.size), key=_kendall, default=None)
            if best is None or best.agreement.kendall is None:
                continue
            rest = [line for line in lines if line.seconds is not None and not line.size]
            if beaten := [line.name for line in rest if _kendall(line) <= _kendall(best)]:
                yield f"Warning: on {column} these do not beat {best.name}, which is free: {', '.join(beaten)}"

    def report(self) -> dict[str, object]:
        """The same as JSON has it."""
        return {
            column: [{"metric": line.name, "seconds": line.seconds, **_plain(line.agreement)} for line in lines]
            for column, lines in self.columns.items()
        }


def judged(
    task: Task,
    aggregations: Sequence[Score],
    known: Facts,
    rows: Mapping[Genome, Scored],
    lower_is_better: bool,
    seed: int,
) -> Judged:
    """Compare every metric and every aggregation with every column."""
    found = [rows[task.space.canonical(genome)] for genome in known.genomes]
    values = {
        name: oriented(metric, [row.evaluation.values.get(name, np.nan) for row in found])
        for name, metric in task.metrics.items()
    }
    seconds = {name: median_seconds(list(rows.values()), name) for name in task.metrics}
    candidates = values | {str(score): score.of(values) for score in aggregations}
    columns = {}
    for column, truth in known.columns.items():
        lines = [
            Line(
                name,
                agreement(scored, orient(truth, "min" if lower_is_better else "max"), seed),
                seconds.get(name),
                name in task.metrics and is_size(task.metrics[name]),
            )
            for name, scored in candidates.items()
        ]
        columns[column] = sorted(lines, key=_kendall, reverse=True)
    return Judged(columns)


def oriented(metric: Objective, values: Sequence[float]) -> np.ndarray:
    """Values of a metric, (N,), with those higher that are taken for better: of a size, those of larger networks."""
    return orient(np.array(values, dtype=float), "max" if is_size(metric) else metric.direction)


def is_size(metric: Objective) -> bool:
    """Whether it is a cost that is known of the network itself, such as its parameters."""
    return closed_form(metric) and metric.direction == "min"


def _kendall(line: Line) -> float:
    return line.agreement.kendall.value if line.agreement.kendall else -np.inf


def _row(line: Line) -> list[str]:
    found = line.agreement
    cells = [_cell(found.spearman), _cell(found.kendall), _cell(found.top)]
    return [line.name, *cells, str(found.failed), "-" if line.seconds is None else f"{line.seconds:.4f}"]


def _cell(estimate: Estimate | None) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]" if estimate else "-"


def _plain(found: Agreement) -> dict[str, object]:
    return {key: getattr(value, "_asdict", lambda value=value: value)() for key, value in asdict(found).items()}
