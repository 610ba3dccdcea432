"""A tabular benchmark in the form of a search problem."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.bench.benchmark import Benchmark, TabulatedObjective
from nasctl.problem.space import Genome
from nasctl.registry.old_names import OldProblemNames


class BenchmarkProblem(OldProblemNames):
    """Columns of a benchmark as the problem that a searcher solves; see `nasctl.problem.searcher.Problem`.

    Args:
        benchmark: Table to search.
        names: Names of the columns that are objectives, or columns that the benchmark does not list, (M,).
    """

    def __init__(self, benchmark: Benchmark, names: Sequence[str | TabulatedObjective]) -> None:
        columns = [benchmark.column(name) if isinstance(name, str) else name for name in names]
        self.objectives = tuple(column.goal for column in columns)
        self.space = benchmark.space
        self.losses = np.column_stack([column.losses for column in columns])  # (N, M)
        self.place = {genome: k for k, genome in enumerate(benchmark.genomes)}  # row of each architecture
        self.seconds = np.zeros(len(benchmark.genomes))  # simulated seconds of an evaluation, (N,)
        for column in columns:
            self.seconds += column.seconds
        self._cheap = np.array([goal.cost == "network" for goal in self.objectives])

    def cheap_losses(self, genomes: Sequence[Genome]) -> np.ndarray:
        return np.where(self._cheap, self.losses[self.rows(genomes)], np.nan)

    def violation(self, genomes: Sequence[Genome]) -> np.ndarray:
        return np.zeros(len(genomes))

    def rows(self, genomes: Sequence[Genome]) -> list[int]:
        """Return the rows of genomes in the table, (B,)."""
        return [self.place[genome] for genome in genomes]
