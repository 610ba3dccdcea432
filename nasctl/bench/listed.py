"""Benchmarks whose architectures are listed in a table."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import product

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import TabulatedObjective
from nasctl.candidates.objective import closed_form
from nasctl.errors import UnknownName
from nasctl.networks.graph import Network
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.ids import spelled
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome, Notation, SearchSpace


class Tabulated:
    """A space whose canonical genomes are looked up, as all that a replay asks of one has to be fast.

    Args:
        space: That it stands for.
        canonical: By every genome.
    """

    def __init__(self, space: SearchSpace, canonical: Mapping[Genome, Genome]) -> None:
        self._space, self._canonical = space, canonical
        self.genes, self.input = space.genes, space.input
        if isinstance(space, Notation):
            self.parse, self.spell = space.parse, space.spell

    def canonical(self, genome: Genome) -> Genome:
        return self._canonical[genome]

    def network(self, genome: Genome) -> Network:
        return self._space.network(genome)

    def reduced(self, fidelity: Fidelity) -> SearchSpace:
        return self._space.reduced(fidelity)


class Listed:
    """All architectures of a space, and the scores that nasctl ships of them; benchmarks are subclasses of it.

    Args:
        name: Of the space, and of the table of scores.
        canonical: Whether genomes that compute the same count as one.
    """

    usual: Sequence[str] = ("synflow", "jacov", "snip", "macs")
    evaluations = 1000

    def __init__(self, name: str, canonical: bool) -> None:
        space: SearchSpace = registry.create("spaces", name)
        self._classes = {genome: space.canonical(genome) for genome in _raw(space)}
        self.space: SearchSpace = Tabulated(space, self._classes if canonical else {one: one for one in self._classes})
        self.genomes = sorted(set(self._classes.values()) if canonical else self._classes)
        self._scores = _scores(name, space)
        about = json.loads(_shipped(f"{name}.json"))
        self._seconds = {metric: float(one.get("seconds", 0)) for metric, one in about["metrics"].items()}

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self._scores)

    def column(self, name: str) -> TabulatedObjective:
        """One of them; the scores of a genome are those of its canonical one.

        Raises:
            UnknownName: There is none of that name.
        """
        if name not in self._scores:
            raise UnknownName("objective of the benchmark", name, self.names)
        metric = registry.create("objectives", name)
        goal = Goal(name, metric.direction, metric.transform, "network" if closed_form(metric) else "module")
        values = np.array([self._scores[name][self._classes[genome]] for genome in self.genomes])
        return TabulatedObjective(goal, values, self._seconds.get(name, 0.0))

    def of(self, values: Mapping[Genome, float]) -> np.ndarray:
        """The values of the architectures, (N,)."""
        return np.array([values[genome] for genome in self.genomes])


def _raw(space: SearchSpace) -> list[Genome]:
    """Every genome of a space."""
    return list(product(*(range(len(gene.choices)) for gene in space.genes)))


def _scores(name: str, space: SearchSpace) -> dict[str, dict[Genome, float]]:
    """The score table that nasctl ships of all architectures of a space: by column, by canonical genome."""
    header, *rows = csv.reader(io.StringIO(gzip.decompress(_shipped(f"{name}.csv.gz")).decode()))
    genomes = [spelled(row[0], space) for row in rows]
    return {
        column: {genome: float(row[k] or "nan") for genome, row in zip(genomes, rows, strict=True) if genome}
        for k, column in enumerate(header)
        if k
    }


def _shipped(file: str) -> bytes:
    return files("nasctl").joinpath("benchmarks", file).read_bytes()
