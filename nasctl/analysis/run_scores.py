"""Aggregated scores of the candidates of a recorded run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nasctl import registry
from nasctl.analysis.aggregate import Score, orient
from nasctl.candidates.setting import DEFAULT_SETTING
from nasctl.correlations.defaults import default_choice, default_score, score_doubt
from nasctl.errors import UnknownName
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.pareto.losses import violations
from nasctl.problem.defaults import SIZES
from nasctl.problem.searcher import Direction, Evaluation
from nasctl.problem.space import Genome, SearchSpace
from nasctl.search.default_objectives import space_kind
from nasctl.search.metrics import make_objective
from nasctl.search.recorded import recorded_task
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store

Sizes = Mapping[str, Mapping[Genome, float]]  # sizes of candidates by name and genome

BY_SIZE = "the score is a size: no metrics were seen to beat it on networks or spaces that they were not chosen on"


@dataclass(frozen=True)
class ChosenScore:
    """The score of a run that a user did not choose.

    Args:
        text: The score as `Score.parse` reads it.
        reason: One sentence on the measurements behind it; "" if there is nothing to say.
    """

    text: str
    reason: str


def scores_of_run(
    record: RunRecord, found: Sequence[Evaluation], text: str | None, sizes: Sizes = MappingProxyType({})
) -> tuple[str, dict[Genome, float]] | None:
    """Return one score for each feasible candidate of a run, from the ranks among these candidates.

    The score is for display only. No search sees it, and it depends on the set of candidates.

    Args:
        record: Record of the run.
        found: Candidates of the run.
        text: Score as `Score.parse` reads it. Default: `chosen_score`.
        sizes: Known sizes, as `stored_sizes` returns them. Other sizes that the score uses are computed from the
            networks, which takes milliseconds each.

    Returns:
        Name of the score, and its values by genome, higher is better; None if the run has no metrics to score by.
    """
    if (score := run_score(record, text)) is None:
        return None
    kept = ~violations(found, record.constraints).any(axis=1)
    feasible = [found[k] for k in np.flatnonzero(kept).tolist()]
    values = {name: _oriented(record, name, feasible, sizes.get(name, {})) for name in score.metrics}
    scores = score.of(values).tolist() if feasible else []
    return str(score), {one.genome: value for one, value in zip(feasible, scores, strict=True)}


def run_score(record: RunRecord, text: str | None = None) -> Score | None:
    """Return the score of a run; None if it has no metrics to score by.

    Args:
        record: Record of the run.
        text: Score as `Score.parse` reads it. Default: `chosen_score`.
    """
    if text is None:
        if (chosen := chosen_score(record)) is None:
            return None
        text = chosen.text
    return Score.parse(text, list(dict.fromkeys([*record.columns, *SIZES])))


def stored_sizes(store: Store, run: str, record: RunRecord) -> dict[str, dict[Genome, float]]:
    """Return the sizes of a run's candidates that the store holds, by size and genome.

    A search files them with its metrics. Runs of an older nasctl have only those that some run measured.

    Args:
        store: The store.
        run: Name of the run.
        record: Record of the run.
    """
    try:
        space: SearchSpace = registry.create("spaces", record.space)
    except UnknownName:  # the plug-in is not installed any more
        return {}
    labels = Task(space, dict(map(make_objective, SIZES))).record(record.space).labels
    found = store.filed(run, labels.values())
    return {name: found[label] for name, label in labels.items()}


def chosen_score(record: RunRecord) -> ChosenScore | None:
    """Return the score of a run for which a user names none; None if it has no metrics to score by.

    A run whose metrics are among those that measurements favour on its family, a default one at least, has the score
    that they favour there, which may be a size. Any other run has the log rank of its own objectives except costs. A
    run that trains its candidates has none, because their accuracy orders them better than a rank of it.

    Args:
        record: Record of the run.
    """
    if any(goal.cost == "training" for goal in record.goals):
        return None
    metrics = [goal.name for goal in record.goals if goal.cost == "module" or goal.direction == "max"]
    try:
        space: SearchSpace = registry.create("spaces", record.space)
    except UnknownName:  # the plug-in is not installed any more
        return ChosenScore(f"log_rank:{'+'.join(metrics)}", "") if metrics else None
    asked = space_kind(record.space, space, recorded_task(record))
    choice = default_choice(asked)
    favoured = {*choice.objectives, *choice.spare} if choice else set()
    if choice and set(metrics) <= favoured and set(metrics) & set(choice.objectives):
        best = default_score(asked, choice)
        if all(name in record.columns or name in SIZES for name in best):
            return ChosenScore(f"log_rank:{'+'.join(best)}", _reason(best))
    if not metrics:
        return None
    return ChosenScore(f"log_rank:{'+'.join(metrics)}", score_doubt(asked, metrics))


def scored_by_size(record: RunRecord) -> bool:
    """Return whether networks of a run are scored by a size because no metrics were seen to beat it."""
    chosen = chosen_score(record)
    return chosen is not None and chosen.reason == BY_SIZE


def _reason(metrics: Sequence[str]) -> str:
    if set(metrics) <= set(SIZES):
        return BY_SIZE
    return ""


def _oriented(
    record: RunRecord, name: str, feasible: Sequence[Evaluation], known: Mapping[Genome, float]
) -> np.ndarray:
    """Return the values of a column or a size for candidates, (N,), where higher is better."""
    if name in record.columns:
        values = [one.values.get(name, np.nan) for one in feasible]
        return orient(np.array(values), _better(name, record.columns[name]))
    space: SearchSpace = registry.create("spaces", record.space)
    task = Task(space, dict([make_objective(name)]), DEFAULT_SETTING)

    def size(genome: Genome) -> float:
        value = measure(task, genome, {name: name})[name].value
        return np.nan if value is None else value

    return np.array([known[one.genome] if one.genome in known else size(one.genome) for one in feasible])


def _better(name: str, column: Column) -> Direction:
    """Return the direction in which values of a column are better; larger networks count as better.

    An optimised objective need not be installed any more.
    """
    if column.cost == "network":
        return "max"
    return column.goal.direction if column.goal else make_objective(name)[1].direction
