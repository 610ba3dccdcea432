"""The hypervolume of a recorded run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.evaluation.hypervolume_tracker import HypervolumeTracker
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.pareto.hypervolume_scale import Scale
from nasctl.pareto.losses import front, losses
from nasctl.prediction.training_choice import TrainingPlan
from nasctl.problem.searcher import Evaluation
from nasctl.search.recorded import run_from_record
from nasctl.store.run_record import RunRecord


def hypervolume_scale(record: RunRecord, visited: Sequence[Evaluation]) -> tuple[Scale, str]:
    """Return the scale of a run's hypervolume: the scale that the search used, if it can still be computed.

    Args:
        record: Record of the run.
        visited: Candidates of the run, in order.

    Returns:
        The scale, and a sentence that describes it.

    Raises:
        NasctlError: No candidate has a value in every objective.
    """
    instead = "fewer candidates than it takes were evaluated"
    try:
        run = run_from_record(record)
        tracker = HypervolumeTracker(run.task)
        if tracker.scale is None and "trainings" in record.asked:
            tracker.start(visited[: TrainingPlan(record.asked["trainings"], record.asked["measurements"]).first])
        elif tracker.scale is None:
            first = run.references or ()
            problem, rng = SearchProblem(run.task, first), np.random.default_rng(run.seed)
            searcher = registry.create("searchers", run.searcher, problem, rng)
            tracker.start(visited[: len({*first, *searcher.ask()})])
        if tracker.scale:
            return tracker.scale, (
                "as in the search: a cost by its range over the space, a metric by its range in the first generation"
            )
    except NasctlError as error:
        instead = str(error)
    own = Scale.of(visited, record.goals)
    if own is None:
        raise NasctlError("no candidate of this run has a value in every objective yet, so it has no hypervolume")
    said = "each objective by its range over the candidates of this run, as that of the search is not known here"
    return own, f"{said} ({instead})"


def hypervolume_share(record: RunRecord, visited: Sequence[Evaluation]) -> float | None:
    """Return the hypervolume of a run's front as a share of the ideal box, as the search shows it.

    Args:
        record: Record of the run.
        visited: Candidates of the run, in order.

    Returns:
        The share, 0 to 1; None for an empty front.
    """
    found = front(visited, record.goals, record.constraints)
    return hypervolume_scale(record, visited)[0].share(losses(found, record.goals)) if found else None
