"""Models that a predictor of accuracy chooses from. All predict normal scores of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from nasctl.prediction.feature_scale import GROUPS, METRICS, FeatureScale
from nasctl.prediction.gaussian_process import GroupedGaussianProcess
from nasctl.prediction.label_scale import LabelScale

CLIP = 3.0  # robust deviations from the median, at which labels are cut off
PERCENTILES = (16, 50, 84)  # of labels: one robust deviation below the median, the median, and one above
TREES = 200  # trees of a model, half of them for each of its two targets
SHARE = 0.5  # share of the features that a split of a tree is chosen from
DRAFT_TREES = 80  # trees of a model whose only purpose is the comparison of models
ROUNDS = 80  # rounds of gradient boosting
RATE = 0.1  # learning rate of gradient boosting
LEAVES = 8  # leaves of a tree of gradient boosting
PENALTIES = tuple(10.0**power for power in np.arange(-2, 4.5, 0.5))  # strengths of ridge regression to choose from
WEIGHT_NOISE = 0.1  # variance of the scores' own noise, against which the variance of a label's error is weighed


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of labelled networks, as models are fitted to them.

    Args:
        scale: Scale of the features.
        features: Features, (N, F); not finite where a metric failed.
        labels: Labels, (N,), higher is better.
        label_scale: Scale between labels and normal scores.
        noise: Variance of each score's known error, (N,), 0 where none is known.
        seed: Seed of all randomness.
        trees: Trees of a forest model.
    """

    scale: FeatureScale
    features: np.ndarray
    labels: np.ndarray
    label_scale: LabelScale
    noise: np.ndarray
    seed: int = 0
    trees: int = TREES

    @property
    def scores(self) -> np.ndarray:
        """Return the normal scores of the labels, (N,)."""
        return self.label_scale.to_scores(self.labels)

    @property
    def weights(self) -> np.ndarray:
        """Return the weights of the labels, (N,): 1 without an error, less for an uncertain label."""
        return WEIGHT_NOISE / (WEIGHT_NOISE + self.noise)

    def part(self, chosen: np.ndarray) -> LabelledFeatures:
        """Return the networks of an index array, (M,), with a label scale of their own, for drafts of models."""
        return replace(
            self,
            features=self.features[chosen],
            labels=self.labels[chosen],
            label_scale=LabelScale.of(self.labels[chosen]),
            noise=self.noise[chosen],
            trees=DRAFT_TREES,
        )


