"""Comparison of runs with the same space and objectives: hypervolumes on one scale, dominance, shared candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from nasctl import registry
from nasctl.architectures import ids
from nasctl.errors import NasctlError
from nasctl.pareto.archive import dominates
from nasctl.pareto.hypervolume import REFERENCE, checkpoints
from nasctl.pareto.hypervolume_scale import Scale
from nasctl.pareto.losses import feasible_losses, front, losses
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.problem.space import Genome
from nasctl.search.recorded import setting_parts
from nasctl.search.recorded_hypervolume import hypervolume_share
from nasctl.store.run_record import RunRecord
from nasctl.store.store import Store
from nasctl.system.table_layout import TableCell

STEPS = 100  # checkpoints of a hypervolume curve
SHOWN = 5  # checkpoints in the table, which all runs have reached


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Args:
        name: Name of the run.
        record: Record of the run.
        visited: Candidates of the run, in order, (N,).
        goals: Objectives of all compared runs, in one order, (M,).
    """

    name: str
    record: RunRecord
    visited: Sequence[Evaluation]
    goals: tuple[Goal, ...]

    @cached_property
    def points(self) -> np.ndarray:
        """Return losses, (N, M), NaN in the rows of failed and infeasible candidates."""
        return feasible_losses(self.visited, self.goals, self.record.constraints)

    @cached_property
    def front(self) -> list[Evaluation]:
        """Return the Pareto front of the run, (A,)."""
        return front(self.visited, self.goals, self.record.constraints)

    @cached_property
    def best(self) -> np.ndarray:
        """Return the losses of the front, (A, M)."""
        return losses(self.front, self.goals)

    @property
    def failed(self) -> int:
        """Return the number of candidates with a failed measurement."""
        return sum(bool(one.errors) for one in self.visited)

    @cached_property
    def settings(self) -> dict[str, str]:
        """Return the configuration and the versions of the run as texts, by name."""
        found = {key: _text(value) for key, value in self.record.asked.items() if key not in ("setting", "tables")}
        tables = {f"table of {name}": digest for name, digest in self.record.asked["tables"].items()}
        versions = {f"version of {name}": version for name, version in self.record.versions.items()}
        return {**found, **setting_parts(self.record), **tables, **versions}


@dataclass(frozen=True)
class RunComparison:
    """Runs, and the scale on which all their hypervolumes are measured."""

    sides: Sequence[ComparedRun]  # (R,)
    scale: Scale

    @cached_property
    def shown(self) -> list[int]:
        """Return the checkpoints of the table, which every run has reached."""
        return checkpoints(min(len(side.visited) for side in self.sides), SHOWN)

    @cached_property
    def curves(self) -> list[dict[int, float]]:
        """Return the hypervolume of each run by number of evaluations, at shared checkpoints and at all ends, (R,)."""
        ends = [len(side.visited) for side in self.sides]
        grid = sorted({*checkpoints(max(ends), STEPS), *self.shown, *ends})
        reached = [[count for count in grid if count <= end] for end in ends]
        return [
            dict(zip(counts, self.scale.curve(side.points, counts), strict=True))
            for side, counts in zip(self.sides, reached, strict=True)
        ]

    @cached_property
    def shares(self) -> list[float | None]:
        """Return the hypervolume of each run as a share of its own ideal box, as other commands show it, (R,)."""
        return [hypervolume_share(side.record, side.visited) for side in self.sides]

    @property
    def box(self) -> float:
        """The hypervolume of the ideal box of all runs; no front exceeds it, because the scale has the best values."""
        return float(REFERENCE ** len(self.scale.goals))

    @cached_property
    def joint(self) -> list[int]:
        """Return how many members of each run's front no other run dominates, (R,)."""
        everything = np.vstack([side.best for side in self.sides])
        return [sum(not dominates(everything, row).any() for row in side.best) for side in self.sides]

    def differences(self) -> dict[str, dict[str, str]]:
        """Return the settings that differ between runs, by setting and run."""
        keys = dict.fromkeys(key for side in self.sides for key in side.settings)
        found = {key: {side.name: side.settings.get(key, "-") for side in self.sides} for key in keys}
        return {key: values for key, values in found.items() if len(set(values.values())) > 1}

    def warnings(self) -> Iterator[str]:
        """Yield the reasons why the comparison is not fair."""
        first = self.sides[0]
        for side in self.sides[1:]:
            names = [goal.name for goal in side.goals]
            if other := [name for name in names if first.record.labels[name] != side.record.labels[name]]:
                yield (
                    f"{', '.join(other)} of {side.name} was measured in another setting or version than that of"
                    f" {first.name}, so the values differ for that reason too"
                )
            if first.record.constraints != side.record.constraints:
                yield f"{side.name} has other constraints than {first.name}; each front holds its own"

    def report(self) -> dict[str, Any]:
        """Return the comparison as JSON has it."""
        runs = [
            {
                "name": side.name,
                "candidates": len(side.visited),
                "failed": side.failed,
                "front": len(side.front),
                "undominated": joint,
                "share": share,
                "hypervolume": curve[len(side.visited)],
                "curve": [list(point) for point in curve.items()],
            }
            for side, curve, joint, share in zip(self.sides, self.curves, self.joint, self.shares, strict=True)
        ]
        pairs = [
            {
                "runs": [one.name, other.name],
                "dominates": [coverage(one, other), coverage(other, one)],
                "evaluated": len(_shared(one.visited, other.visited)),
                "front": [self._id(genome) for genome in _shared(one.front, other.front)],
            }
            for one, other in combinations(self.sides, 2)
        ]
        scale = {"reference": REFERENCE, "best": self.scale.best, "worst": self.scale.worst}
        more = {"differences": self.differences(), "warnings": list(self.warnings())}
        return {"space": self.sides[0].record.space, "scale": scale, "runs": runs, "pairs": pairs, **more}

    def tables(self) -> Iterator[tuple[list[str], list[list[object]]]]:
        """Yield the tables for display, headings and rows: runs, pairs of runs, and settings that differ."""
        heads = ["run", "candidates", "failed", "front", "undominated", "own HV"]
        yield (
            [*heads, *(f"HV at {count}" for count in self.shown), "HV at the end"],
            [
                [
                    *(side.name, len(side.visited), side.failed, len(side.front), joint),
                    "-" if share is None else _cell(share, ".1%"),
                    *(_cell(curve[count] / self.box, ".1%") for count in (*self.shown, len(side.visited))),
                ]
                for side, curve, joint, share in zip(self.sides, self.curves, self.joint, self.shares, strict=True)
            ],
        )
        yield (
            ["run A", "run B", "A dominates of B's front", "B dominates of A's", "evaluated by both", "on both fronts"],
            [
                [
                    *(one.name, other.name, _cell(coverage(one, other), ".0%"), _cell(coverage(other, one), ".0%")),
                    *(len(_shared(one.visited, other.visited)), len(_shared(one.front, other.front))),
                ]
                for one, other in combinations(self.sides, 2)
            ],
        )
        names = [side.name for side in self.sides]
        yield (
            ["what differs", *names],
            [[key, *(found[name] for name in names)] for key, found in self.differences().items()],
        )

    def _id(self, genome: Genome) -> str:
        """Return the id of an architecture."""
        space = self.sides[0].record.space
        return ids.encode(space, registry.create("spaces", space).genes, genome)


