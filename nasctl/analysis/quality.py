"""The quality that networks of a run are judged by: true accuracy where networks are trained, else the run's score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nasctl.analysis.aggregate import Score
from nasctl.analysis.run_scores import run_score, scores_of_run, stored_sizes
from nasctl.pareto.losses import losses
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.problem.space import Genome
from nasctl.store.run_record import RunRecord
from nasctl.store.store import Store
from nasctl.training.accuracies import trained_networks


@dataclass(frozen=True)
class Quality:
    """The quality of a run's networks.

    Args:
        name: Name, such as "validation accuracy" or "l2_norm+zico score".
        values: Quality by genome, higher is better. Networks that are not trained have no result, and networks that
            break a constraint have no score.
        score: The score; None for a result of trainings.
        unit: Unit of a result of trainings, with the space before it.
        sign: -1 if lower results are better, as of a loss, so that `values` are negative; else 1.
    """

    name: str
    values: Mapping[Genome, float]
    score: Score | None = None
    unit: str = ""
    sign: int = 1

    def text(self, genome: Genome) -> str:
        """Return the result of a trained network in its unit, such as "71.3%"; "" for a score."""
        return "" if self.score else f"{self.sign * self.values[genome]:.4g}{self.unit}"


def score_quality(
    store: Store, run: str, record: RunRecord, visited: Sequence[Evaluation], scored: str | None = None
) -> Quality | None:
    """Return the score of a run's networks that satisfy its constraints; None if the run has no metrics to score by.

    Args:
        store: The store of the run.
        run: Name of the run.
        record: Record of the run.
        visited: Evaluations of the run's candidates.
        scored: Score as `Score.parse` reads it; the score of the run by default.

    Raises:
        NasctlError: There is no such score.
    """
    if (score := run_score(record, scored)) is None:
        return None
    # Reading sizes takes as long as reading the run, so only a score that has them waits for them.
    sizes = stored_sizes(store, run, record) if set(score.metrics) - set(record.columns) else {}
    _, values = scores_of_run(record, visited, scored, sizes) or ("", {})
    return Quality(_name(score), values, score)


def trained_quality(store: Store, record: RunRecord, visited: Sequence[Evaluation]) -> Quality | None:
    """Return the validation results of a run's networks; None if none of them is trained to the end.

    Args:
        store: The store of the run.
        record: Record of the run.
        visited: Evaluations of the run's candidates.
    """
    for goal in record.goals:
        if goal.cost == "training":  # each candidate is a training, whatever else the store holds of its network
            rows = losses(visited, [goal])[:, 0].tolist()
            values = {one.genome: -loss for one, loss in zip(visited, rows, strict=True) if loss == loss}
            unit = record.columns[goal.name].unit
            accuracy = goal.direction == "max"
            name = f"validation {'accuracy' if accuracy else 'loss'}"
            return (
                Quality(name, values, None, "%" if accuracy else f" {unit}", 1 if accuracy else -1) if values else None
            )
    if (trained := trained_networks(store, record.space, (one.genome for one in visited))) is None:
        return None
    accuracy = trained.measure == "accuracy"
    results = {genome: trained.value(genome, trained.judged) for genome in trained.finished}
    values = {genome: (100 if accuracy else -1) * value for genome, value in results.items() if value is not None}
    name = f"{trained.judged} {trained.measure}"
    return Quality(name, values, None, "%" if accuracy else "", 1 if accuracy else -1) if values else None


def trained_goal(quality: Quality) -> Goal:
    """Return the objective that results of trainings are compared as."""
    return Goal("trained", "max" if quality.sign > 0 else "min", "identity", "training")


def _name(score: Score) -> str:
    """Return the name of a score in a sentence: "l2_norm+zico score"; other methods than the log rank are named."""
    method = "" if score.method == "log_rank" else f" {score.method.replace('_', ' ')}"
    return f"{'+'.join(score.metrics)}{method} score"
