"""Accuracy, predicted from metrics, structure and genes by a predictor that was fitted to labelled networks."""

from __future__ import annotations

from pathlib import Path

from nasctl.api import Candidate, Direction, NasctlError, Network, SearchSpace, Setting, Transform
from nasctl.prediction.candidate_metrics import metric_values, predictor_metrics, wrong_setting
from nasctl.prediction.space_predictor import SpacePredictor, check_name

__all__ = ["Accuracy"]


class Accuracy:
    """Accuracy of the trained candidate, as a predictor that `nasctl objective fit` wrote predicts it.

    A predictor is to accuracy what a latency table is to latency. It is fitted anew to the labelled networks in its
    file when the first candidate is scored, and a search shows how far it is to be believed.

    References:
        White et al., "How powerful are performance predictors in neural architecture search?", NeurIPS 2021,
        arXiv:2104.01177.

    Args:
        file: Path of the predictor, a JSON file.
    """

    unit = "label"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"network"})  # and the needs of the predictor's metrics

    def __init__(self, file: str) -> None:
        check_name(Path(file))
        self.predictor = SpacePredictor.load(file)
        self._metrics = predictor_metrics(self.predictor)
        self.label = f"accuracy@{Path(file).stem}"  # shown instead of the objective's spec
        self.unit = f"predicted {self.predictor.file.column}"
        self.direction = self.predictor.file.direction
        self.version = self.predictor.digest  # stored values are not reused after the predictor changes
        self.needs = self.needs.union(*(metric.needs for metric in self._metrics.values()))

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the predictor says nothing of a space; "" if it was fitted on the space."""
        difference = self.predictor.difference(space)
        return f"it was fitted on {self.predictor.file.space}, and this space {difference}" if difference else ""

    def wrong_setting(self, setting: Setting) -> str:
        """Return why the predictor says nothing in the setting of a search, with a remedy; "" if it does."""
        return wrong_setting(self.predictor, setting)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the held-out figures of the predictor, and warnings about its limits."""
        file = self.predictor.file
        lines = [
            f"{file.model} fitted to {len(file.labelled)} labels ({file.column} of {file.source});"
            f" {self.predictor.reliability}"
        ]
        return [*lines, weakness] if (weakness := self.predictor.weakness) else lines

    def __call__(self, candidate: Candidate) -> float:
        """Return the predicted label of the candidate.

        A metric that fails on the candidate counts as failed, as it does in the fit.

        Raises:
            NasctlError: The space or the setting of the candidate is not the predictor's.
        """
        if reason := self.wrong_space(candidate.space):
            raise NasctlError(f"Cannot predict with {self.label}: {reason}. Fit a predictor on this space.")
        values = metric_values(self.predictor, self._metrics, candidate)
        mean, _ = self.predictor.predict([candidate.genome], [values])
        return float(mean[0])
