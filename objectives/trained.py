"""Accuracy, or loss, of the trained candidate on validation data."""

from __future__ import annotations

from nasctl.api import BadOption, Candidate, Direction, Input, Network, Transform
from nasctl.training.candidate_training import CandidateTraining

__all__ = ["TrainedQuality"]


class TrainedQuality:
    """Validation accuracy of the candidate after a training on the data of the search.

    Every candidate costs a whole training. The training is filed in the store as those of `nasctl train` are, with its
    weights and its accuracy on the test part, which no search sees. It goes on from its newest checkpoint if the search
    was stopped. The recipe and its defaults are those of `nasctl train`.

    Args:
        recipe: Path of a TOML file with fields of the recipe; "" for the usual recipe of the task.
        epochs: Passes over the training part; 0 for those of the recipe.
        split: Shares of training, validation and test examples, joined by "-".
        split_seed: Seed of the split.
        batch: Examples of a step; 0 for those of the recipe.
        measure: "accuracy", in per cent; or "loss", in nats, which spaces of language need.
    """

    needs = frozenset({"training"})
    version = "1"
    transform: Transform = "identity"
    direction: Direction = "max"
    unit = "%"

    def __init__(
        self,
        recipe: str = "",
        epochs: int = 0,
        split: str = "0.8-0.1-0.1",
        split_seed: int = 0,
        measure: str = "accuracy",
        batch: int = 0,
    ) -> None:
        if measure not in ("accuracy", "loss"):
            raise BadOption(f"Cannot measure {measure!r} of a trained network. Give measure=accuracy or measure=loss.")
        if min(epochs, split_seed, batch) < 0:
            raise BadOption(
                "Cannot train with a negative number of epochs or batch, or split by a negative seed. Give 0 or more."
            )
        self._training = CandidateTraining(recipe, epochs, split, split_seed, batch)
        self._measure = measure
        if measure == "loss":
            self.direction, self.unit = "min", "nats"
        self._filed: tuple[str, str] | None = None  # space and store

    def file_under(self, space: str, store: str) -> None:
        self._filed = space, store

    def version_on(self, given: Input, example: Network) -> str:
        return f"{self.version}-{self._training.version(given, example)}"

    def inapplicable_reason(self, given: Input, example: Network) -> str:
        """Return why the networks cannot be judged by their accuracy; "" if they can."""
        if given.kind == "tokens" and self._measure == "accuracy":
            return "its networks learn words, which have a loss and no accuracy; use trained:measure=loss"
        return ""

    def __call__(self, candidate: Candidate) -> float:
        if self._filed is None:
            raise BadOption("Cannot train outside of a search: no store was named. Use nasctl train.")
        result = self._training.train(candidate, *self._filed).results["validation"]
        if self._measure == "loss":
            return result.loss
        if result.accuracy is None:
            raise BadOption("Cannot judge networks of words by accuracy: they have none. Use trained:measure=loss.")
        return 100 * result.accuracy
