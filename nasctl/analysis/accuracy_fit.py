"""Fit of a predictor of accuracy to labelled networks, with its figures on labels left out beside simpler scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nasctl import registry
from nasctl.analysis.accuracy_labels import LabelledGenomes
from nasctl.analysis.aggregate import log_rank
from nasctl.analysis.correlate import oriented_values
from nasctl.analysis.rank_correlation import Agreement, agreement
from nasctl.analysis.score import Scored
from nasctl.candidates.objective import Objective, version_on
from nasctl.correlations.defaults import default_choice, default_score
from nasctl.evaluation.task import Task
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.predictor import CHOOSE, FOLDS, LEAST, AccuracyPredictor, FittedPredictor, folds
from nasctl.prediction.predictor_schema import (
    Figures,
    HeldOut,
    LabelledRow,
    MetricFacts,
    PredictorFile,
    SampledRow,
)
from nasctl.prediction.space_predictor import SpacePredictor
from nasctl.prediction.structure import VERSION
from nasctl.problem.space import Genome
from nasctl.registry.version import __version__
from nasctl.search.default_objectives import space_kind

SIZES = ("params", "macs")  # costs that a predictor has to beat

# Labels without which a fold of the cross-validation that judges a predictor has too few labels to fit to.
LEAST_CROSS_VALIDATED = -(-LEAST * FOLDS // (FOLDS - 1))


@dataclass(frozen=True)
class FitRequest:
    """What a predictor is fitted to, and how.

    Args:
        task: Space, metrics and setting.
        space: Spec of the space.
        labelled: Networks that give a label.
        left_out: Networks with labels that take no part in the fit; without any, figures are cross-validated.
        sample: Canonical genomes of further networks, which help to scale the metrics.
        model: "choose", or names of models joined by "+".
        seed: Seed of folds and models.
        command: Command line, for the file.
    """

    task: Task
    space: str
    labelled: LabelledGenomes
    left_out: LabelledGenomes
    sample: tuple[Genome, ...] = ()
    model: str = CHOOSE
    seed: int = 0
    command: str = ""

    @property
    def genomes(self) -> list[Genome]:
        """Return the canonical genomes of all networks whose metrics are needed, each once."""
        return list(dict.fromkeys([*self.labelled.genomes, *self.left_out.genomes, *self.sample]))


@dataclass(frozen=True)
class ScoreOnLabels:
    """A score and its agreement with labels that took no part in a fit."""

    name: str
    agreement: Agreement


@dataclass(frozen=True)
class FitResult:
    """A fitted predictor and its figures on labels left out.

    Args:
        predictor: The predictor.
        fitted: Its models.
        scores: The predictor and simpler scores, in descending order of Kendall's tau.
        how: How the labels were kept apart.
    """

    predictor: SpacePredictor
    fitted: FittedPredictor
    scores: tuple[ScoreOnLabels, ...]
    how: str


def fit_accuracy(request: FitRequest, rows: Mapping[Genome, Scored]) -> FitResult:
    """Fit a predictor and measure what it reaches on labels left out.

    Args:
        request: What it is fitted to.
        rows: Scores of all networks of the request, by canonical genome.

    Raises:
        NasctlError: There are too few labels, or all are equal.
    """
    task, labelled = request.task, request.labelled
    names = tuple(task.metrics)
    builder = FeatureBuilder.of(task.space, names, request.genomes)
    sample = _features(builder, request.sample, rows) if request.sample else None
    settings = AccuracyPredictor(builder.groups, request.model, sample, request.seed)
    features = _features(builder, labelled.genomes, rows)
    fitted = settings.fit(features, labelled.ascending, labelled.errors)
    if request.left_out.genomes:
        judged, how = request.left_out, "which were left out"
        predicted = fitted.predict(_features(builder, judged.genomes, rows))[0]
    else:
        judged, how = labelled, f"cross-validated in {FOLDS} folds"
        predicted = _cross_validated(settings, features, labelled)
    scores = {"predictor": predicted, **_simple_scores(request, judged.genomes, rows)}
    agreements = [ScoreOnLabels(name, agreement(one, judged.ascending, request.seed)) for name, one in scores.items()]
    held = HeldOut(len(judged.genomes), how, {one.name: _figures(one.agreement) for one in agreements})
    predictor = SpacePredictor(_file(request, rows, builder, fitted, held))
    ordered = sorted(
        agreements, key=lambda one: -np.inf if one.agreement.kendall is None else -one.agreement.kendall.value
    )
    return FitResult(predictor, fitted, tuple(ordered), how)


def _cross_validated(settings: AccuracyPredictor, features: np.ndarray, labelled: LabelledGenomes) -> np.ndarray:
    """Return predictions of labels, (N,), each by a predictor that was chosen and fitted without the label."""
    predicted = np.full(len(labelled.labels), np.nan)
    for rest, out in folds(len(predicted), settings.seed + 1):
        part = settings.fit(features[rest], labelled.ascending[rest], labelled.errors[rest])
        predicted[out] = part.predict(features[out])[0]
    return predicted


def _simple_scores(
    request: FitRequest, genomes: Sequence[Genome], rows: Mapping[Genome, Scored]
) -> dict[str, np.ndarray]:
    """Return scores of networks that need no label, (N,) each, of which higher is better: sizes and a log rank.

    The log rank is that of the metrics which are the space's default score, as far as they are measured.
    """
    metrics: Mapping[str, Objective] = request.task.metrics
    values = {
        name: oriented_values(metric, [rows[genome].evaluation.values.get(name, np.nan) for genome in genomes])
        for name, metric in metrics.items()
    }
    found = {name: values[name] for name in SIZES if name in values}
    asked = space_kind(request.space, request.task.space)
    choice = default_choice(asked)
    usual = [name for name in (default_score(asked, choice) if choice else ()) if name in values]
    if ranked := [name for name in usual if name not in SIZES] and usual:
        found[f"log_rank({', '.join(ranked)})"] = log_rank(np.stack([values[name] for name in ranked]))
    return found


def _features(builder: FeatureBuilder, genomes: Sequence[Genome], rows: Mapping[Genome, Scored]) -> np.ndarray:
    return builder.features(genomes, [rows[genome].evaluation.values for genome in genomes])


def _figures(found: Agreement) -> Figures:
    kendall, spearman, top = (
        None if one is None else (one.value, one.low, one.high) for one in (found.kendall, found.spearman, found.top)
    )
    return Figures(kendall, spearman, top)


def _file(
    request: FitRequest, rows: Mapping[Genome, Scored], builder: FeatureBuilder, fitted: FittedPredictor, held: HeldOut
) -> PredictorFile:
    """Return the content of the predictor's file."""
    task, labelled = request.task, request.labelled

    def values(genome: Genome) -> tuple[float | None, ...]:
        return tuple(rows[genome].evaluation.values.get(name) for name in task.metrics)

    return PredictorFile(
        nasctl=__version__,
        command=request.command,
        space=registry.spelled_out("spaces", request.space),
        column=labelled.column,
        source=labelled.source,
        direction=labelled.direction,
        setting=None if all(one.needs <= {"network"} for one in task.metrics.values()) else str(task.setting),
        metrics={name: MetricFacts(version_on(metric, task.space)) for name, metric in task.metrics.items()},
        structure=builder.structure,
        structure_version=VERSION,
        model=fitted.name,
        seed=request.seed,
        widening=fitted.widening,
        compared=fitted.compared,
        held_out=held,
        labelled=tuple(
            LabelledRow(genome, float(label), None if np.isnan(error) else float(error), values(genome))
            for genome, label, error in zip(labelled.genomes, labelled.labels, labelled.errors, strict=True)
        ),
        unlabelled=tuple(SampledRow(genome, values(genome)) for genome in request.sample),
    )
