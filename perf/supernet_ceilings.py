"""Scores that a supernet is compared with on a benchmark: chance, sums over choices, fits to labels, other trainings.

The sum over choices that is fitted to all accuracies is the most that a table of blocks can reach. One training of a
network against its other trainings is the most that any judgement can be expected to reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.predictor import AccuracyPredictor
from nasctl.problem.space import Gene, Genome, SearchSpace

LABELS = (32, 128)  # of the predictors

DRAWS = 3  # of labels, and of halves


def tau(scores: Any, truth: np.ndarray) -> float:
    """Return Kendall's tau of scores with the truth; a network without a score is the worst."""
    known = np.nan_to_num(np.array([*scores], dtype=float), nan=-np.inf)
    return float(kendalltau(known, truth).statistic)


def choice_columns(genes: Sequence[Gene], genomes: Sequence[Genome]) -> np.ndarray:
    """Return a constant, and a column for each choice of each gene, which is 1 where a network has it, (N, 1 + C)."""
    table = np.array(genomes)
    hot = [table[:, [place]] == np.arange(len(gene.choices)) for place, gene in enumerate(genes)]
    return np.column_stack([np.ones(len(table)), *hot]).astype(float)


def additive(
    genes: Sequence[Gene], known: Sequence[Genome], values: np.ndarray, genomes: Sequence[Genome]
) -> np.ndarray:
    """Return the sums over choices, fitted to known values by least squares, of other networks, (N,)."""
    effects = np.linalg.lstsq(choice_columns(genes, known), values, rcond=None)[0]
    found: np.ndarray = choice_columns(genes, genomes) @ effects
    return found


def halves(genes: Sequence[Gene], genomes: Sequence[Genome], losses: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Return Kendall's tau on one half of the networks, the mean over random halves.

    Args:
        genes: The genes of the space.
        genomes: The networks, N of them.
        losses: Their losses with shared weights, (N,).
        right: Their accuracies in the benchmark, (N,).

    Returns:
        Tau of the losses themselves ("direct"), and of sums over choices that are fitted to the losses of the other
        half ("sums").
    """
    found: dict[str, list[float]] = {"direct": [], "sums": []}
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(genomes))
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        few, rest = ([genomes[k] for k in half] for half in (first, second))
        found["direct"].append(tau(-losses[second], right[second]))
        found["sums"].append(tau(-additive(genes, few, losses[first], rest), right[second]))
    return {name: float(np.mean(taus)) for name, taus in found.items()}


class Ceilings:
    """The scores of a benchmark that need its accuracies.

    Args:
        benchmark: The benchmark.
        space: Its space.
        accuracies: The accuracies of all networks, (N,).
    """

    def __init__(self, benchmark: Any, space: SearchSpace, accuracies: np.ndarray) -> None:
        self._benchmark, self._space, self._accuracies = benchmark, space, accuracies
        self._place = {genome: place for place, genome in enumerate(benchmark.genomes)}

    def rows(self, genomes: Sequence[Genome], labels: Sequence[int] = LABELS) -> dict[str, list[float]]:
        """Return Kendall's tau on some networks by the name of the score, one number for each draw of labels.

        Args:
            genomes: The networks that are judged.
            labels: Numbers of labels of the predictors, which are networks that are not judged.
        """
        places = [self._place[genome] for genome in genomes]
        right, rng = self._accuracies[places], np.random.default_rng(0)
        found = {"random": [tau(rng.random(len(places)), right) for _ in range(DRAWS)]}
        for number in labels:
            if draws := [self._fitted(genomes, right, number, draw) for draw in range(DRAWS)]:
                found[f"fit to metrics, {number} labels"] = draws
        table = additive(self._space.genes, self._benchmark.genomes, self._accuracies, genomes)
        found["ceiling of sums over choices"] = [tau(table, right)]
        trainings = next(iter(getattr(self._benchmark, "trainings", {}).values()), None)
        if trainings is not None:
            found["one training beside the benchmark's results"] = [
                tau(trainings.labels[places], np.asarray(trainings.test.accuracy)[places])
            ]
        return found

    def _fitted(self, genomes: Sequence[Genome], right: np.ndarray, number: int, draw: int) -> float:
        """Return tau of a predictor of accuracy, as `nasctl objective fit` makes one, from all columns of metrics."""
        judged = set(genomes)
        order = np.random.default_rng(draw).permutation(len(self._accuracies))
        few = [self._benchmark.genomes[k] for k in order if self._benchmark.genomes[k] not in judged][:number]
        both = [*few, *genomes]
        places = [self._place[genome] for genome in both]
        columns = {name: self._benchmark.column(name).values[places] for name in self._benchmark.names}
        builder = FeatureBuilder.of(self._space, tuple(columns), both)
        values = [{name: float(column[k]) for name, column in columns.items()} for k in range(len(both))]
        table = builder.features(both, values)
        predictor = AccuracyPredictor(builder.groups, sample=table, seed=draw)
        fitted = predictor.fit(table[: len(few)], self._accuracies[places[: len(few)]])
        return tau(fitted.scores(table[len(few) :])[0], right)
