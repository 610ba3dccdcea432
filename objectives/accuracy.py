"""Accuracy: of variants of a trained network, with a supernet's weights, or predicted by a fitted predictor."""

from __future__ import annotations

from pathlib import Path

from nasctl.api import BadOption, Candidate, Direction, NasctlError, Network, SearchSpace, Setting, Transform
from nasctl.compression.variant_accuracy import VariantAccuracy
from nasctl.prediction.candidate_metrics import metric_values, predictor_metrics, wrong_setting
from nasctl.prediction.space_predictor import SpacePredictor, check_name
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES, InheritedQuality

__all__ = ["Accuracy"]


class Accuracy:
    """Accuracy of the trained candidate, written `accuracy`, `accuracy@FILE.json` or `accuracy@NAME`.

    Without a file, the networks of the space have trained weights, such as those of `quantized`. The accuracy, in per
    cent, is that on validation images of the data of the search, split as in the training of the given network.

    A predictor, which `nasctl objective fit` writes, is to accuracy what a latency table is to latency. It is fitted
    anew to the labelled networks in its file when the first candidate is scored, and a search shows how far it is to be
    believed.

    With a supernet, which `nasctl supernet train` trains, the candidate has its slices of the shared weights.
    Batch-norm statistics are calibrated for each candidate. The accuracy, in per cent, is that on a fixed set of
    validation images, which the supernet's file holds.

    References:
        White et al., "How powerful are performance predictors in neural architecture search?", NeurIPS 2021,
        arXiv:2104.01177. Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV
        2020, arXiv:1904.00420.

    Args:
        file: Path of the predictor, a JSON file; or name of a supernet beside the store, or the path of its weights; ""
            for the weights of the space's own networks.
        images: Validation images that each candidate is evaluated on, unless a predictor predicts.
        split: Shares of the parts of the data, joined by "-", without a file; "" for those of the network's training.
        split_seed: Seed of the split; -1 for that of the network's training.
    """

    unit = "label"
    direction: Direction = "max"
    transform: Transform = "identity"
    needs = frozenset({"network", "trained_weights"})  # without a file
    shared_weights = ""

    def __init__(self, file: str = "", images: int = DEFAULT_IMAGES, split: str = "", split_seed: int = -1) -> None:
        self._variants: VariantAccuracy | None = None
        self._inherited: InheritedQuality | None = None
        if file and (split or split_seed >= 0):
            raise BadOption(f"Cannot split data for accuracy@{file}: it reads none. Leave split and split_seed out.")
        if not file:
            self._variants = VariantAccuracy(images, split, split_seed)
            given = {"images": images, "split": split, "split_seed": split_seed}
            usual = {"images": DEFAULT_IMAGES, "split": "", "split_seed": -1}
            options = ",".join(f"{key}={value}" for key, value in given.items() if value != usual[key])
            self.label, self.version = f"accuracy:{options}".removesuffix(":"), self._variants.version
            self.unit = "%"
            return
        if not file.endswith(".json"):
            self._inherited = InheritedQuality.of(file, images, "accuracy")
            self.label, self.version = self._inherited.label, self._inherited.version
            self.unit, self.needs = "%", frozenset({"network", "module"})
            self.shared_weights = self._inherited.name
            return
        if images != DEFAULT_IMAGES:
            raise BadOption(f"Cannot use images={images} with the predictor {file}: it reads none. Leave it out.")
        check_name(Path(file))
        self.predictor = SpacePredictor.load(file)
        self._metrics = predictor_metrics(self.predictor)
        self.label = f"accuracy@{Path(file).stem}"  # shown instead of the objective's spec
        self.unit = f"predicted {self.predictor.file.column}"
        self.direction = self.predictor.file.direction
        self.version = self.predictor.digest  # stored values are not reused after the predictor changes
        self.needs = frozenset({"network"}).union(*(metric.needs for metric in self._metrics.values()))

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the objective says nothing of a space; "" if it was fitted or trained on the space."""
        if self._variants is not None:
            return self._variants.wrong_space(space)
        if self._inherited is not None:
            return self._inherited.wrong_space(space)
        difference = self.predictor.difference(space)
        return f"it was fitted on {self.predictor.file.space}, and this space {difference}" if difference else ""

    def wrong_setting(self, setting: Setting) -> str:
        """Return why the objective says nothing in the setting of a search, with a remedy; "" if it does."""
        if self._variants is not None:
            return self._variants.wrong_setting(setting)
        return "" if self._inherited is not None else wrong_setting(self.predictor, setting)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return held-out figures of the predictor, or the origin of shared weights, and their limits."""
        if self._variants is not None:
            return []
        if self._inherited is not None:
            return self._inherited.remarks()
        file = self.predictor.file
        lines = [
            f"{file.model} fitted to {len(file.labelled)} labels ({file.column} of {file.source});"
            f" {self.predictor.reliability}"
        ]
        return [*lines, weakness] if (weakness := self.predictor.weakness) else lines

    def setting_remarks(self, space: SearchSpace, setting: Setting) -> list[str]:
        """Return the accuracy of the network whose variants are measured, and doubts about the images."""
        return [] if self._variants is None else self._variants.setting_remarks(space, setting)

    def __call__(self, candidate: Candidate) -> float:
        """Return the predicted label of the candidate, or its accuracy with its trained or inherited weights.

        A metric that fails on the candidate counts as failed, as it does in the fit.

        Raises:
            NasctlError: The space or the setting of the candidate is not the predictor's, or not the supernet's.
            ArithmeticError: The supernet's training has not reached some weights of the candidate.
        """
        if self._variants is not None:
            return self._variants(candidate)
        if self._inherited is not None:
            return self._inherited(candidate)
        if reason := self.wrong_space(candidate.space):
            raise NasctlError(f"Cannot predict with {self.label}: {reason}. Fit a predictor on this space.")
        values = metric_values(self.predictor, self._metrics, candidate)
        mean, _ = self.predictor.predict([candidate.genome], [values])
        return float(mean[0])
