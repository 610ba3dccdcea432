"""A predictor of the accuracy of networks of one space, which a file holds as its labelled networks and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.predictor_schema import LIMIT, PredictorFile, parse, serialize
from nasctl.problem.space import Genome, SearchSpace, validate
from nasctl.system import files

if TYPE_CHECKING:
    from nasctl.prediction.predictor import FittedPredictor

COMPARED_NETWORKS = 3  # labelled networks by which two spaces are told apart


class SpacePredictor:
    """A predictor of a label from genomes and values of metrics. It is fitted anew when it is first used.

    Args:
        file: The labelled networks and the settings.
    """

    def __init__(self, file: PredictorFile) -> None:
        self.file = file
        self.metrics = tuple(file.metrics)

    @classmethod
    def load(cls, path: Path | str) -> SpacePredictor:
        """Load a predictor from a file.

        Raises:
            NasctlError: The file is missing or is no predictor.
        """
        try:
            found = cls(parse(files.read(path, LIMIT).decode()))
            found._check_genomes()
            return found
        except OSError as error:
            reason = f"it cannot be read: {error.strerror or error}"
        except UnicodeDecodeError as error:
            reason = f"it cannot be read: {error}"
        except NasctlError as error:
            reason = str(error)
        raise NasctlError(
            f"Cannot use {path} as a predictor of accuracy: {reason}. Write one with `nasctl objective fit`."
        )

    def save(self, path: Path) -> None:
        """Write the predictor as JSON, atomically.

        Raises:
            NasctlError: The file cannot be written.
        """
        files.write(path, serialize(self.file))

    @cached_property
    def space(self) -> SearchSpace:
        """The search space that the predictor belongs to."""
        made: SearchSpace = registry.create("spaces", self.file.space)
        return made

    @cached_property
    def digest(self) -> str:
        """A short hash of everything that predictions follow from."""
        content = msgspec.to_builtins(self.file)
        facts = {name: content[name] for name in content if name not in ("nasctl", "command", "compared", "held_out")}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]

    @cached_property
    def fitted(self) -> FittedPredictor:
        """The predictor, fitted to the labels of the file. Labels of which lower is better are negated."""
        from nasctl.prediction.predictor import AccuracyPredictor

        file = self.file
        sample = self._features([(row.genome, row.metrics) for row in file.unlabelled]) if file.unlabelled else None
        predictor = AccuracyPredictor(self.builder.groups, file.model, sample, file.seed)
        errors = np.array([np.nan if row.error is None else row.error for row in file.labelled])
        labels = self._sign * np.array([row.label for row in file.labelled])
        features = self._features([(row.genome, row.metrics) for row in file.labelled])
        return replace(predictor.fit(features, labels, errors), widening=file.widening)

    @cached_property
    def builder(self) -> FeatureBuilder:
        """The builder of features."""
        return FeatureBuilder(self.space, self.metrics, self.file.structure)

    def predict(
        self, genomes: Sequence[Genome], values: Sequence[Mapping[str, float]] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted labels of networks and their standard deviations, (N,) each, in the labels' unit.

        Args:
            genomes: Canonical genomes, N of them.
            values: Values of the metrics by name, N of them, without those that failed.
        """
        mean, deviation = self.fitted.predict(self.builder.features(genomes, values))
        return self._sign * mean, deviation

    def difference(self, space: SearchSpace) -> str:
        """Return how a space differs from the predictor's; "" if networks of a genome are the same in both."""
        own = self.space
        if [(gene.name, gene.choices) for gene in space.genes] != [(gene.name, gene.choices) for gene in own.genes]:
            return "has other genes"
        if space.input != own.input:
            return "has another input"
        genomes = [row.genome for row in self.file.labelled[:COMPARED_NETWORKS]]
        return "" if all(space.network(one) == own.network(one) for one in genomes) else "has other networks"

    @property
    def reliability(self) -> str:
        """How far to be believed: "held-out Kendall .84 [.80, .87] on 32 left-out labels; params .65, macs .60"."""
        held = self.file.held_out
        figures = {name: one.kendall for name, one in held.figures.items()}
        own = figures.pop("predictor", None)
        shown = "orders nothing" if own is None else f"{own[0]:.2f} [{own[1]:.2f}, {own[2]:.2f}]"
        others = ", ".join(f"{name} {'-' if one is None else format(one[0], '.2f')}" for name, one in figures.items())
        return f"held-out Kendall {shown} on {held.networks} labels, {held.how}; {others}"

    @property
    def weakness(self) -> str:
        """Why the predictor should not be believed; "" if it beats the sizes on labels left out."""
        kendall = {name: one.kendall for name, one in self.file.held_out.figures.items()}
        own = kendall.pop("predictor", None)
        if own is None or own[1] <= 0:
            return "NOT BETTER THAN CHANCE: the interval of its held-out Kendall holds 0; label more networks"
        better = [name for name, one in kendall.items() if one is not None and one[0] >= own[0]]
        return f"NOT BETTER THAN {', '.join(better)} on labels left out; label more networks" if better else ""

    @property
    def _sign(self) -> int:
        return 1 if self.file.direction == "max" else -1

    def _features(self, rows: Sequence[tuple[Genome, Sequence[float | None]]]) -> np.ndarray:
        values = [{k: v for k, v in zip(self.metrics, found, strict=True) if v is not None} for _, found in rows]
        return self.builder.features([genome for genome, _ in rows], values)

    def _check_genomes(self) -> None:
        """Check that every genome of the file is one of its space.

        Raises:
            NasctlError: One is not, or there is no such space.
        """
        for genome in [*(row.genome for row in self.file.labelled), *(row.genome for row in self.file.unlabelled)]:
            validate(self.space.genes, genome)