class FittedModel(Protocol):
    """A model that was fitted to labels."""

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the normal score, (N, F) -> (N,) each."""
        ...


class GaussianProcessModel:
    """The mean of two Gaussian processes, of normal scores and of labels; see `GroupedGaussianProcess`.

    Labels tell the size of a gap, which normal scores do not. Labels beyond three deviations count as that far.
    """

    def __init__(self, given: LabelledFeatures) -> None:
        self._given = given
        low, self._center, high = np.percentile(given.labels, PERCENTILES)
        self._unit = (high - low) / 2 or float(given.labels.std())
        clipped = np.clip((given.labels - self._center) / self._unit, -CLIP, CLIP)
        groups = given.scale.scaled(given.features)
        self._by_score, self._by_label = (
            GroupedGaussianProcess.fit(groups, target, given.noise) for target in (given.scores, clipped)
        )

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        groups = self._given.scale.scaled(features)
        mean, deviation = self._by_score.predict(groups)
        labels = self._by_label.predict(groups)[0] * self._unit + self._center
        return (mean + self._given.label_scale.to_scores(labels)) / 2, deviation


class RidgeModel:
    """Bayesian linear regression on the scaled features; the penalty minimises the leave-one-out error."""

    def __init__(self, given: LabelledFeatures) -> None:
        from sklearn.linear_model import RidgeCV  # type: ignore[import-untyped]

        self._scale = given.scale
        points = self._points(given.features)
        self._model = RidgeCV(PENALTIES).fit(points, given.scores, sample_weight=given.weights)
        self._center = points.mean(axis=0)
        centred = (points - self._center) * np.sqrt(given.weights)[:, None]
        _, singular, self._axes = np.linalg.svd(centred, full_matrices=False)
        self._shrunk = 1 / (singular**2 + self._model.alpha_)  # variance along each axis, in variances of the noise
        rest = given.scores - self._model.predict(points)
        freedom = max(1.0, len(rest) - 1 - float((singular**2 * self._shrunk).sum()))
        self._noise = float((given.weights * rest**2).sum() / freedom)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = self._points(features)
        offsets = points - self._center
        along = offsets @ self._axes.T
        across = np.maximum((offsets**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        variance = (along**2 * self._shrunk).sum(axis=1) + across / self._model.alpha_
        return self._model.predict(points), np.sqrt(self._noise * (variance + 1e-9))

    def _points(self, features: np.ndarray) -> np.ndarray:
        return np.concatenate(self._scale.scaled(features), axis=1)


class TreesModel:
    """Extremely randomised trees, half of them fitted to normal scores and half to the labels themselves.

    Labels tell the size of a gap, which normal scores do not, and scores are not ruled by a few bad networks.

    References:
        Geurts, Ernst & Wehenkel, "Extremely randomized trees", Machine Learning 63 (2006) 3-42.
    """

    groups: Sequence[str] = GROUPS  # groups of features that the trees see

    def __init__(self, given: LabelledFeatures) -> None:
        from sklearn.ensemble import ExtraTreesRegressor  # type: ignore[import-untyped]

        self._given = given
        points = given.scale.filled(given.features, self.groups)
        self._forests = [
            ExtraTreesRegressor(given.trees // 2, max_features=SHARE, random_state=given.seed + k).fit(
                points, target, sample_weight=given.weights
            )
            for k, target in enumerate((given.scores, given.labels))
        ]

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = np.asarray(self._given.scale.filled(features, self.groups), dtype=np.float32)
        by_score, by_label = (
            np.array([tree.predict(points, check_input=False) for tree in one.estimators_]) for one in self._forests
        )
        to_scores = self._given.label_scale.to_scores
        mean = (by_score.mean(axis=0) + to_scores(by_label.mean(axis=0))) / 2
        return mean, by_score.std(axis=0) + 1e-3


class MetricTreesModel(TreesModel):
    """Extremely randomised trees on the metrics alone; few labels may favour a gene by chance."""

    groups = (METRICS,)


class BoostingModel:
    """Gradient boosting of histogram trees on normal scores, of scikit-learn.

    References:
        Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29 (2001).
    """

    def __init__(self, given: LabelledFeatures) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        self._scale = given.scale
        leaf = max(3, len(given.labels) // 40)
        self._model = HistGradientBoostingRegressor(
            max_iter=ROUNDS,
            learning_rate=RATE,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=leaf,
            max_features=SHARE,
            early_stopping=False,
            random_state=given.seed,
        )
        points = given.scale.filled(given.features)
        self._model.fit(points, given.scores, sample_weight=given.weights)
        self._spread = float(np.std(given.scores - self._model.predict(points))) + 1e-3

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = self._model.predict(self._scale.filled(features))
        return mean, np.full(len(mean), self._spread)


KINDS: dict[str, type[Any]] = {
    "gaussian_process": GaussianProcessModel,
    "extra_trees": TreesModel,
    "metric_trees": MetricTreesModel,
    "ridge": RidgeModel,
    "boosting": BoostingModel,
}


class WeightedModels:
    """A weighted mean of fitted models.

    Args:
        models: The models, (K,).
        weights: Weights, (K,), of sum 1.
    """

    def __init__(self, models: Sequence[FittedModel], weights: Sequence[float]) -> None:
        self._models, self._weights = models, weights

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = [model.predict(features) for model in self._models]
        mean = sum(weight * mean for weight, (mean, _) in zip(self._weights, parts, strict=True))
        variance = sum(weight * deviation**2 for weight, (_, deviation) in zip(self._weights, parts, strict=True))
        return np.asarray(mean), np.sqrt(variance)
