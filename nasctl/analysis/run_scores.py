"""Aggregated scores of the candidates of a recorded run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl.analysis.aggregate import Score, orient
from nasctl.pareto.losses import violations
from nasctl.problem.searcher import Direction, Evaluation
from nasctl.problem.space import Genome
from nasctl.search.metrics import make_objective
from nasctl.store.run_record import Column, RunRecord


def scores_of_run(
    record: RunRecord, found: Sequence[Evaluation], text: str | None
) -> tuple[str, dict[Genome, float]] | None:
    """Return one score for each feasible candidate of a run, from the ranks among these candidates.

    The score is for display only. No search sees it, and it depends on the set of candidates.

    Args:
        record: Record of the run.
        found: Candidates of the run.
        text: Score as `Score.parse` reads it. Default: the log rank of all objectives except costs.

    Returns:
        Name of the score, and its values by genome, higher is better; None if the run has no such objectives.
    """
    metrics = "+".join(goal.name for goal in record.goals if goal.cost == "module" or goal.direction == "max")
    if not (text or metrics):
        return None
    score = Score.parse(text or f"log_rank:{metrics}", list(record.columns))
    broken = violations(found, record.constraints)
    feasible = [one for one, row in zip(found, broken, strict=True) if not row.any()]
    values = {
        name: orient(np.array([one.values.get(name, np.nan) for one in feasible]), _better(name, record.columns[name]))
        for name in score.metrics
    }
    scores = score.of(values).tolist() if feasible else []
    return str(score), {one.genome: value for one, value in zip(feasible, scores, strict=True)}


def _better(name: str, column: Column) -> Direction:
    """Return the direction in which values of a column are better; larger networks count as better.

    An optimised objective need not be installed any more.
    """
    if column.cost == "network":
        return "max"
    return column.goal.direction if column.goal else make_objective(name)[1].direction
