"""The one network of a run that nasctl recommends, and the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nasctl.analysis.run_scores import scores_of_run, stored_sizes
from nasctl.pareto.archive import closest_to_ideal
from nasctl.pareto.losses import front, losses
from nasctl.problem.searcher import Evaluation
from nasctl.store.run_record import RunRecord
from nasctl.store.store import Store


@dataclass(frozen=True)
class Recommendation:
    """The recommended network of a run.

    Attributes:
        chosen: Its evaluation.
        front: Number of networks on the front.
        why: The reason, a part of a sentence that follows "recommended: ID, ".
    """

    chosen: Evaluation
    front: int
    why: str


def recommend(
    store: Store, run: str, record: RunRecord, visited: Sequence[Evaluation], scored: str | None = None
) -> Recommendation | None:
    """Return the recommended network of a run; None if its front is empty.

    In a run with a bound it is the network of the front with the best quality, in any other the network of the front
    closest to the best of every objective.

    Args:
        store: The store of the run.
        run: Name of the run.
        record: Record of the run.
        visited: Evaluations of the run's candidates.
        scored: Score as `Score.parse` reads it; the score of the run by default.
    """
    found = front(visited, record.goals, record.constraints)
    if not found:
        return None
    if record.constraints and (scores := scores_of_run(record, visited, scored, stored_sizes(store, run, record))):
        name, score = scores
        best = max(found, key=lambda one: score.get(one.genome, float("-inf")))
        return Recommendation(best, len(found), f"the best {name} within {' and '.join(map(str, record.constraints))}")
    index = closest_to_ideal(losses(found, record.goals))
    return Recommendation(found[index], len(found), "closest to the best of every objective")
