"""A predictor of accuracy, whose model is chosen by cross-validation on the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nasctl.errors import BadOption, NasctlError
from nasctl.prediction.feature_scale import STRUCTURE, FeatureScale
from nasctl.prediction.label_scale import LabelScale
from nasctl.prediction.models import KINDS, FittedModel, LabelledFeatures, WeightedModels

LEAST = 8  # labels, below which no predictor is fitted
FOLDS = 5  # folds of the cross-validation by which a model is chosen
CHOOSE = "choose"  # the model that stands for the choice by cross-validation
# Models and means of models to choose from. The first one is the default; another one has to be better beyond chance.
CHOICES: tuple[tuple[str, ...], ...] = (
    ("gaussian_process", "ridge", "extra_trees", "metric_trees"),
    ("gaussian_process", "extra_trees", "metric_trees"),
    ("gaussian_process",),
    ("gaussian_process", "ridge"),
    ("gaussian_process", "extra_trees"),
    ("gaussian_process", "metric_trees"),
    ("gaussian_process", "extra_trees", "boosting"),
    ("extra_trees",),
    ("metric_trees",),
    ("ridge",),
    ("boosting",),
)
CERTAIN = 1.0  # standard errors by which a choice has to beat the default


@dataclass(frozen=True)
class FittedPredictor:
    """A predictor of accuracy that was fitted to labels.

    Args:
        kinds: Names of the models whose mean it is, as in `nasctl.prediction.models.KINDS`.
        compared: Kendall's tau of each choice on labels left out, by its name such as "gaussian_process+extra_trees";
            empty if the model was given.
        label_scale: Scale between labels and the scores that models predict.
        model: The mean of the models.
        widening: Factor on deviations, by which they fit the errors on labels left out.
    """

    kinds: tuple[str, ...]
    compared: Mapping[str, float]
    label_scale: LabelScale
    model: FittedModel
    widening: float

    @property
    def name(self) -> str:
        """Return the name of the model, such as "gaussian_process+extra_trees"."""
        return "+".join(self.kinds)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted labels and their standard deviations, (N, F) -> (N,) each, in the labels' unit.

        Args:
            features: Features, (N, F), in the order that the predictor was fitted with; not finite where a metric
                failed.
        """
        mean, deviation = self.scores(features)
        low, high = (self.label_scale.to_labels(mean + sign * deviation) for sign in (-1, 1))
        return self.label_scale.to_labels(mean), (high - low) / 2

    def scores(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted normal scores of the labels and their deviations, (N, F) -> (N,) each.

        Scores are ordered as labels are. Among the labels they have about mean 0 and deviation 1.
        """
        mean, deviation = self.model.predict(features)
        return mean, self.widening * deviation


@dataclass(frozen=True)
class AccuracyPredictor:
    """A predictor of accuracy, or of any label of which higher is better, from features of networks.

    Networks are compared by ranks: models are fitted to the normal scores of the labels' ranks. The model is chosen by
    cross-validation on the labels only. Equal input gives equal predictions.

    Args:
        groups: Group of each feature, (F,): "metrics", "structure" or "genes"; without them, all are "structure". See
            `nasctl.prediction.feature_scale`.
        model: "choose", or names of models joined by "+", such as "gaussian_process" or "ridge+extra_trees".
        sample: Features of further networks of the space without labels, (R, F). They help to scale the metrics.
        seed: Seed of folds and trees.
    """

    groups: Sequence[str] = ()
    model: str = CHOOSE
    sample: np.ndarray | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [one for one in self.model.split("+") if one not in KINDS and self.model != CHOOSE]
        if unknown:
            raise BadOption(
                f"Cannot fit the model {unknown[0]!r}: nasctl has {CHOOSE}, {', '.join(KINDS)}, and means of them"
                " such as gaussian_process+ridge. Give one of them."
            )

    def fit(self, features: np.ndarray, labels: np.ndarray, errors: np.ndarray | None = None) -> FittedPredictor:
        """Fit the predictor.

        Args:
            features: Features, (N, F); not finite where a metric failed.
            labels: Labels, (N,), finite, higher is better.
            errors: Standard errors of the labels, (N,); NaN or 0 where none is known.

        Raises:
            NasctlError: There are fewer than 8 labels, all are equal, or no feature varies.
        """
        given = self._given(features, labels, errors)
        if self.model != CHOOSE:
            kinds = tuple(self.model.split("+"))
            return _fitted(given, kinds, {}, 1.0)
        left_out = {kind: np.full((2, len(labels)), np.nan) for kind in KINDS}
        for rest, out in folds(len(labels), self.seed):
            part = given.part(rest)
            for kind, found in left_out.items():
                mean, deviation = KINDS[kind](part).predict(given.features[out])
                found[:, out] = given.label_scale.to_scores(part.label_scale.to_labels(mean)), deviation
        means = {choice: np.mean([left_out[kind][0] for kind in choice], axis=0) for choice in CHOICES}
        agreeing = {choice: _concordance(mean, given.labels) for choice, mean in means.items()}
        compared = {choice: float(shares.mean()) for choice, shares in agreeing.items()}
        chosen = max(CHOICES, key=lambda choice: compared[choice])
        lead = agreeing[chosen] - agreeing[CHOICES[0]]
        if lead.mean() <= CERTAIN * 2 * lead.std() / np.sqrt(len(lead)):  # the error of a mean over pairs
            chosen = CHOICES[0]
        variance = np.mean([left_out[kind][1] ** 2 for kind in chosen], axis=0)
        squares = (means[chosen] - given.scores) ** 2
        widening = float(np.sqrt(squares.sum() / variance.sum()))
        return _fitted(given, chosen, {"+".join(choice): tau for choice, tau in compared.items()}, widening)

    def _given(self, features: np.ndarray, labels: np.ndarray, errors: np.ndarray | None) -> LabelledFeatures:
        """Check the arguments of `fit` and return them with their scales."""
        features, labels = np.asarray(features, dtype=float), np.asarray(labels, dtype=float)
        if features.ndim != 2 or labels.shape != features.shape[:1] or not np.isfinite(labels).all():
            raise ValueError("features must be (N, F) and labels (N,), and every label finite")
        check_labels(labels)
        groups = tuple(self.groups) or (STRUCTURE,) * features.shape[1]
        sample = features if self.sample is None else np.concatenate([features, self.sample])
        scale = FeatureScale(groups, sample)
        if not scale.scaled(features[:1]):
            raise NasctlError("Cannot fit a predictor: no feature differs between the networks. Name other metrics.")
        label_scale = LabelScale.of(labels)
        known = np.zeros(len(labels)) if errors is None else np.nan_to_num(np.asarray(errors, dtype=float))
        noise = (known / label_scale.slopes(labels)) ** 2
        return LabelledFeatures(scale, features, labels, label_scale, noise, self.seed)


def check_labels(labels: np.ndarray) -> None:
    """Check that a predictor can be fitted to labels, (N,).

    Raises:
        NasctlError: There are fewer than 8, or all are equal.
    """
    if len(labels) < LEAST:
        raise NasctlError(
            f"Cannot fit a predictor to {len(labels)} labelled networks: it needs {LEAST}. Label more networks."
        )
    if np.ptp(labels) == 0:
        raise NasctlError(
            f"Cannot fit a predictor to {len(labels)} equal labels: there is nothing to order. Label networks that"
            " differ more."
        )


def folds(number: int, seed: int, count: int = FOLDS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the places that stay and the places that are left out, for each fold of N networks.

    Args:
        number: Number of networks, N.
        seed: Seed of the order of the networks.
        count: Number of folds.
    """
    order = np.random.default_rng(seed).permutation(number)
    for fold in range(min(count, number)):
        out = np.sort(order[fold::count])
        yield np.setdiff1d(np.arange(number), out), out


def _fitted(
    given: LabelledFeatures, kinds: tuple[str, ...], compared: Mapping[str, float], widening: float
) -> FittedPredictor:
    models = [KINDS[kind](given) for kind in kinds]
    mean = WeightedModels(models, [1 / len(models)] * len(models))
    return FittedPredictor(kinds, compared, given.label_scale, mean, widening)


def _concordance(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the share of concordant less discordant pairs of each network, (N,). The mean is Kendall's tau a."""
    signs = np.sign(predicted[:, None] - predicted) * np.sign(labels[:, None] - labels)
    return np.asarray(signs.sum(axis=1) / max(1, len(labels) - 1))