def _cell(value: float, form: str) -> TableCell:
    """Return the cell of a number, which people read in a format and CSV has exactly."""
    return TableCell(value, text := f"{value:{form}}", text)


def compare_runs(store: Store, names: Sequence[str]) -> RunComparison:
    """Return the comparison of runs.

    Args:
        store: Store that holds the runs.
        names: Names of the runs, or unique beginnings of names.

    Raises:
        NasctlError: There are fewer than two runs, the runs have different spaces or objectives, or a front is empty.
    """
    found = [store.run(name) for name in names]
    unique = dict(found)
    if len(unique) < 2 or len(unique) < len(found):
        twice = f"{', '.join(unique)} was given more than once" if len(found) > 1 else "one run cannot be compared"
        raise NasctlError(f"{twice}; name two or more runs of `nasctl runs list`")
    (first, reference), *others = found
    for name, record in others:
        _check_comparable(first, reference, name, record)
    goals = reference.goals
    sides = [ComparedRun(name, record, store.evaluations(name), goals) for name, record in found]
    for side in sides:
        if not side.front:
            raise NasctlError(f"the front of run {side.name} is empty, so there is nothing to compare; leave it out")
    counted = [
        one for side in sides for one, row in zip(side.visited, side.points, strict=True) if not np.isnan(row).any()
    ]
    scale = Scale.of(counted, goals)
    assert scale is not None  # no front is empty
    return RunComparison(sides, scale)


def coverage(one: ComparedRun, other: ComparedRun) -> float:
    """Return the share of the other run's front that the front of the one run dominates.

    References:
        Zitzler & Thiele, "Multiobjective evolutionary algorithms: a comparative case study and the strength Pareto
        approach", IEEE Transactions on Evolutionary Computation 3 (1999) 257-271, definition 3. There, equal points
        count as covered. Here they do not, and shared members of two fronts are counted separately.
    """
    return float(np.mean([dominates(one.best, row).any() for row in other.best]))


def _check_comparable(first: str, reference: RunRecord, name: str, record: RunRecord) -> None:
    """Check that a run has the space and the objectives of the first run.

    Raises:
        NasctlError: The space or the objectives differ.
    """
    if record.space != reference.space:
        one, other = (registry.normal("spaces", space) for space in (reference.space, record.space))
        raise NasctlError(
            f"{first} and {name} search different spaces ({one} and {other});"
            " compare runs of one space with the same options"
        )
    if set(record.goals) != set(reference.goals):
        ours, theirs = ([goal.name for goal in found.goals] for found in (reference, record))
        raise NasctlError(
            f"{first} optimises {', '.join(ours)} and {name} {', '.join(theirs)}; compare runs of the same objectives,"
            f" or search again with --objective {','.join(ours)}"
        )


def _shared(one: Sequence[Evaluation], other: Sequence[Evaluation]) -> list[Genome]:
    """Return the genomes that are in both, in the order of the first."""
    known = {evaluation.genome for evaluation in other}
    return [evaluation.genome for evaluation in one if evaluation.genome in known]


def _text(value: object) -> str:
    """Return a value of a run's configuration as text."""
    return (", ".join(map(str, value)) or "-") if isinstance(value, list) else str(value)
