"""Labels that a predictor of accuracy is fitted to: from a table of known values, or from trainings in a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nasctl.analysis.correlate import sample_known_values
from nasctl.errors import NasctlError
from nasctl.problem.searcher import Direction
from nasctl.problem.space import Genome, SearchSpace
from nasctl.store.training_table import TrainingRecord

Part = Literal["validation", "test"]  # part of the data that a trained network is judged on
UNSEEN = (
    "Warning: labels are of the test part, so test accuracies of networks that this predictor chooses are biased;"
    " --part validation keeps the test part unseen"
)
EVERY = 10**9  # more networks than a table has


@dataclass(frozen=True)
class LabelledGenomes:
    """Labels of distinct networks of a space.

    Args:
        genomes: Canonical genomes, N of them.
        labels: Labels, (N,), finite.
        errors: Standard errors of the labels, (N,); NaN where none is known.
        column: What the labels are, for people.
        source: Where they come from, for people.
        direction: "min" if lower labels are better.
    """

    genomes: tuple[Genome, ...]
    labels: np.ndarray
    errors: np.ndarray
    column: str
    source: str
    direction: Direction = "max"

    def part(self, chosen: np.ndarray) -> LabelledGenomes:
        """Return the networks of an index array, (M,)."""
        genomes = tuple(self.genomes[k] for k in chosen)
        return LabelledGenomes(
            genomes, self.labels[chosen], self.errors[chosen], self.column, self.source, self.direction
        )

    @property
    def ascending(self) -> np.ndarray:
        """Labels of which higher is better, (N,)."""
        return self.labels if self.direction == "max" else -self.labels


def labels_of_table(
    path: Path, spec: str, space: SearchSpace, column: str | None, error: str | None, direction: Direction, seed: int
) -> LabelledGenomes:
    """Return the labels of a table of known values, in random order.

    Genomes that mean one network give one label, their mean. If they differ, its standard error follows from them.

    Args:
        path: Table of known values; see `nasctl.architectures.known_values.read`.
        spec: Spec of the space.
        space: The space.
        column: Column of the labels; None for the only column of numbers.
        error: Column of the labels' standard errors; None if there is none.
        direction: "min" if lower labels are better.
        seed: Seed of the order.

    Raises:
        NasctlError: The table cannot be read, has no such column, or has a negative standard error.
    """
    columns = [one for one in (column, error) if one is not None]
    known = sample_known_values(path, spec, columns, EVERY, seed)
    names = list(known.columns)
    values = known.columns[column or names[0]]
    errors = known.columns[error] if error is not None else np.full(len(values), np.nan)
    if (errors < 0).any():
        raise NasctlError(f"column {error!r} of {path} has the negative standard error {np.nanmin(errors):g}; mend it")
    rows: dict[Genome, list[int]] = defaultdict(list)
    for place, genome in enumerate(known.genomes):
        rows[space.canonical(genome)].append(place)
    distinct = list(rows)
    genomes = [distinct[k] for k in np.random.default_rng(seed).permutation(len(distinct))]
    merged = [_merged(values[rows[genome]], errors[rows[genome]]) for genome in genomes]
    labels, spreads = (np.array(one) for one in zip(*merged, strict=True))
    return LabelledGenomes(tuple(genomes), labels, spreads, column or names[0], path.name, direction)


def labels_of_trainings(
    rows: Sequence[TrainingRecord], space: SearchSpace, part: Part, seed: int
) -> tuple[LabelledGenomes, list[str]]:
    """Return the labels of finished trainings, in random order, and notes on trainings that are left out.

    Trainings can be compared if recipe and data are the same, and if all start from drawn weights or all from given
    ones. Those of the largest group count. Accuracies are percentages. Networks that predict words have the logarithm
    of their perplexity, of which lower is better.

    Args:
        rows: Trainings of the space.
        space: The space.
        part: Part of the data that the networks are judged on.
        seed: Seed of the order.

    Raises:
        NasctlError: No training has a result on the part.
    """
    finished = [row for row in rows if row.state == "finished" and part in row.result]
    if not finished:
        raise NasctlError(
            f"Cannot fit to trainings: the store has no finished training of this space with a {part} result. Train"
            " networks with `nasctl train`, or give a table with --truth."
        )
    groups: dict[str, list[TrainingRecord]] = defaultdict(list)
    for row in finished:
        groups[row.comparable(across_seeds=True)].append(row)
    largest = max(groups.values(), key=len)
    notes = [UNSEEN] if part == "test" else []
    if left := len(finished) - len(largest):
        notes += [f"{left} trainings with another recipe or other data are left out; {len(largest)} are compared"]
    by_genome: dict[Genome, list[tuple[float, float]]] = defaultdict(list)
    for row in largest:
        by_genome[space.canonical(row.genome)].append(_figure(row.result[part]))
    words = largest[0].result[part].get("accuracy") is None
    distinct = sorted(by_genome)
    genomes = [distinct[k] for k in np.random.default_rng(seed).permutation(len(distinct))]
    merged = [_merged(*map(np.array, zip(*by_genome[genome], strict=True))) for genome in genomes]
    labels, errors = (np.array(one) for one in zip(*merged, strict=True))
    column = f"{part} log perplexity" if words else f"{part} accuracy, %"
    return LabelledGenomes(tuple(genomes), labels, errors, column, "trainings", "min" if words else "max"), notes


def _figure(result: Mapping[str, Any]) -> tuple[float, float]:
    """Return the label and the standard error of a result."""
    if result.get("accuracy") is not None:
        return 100 * float(result["accuracy"]), 100 * float(result["error"])
    return float(result["loss"]), float(result["error"])


def _merged(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Return the mean of a network's labels and its standard error: the larger one of spread and known errors."""
    count = len(values)
    spread = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 and np.ptp(values) > 0 else np.nan
    known = float(np.sqrt((errors**2).sum()) / count)
    return float(values.mean()), spread if np.isnan(known) else float(np.nanmax([spread, known]))
