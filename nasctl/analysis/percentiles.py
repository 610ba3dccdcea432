"""The standing of a network among random networks of its space, or else among the candidates of its run.

The scale of a training-free metric means nothing to a reader. Its percentile does: the share of random networks of the
space that have a worse value. Values of random networks are those that nasctl ships, if they were measured in the
setting of the run on a space with the same options, except that a resolution does not count if the setting reduces it.
Costs are computed for random networks on the spot. Where neither is possible, the standing is the rank among the
candidates of the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nasctl import registry
from nasctl.analysis.aggregate import Score, orient
from nasctl.candidates.objective import closed_form
from nasctl.candidates.reversed_objective import measured_name
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.correlations.random_networks import RandomNetworks, random_networks, shipped_random_networks
from nasctl.errors import NasctlError
from nasctl.evaluation.measure import measure
from nasctl.evaluation.ranges import sample
from nasctl.evaluation.task import Task
from nasctl.problem.searcher import Direction, Evaluation
from nasctl.problem.space import Genome, SearchSpace
from nasctl.search.metrics import make_objective
from nasctl.store.run_record import RunRecord

RANDOM, CANDIDATES = "random networks of the space", "candidates of this run"


@dataclass(frozen=True)
class Rank:
    """The place of a value among others.

    Args:
        worse: Number of the others with a worse value, failed ones included.
        better: Number of the others with a better value.
        total: Number of the others.
        among: The others in words: `RANDOM` or `CANDIDATES`.
        word: Comparative of a better value: "better", "smaller" for a cost, or "larger" for a size that is a score.
    """

    worse: int
    better: int
    total: int
    among: str
    word: str = "better"

    @property
    def share(self) -> float:
        """The share of the others that are worse, 0 to 1."""
        return self.worse / self.total if self.total else 0.0

    @property
    def others(self) -> str:
        """The others in words: "1,000 random networks of the space", "149 other candidates of this run"."""
        return f"{self.total:,} {self.among}" if self.among == RANDOM else f"{self.total:,} other {self.among}"

    @property
    def short(self) -> str:
        """The standing in few words: "better than 97%", or "rank 3 of 150"."""
        if self.among == CANDIDATES:
            return f"rank {self.better + 1:,} of {self.total + 1:,}"
        return f"{self.word} than {'all' if self.worse == self.total else self._percent}"

    def __str__(self) -> str:
        if self.among == CANDIDATES:
            return f"{self.short} {self.among}"
        whole = f"all {self.total:,}" if self.worse == self.total else f"{self._percent} of {self.total:,}"
        return f"{self.word} than {whole} {self.among}"

    @property
    def _percent(self) -> str:
        """The share in per cent, rounded down, with a decimal above 99%."""
        percent = 100 * self.worse / self.total
        return f"{math.floor(10 * percent) / 10:g}%" if 99 < percent < 100 else f"{math.floor(percent)}%"


@dataclass(frozen=True)
class Percentiles:
    """The standings of a run's networks.

    Args:
        record: Record of the run.
        visited: Evaluations of the run's candidates.
    """

    record: RunRecord
    visited: Sequence[Evaluation]

    def standings(self, one: Evaluation) -> dict[str, Rank]:
        """Return the standing of a candidate in each column of the run that it has a value of, by column."""
        found = {name: self.standing(name, one) for name in self.record.columns}
        return {name: standing for name, standing in found.items() if standing}

    def standing(self, name: str, one: Evaluation) -> Rank | None:
        """Return the standing of a candidate in a column of the run; None if it has no value of it, or no direction.

        Args:
            name: Name of the column.
            one: Evaluation of the candidate.
        """
        direction = self._direction(name)
        if name not in one.values or direction is None:
            return None
        random = self.random_values(name)
        others, among = (random, RANDOM) if random is not None else (self._others(name, one.genome), CANDIDATES)
        word = "smaller" if self.record.columns[name].cost == "network" and direction == "min" else "better"
        return _standing(orient(others, direction), orient(np.array(one.values[name]), direction), among, word)

    def score_standing(self, score: Score, one: Evaluation) -> Rank | None:
        """Return the standing of a candidate in a score among random networks; None if their values are not known.

        Args:
            score: The score. Of sizes, larger values count as better.
            one: Evaluation of the candidate.
        """
        rows = {}
        for name in score.metrics:
            column = self.record.columns.get(name)
            direction = "max" if column is None or column.cost == "network" else self._direction(name)
            values = self.random_values(name)
            own = one.values.get(name) if column else self._cost(name, [one.genome])[0]
            if values is None or own is None or direction is None:
                return None
            rows[name] = orient(np.append(values, own), direction)
        if len({len(values) for values in rows.values()}) > 1:  # of other networks: shipped metrics, and costs of today
            return None
        *others, mine = score.of(rows).tolist()
        return _standing(np.array(others), np.array(mine), RANDOM, "larger" if self.is_size(score) else "better")

    def is_size(self, score: Score) -> bool:
        """Return whether a score is made of costs alone, such as MACs, of which larger values count as better.

        Such a score contradicts the objectives of a run that minimises the cost, so sentences say what is larger.
        """

        def is_cost(name: str) -> bool:
            column = self.record.columns.get(name)
            return column is None or (column.cost == "network" and self._direction(name) != "max")

        return all(map(is_cost, score.metrics))

    def random_values(self, name: str) -> np.ndarray | None:
        """Return the values of random networks, (N,), NaN where the metric failed; None if they are not known.

        Args:
            name: Name of a column, or of a size.
        """
        if name not in self._random:
            self._random[name] = self._values_of_random(name)
        return self._random[name]

    @cached_property
    def _random(self) -> dict[str, np.ndarray | None]:
        return {}

    @cached_property
    def _shipped(self) -> RandomNetworks | None:
        return random_networks(self.record.space)

    @cached_property
    def _space(self) -> SearchSpace | None:
        """The space of the run; None if its plug-in is not installed any more."""
        try:
            made: SearchSpace = registry.create("spaces", self.record.space)
        except NasctlError:
            return None
        return made

    def _values_of_random(self, name: str) -> np.ndarray | None:
        column = self.record.columns.get(name)
        if self._space is None:
            return None
        if column is None or column.cost == "network":
            return self._costs_of_random(name, column.label if column else None)
        return self._metric_of_random(measured_name(name), column.label)

    def _metric_of_random(self, name: str, label: str) -> np.ndarray | None:
        """Return the shipped values of a metric; None if they are of other networks, or measured in another way.

        Args:
            name: Name of the metric.
            label: Label of the run's values.
        """
        shipped = shipped_random_networks(self.record.space.partition(":")[0])
        values = shipped.values(name, label) if shipped else None
        if shipped is None or values is None or shipped.space == self.record.space:
            return values
        return values if self._is_reduced_alike(shipped.space, Setting.parse(label.rpartition(" @ ")[2])) else None

    def _is_reduced_alike(self, spec: str, setting: Setting) -> bool:
        """Return whether the space of the run and another one differ only in a resolution that the fidelity reduces.

        Args:
            spec: Spec of the other space.
            setting: Setting of the measurements.
        """
        kept = [
            {key: value for key, value in registry.options("spaces", one).items() if key != "resolution"}
            for one in (spec, self.record.space)
        ]
        if kept[0] != kept[1]:
            return False
        other: SearchSpace = registry.create("spaces", spec)
        (genome,) = sample(other, 1)
        assert self._space is not None
        one, two = (space.reduced(setting.fidelity).network(genome) for space in (self._space, other))
        return one == two

    def _costs_of_random(self, name: str, label: str | None) -> np.ndarray | None:
        """Return the values of a cost; None if it is not installed in the version of the run.

        Args:
            name: Name of the cost.
            label: Label of the run's values; None for a size that is no column of the run.
        """
        assert self._space is not None
        try:
            called, objective = make_objective(name, self.record.space)
            today = Task(self._space, {called: objective}, DEFAULT_SETTING).record(self.record.space).labels[called]
            if not closed_form(objective) or label not in (None, today):
                return None
            if self._shipped and (values := self._shipped.values(measured_name(name), today)) is not None:
                return values
            return np.array(self._cost(name, sample(self._space)), dtype=float)
        except NasctlError:  # a device that is not installed any more, or lacks a block
            return None

    def _cost(self, name: str, genomes: Sequence[Genome]) -> list[float | None]:
        """Return the values of a cost for networks; None where it failed."""
        assert self._space is not None
        called, objective = make_objective(name, self.record.space)
        task = Task(self._space, {called: objective}, DEFAULT_SETTING)
        return [measure(task, genome, {called: called})[called].value for genome in genomes]

    def _others(self, name: str, genome: Genome) -> np.ndarray:
        """Return the values of the run's other candidates, (N,), without those that were not measured."""
        return np.array(
            [
                found.values.get(name, np.nan)
                for found in self.visited
                if found.genome != genome and (name in found.values or name in found.errors)
            ]
        )

    def _direction(self, name: str) -> Direction | None:
        """Return the direction of better values in a column; None if its metric is not installed any more."""
        column = self.record.columns[name]
        if column.goal:
            return column.goal.direction
        try:
            return make_objective(name, self.record.space)[1].direction
        except NasctlError:
            return None


def _standing(others: np.ndarray, own: np.ndarray, among: str, word: str) -> Rank:
    """Return the standing of a value among others, (N,), where higher is better and NaN is worst."""
    known = np.where(np.isfinite(others), others, -np.inf)
    return Rank(int((known < own).sum()), int((known > own).sum()), len(known), among, word)
