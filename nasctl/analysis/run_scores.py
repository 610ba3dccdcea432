"""Scores of a recorded run's candidates."""

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
    """One score for each candidate of a run, by its ranks among those that hold the constraints.

    It is for people to look at: no search ever sees it, and the candidates of another run have another score.

    Args:
        record: The run.
        found: Its candidates.
        text: As `Score.parse` reads it; by default the log ranks of all that it optimised but costs.

    Returns:
        What the score is called and its values, higher is better; None for a run without such metrics.
    """
    usual = "+".join(goal.name for goal in record.goals if goal.cost == "module" or goal.direction == "max")
    if not (text or usual):
        return None
    score = Score.parse(text or f"log_rank:{usual}", list(record.columns))
    broken = violations(found, record.constraints)
    rated = [one for one, row in zip(found, broken, strict=True) if not row.any()]
    values = {
        name: orient(np.array([one.values.get(name, np.nan) for one in rated]), _wanted(name, record.columns[name]))
        for name in score.metrics
    }
    made = score.of(values).tolist() if rated else []
    return str(score), {one.genome: value for one, value in zip(rated, made, strict=True)}


def _wanted(name: str, column: Column) -> Direction:
    """Which values of a run's column are taken for better; an objective need not be installed any more."""
    if column.cost == "network":
        return "max"
    return column.goal.direction if column.goal else make_objective(name)[1].direction
