"""NAS-Bench-301: 725 pairs of DARTS cells, with the accuracy that a surrogate predicts and twelve scores.

References:
    Zela et al., "Surrogate NAS benchmarks: Going beyond the limited search spaces of tabular NAS benchmarks", ICLR
    2022, arXiv:2008.09777. Scores: Krishnakumar et al., "NAS-Bench-Suite-Zero: Accelerating research on zero cost
    proxies", NeurIPS 2022, arXiv:2210.03230.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import Scene, TabulatedObjective
from nasctl.bench.published import published
from nasctl.errors import UnknownName
from nasctl.networks.graph import Network
from nasctl.pareto.hypervolume import scaled
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome, SearchSpace

__all__ = ["DARTS"]

SPACE = "darts:channels=32,cells=8"
COSTS = ("macs", "params")  # of this project; all other columns are the table's
METRICS = {
    "naswot": "nwot",
    **{one: one for one in ("epe_nas", "fisher", "grad_norm", "grasp", "jacov", "l2_norm", "plain", "snip", "synflow")},
}  # and what they are called there
WHERE = "NASLib's scores and predicted accuracies (github.com/automl/NASLib, naslib/data/zc_nasbench301.json)"


class Nearest:
    """The space of all cells, in which each stands for the cells of a list that differ from it in the fewest genes.

    Args:
        space: That it is made of.
        listed: Canonical genomes, (N,); of several that are equally near, the first.
    """

    def __init__(self, space: SearchSpace, listed: Sequence[Genome]) -> None:
        self._space, self._listed, self._table = space, listed, np.array(listed)
        self.genes, self.input = space.genes, space.input

    def canonical(self, genome: Genome) -> Genome:
        differing = (self._table != np.array(self._space.canonical(genome))).sum(axis=1)  # (N,)
        return self._listed[int(differing.argmin())]

    def network(self, genome: Genome) -> Network:
        return self._space.network(genome)

    def reduced(self, fidelity: Fidelity) -> SearchSpace:
        return self._space.reduced(fidelity)


class DARTS:
    """Pairs of DARTS cells, of which 725 are known: every other one stands for the one that differs in fewest genes.

    So searchers breed as they do in the whole space, and are judged by what is known; a search of more than a hundred
    or two evaluations soon knows most of the list. Cells are judged by the accuracy on CIFAR-10 that the surrogate
    predicts, which nobody trained, and by multiply-accumulates, both scaled to 0 to 1 over the list. Metrics and the
    time they take are those of NASLib's table; `macs` and `params` are this project's.
    """

    usual: Sequence[str] = ("naswot", "synflow", "macs")
    evaluations = 100
    source = "NAS-Bench-301, accuracies on CIFAR-10 predicted by its surrogate for 725 of 1e18 pairs of cells"

    def __init__(self) -> None:
        space = registry.create("spaces", SPACE)
        table = json.loads(published("nb301-darts", "zc_nasbench301_725.json.gz", WHERE))["cifar10"]
        self._rows: Mapping[Genome, Any] = {space.canonical(space.parse(key)): row for key, row in table.items()}
        self.genomes: Sequence[Genome] = sorted(self._rows)
        self.space: SearchSpace = Nearest(space, self.genomes)
        self._networks = [space.network(genome) for genome in self.genomes]

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [*METRICS, *COSTS]

    def column(self, name: str) -> TabulatedObjective:
        """One of them.

        Raises:
            UnknownName: There is none of that name.
        """
        if name in COSTS:
            return TabulatedObjective(Goal(name, "min", "identity", "network"), self._costs(name))
        if name not in METRICS:
            raise UnknownName("objective of the benchmark", name, self.names)
        metric = registry.create("objectives", name)
        scores = [self._rows[genome][METRICS[name]] for genome in self.genomes]
        values, seconds = (np.array([score[key] for score in scores]) for key in ("score", "time"))
        return TabulatedObjective(Goal(name, metric.direction, metric.transform, "module"), values, seconds)

    @cached_property
    def scenes(self) -> dict[str, Scene]:
        """The one data set."""
        accuracy = np.array([self._rows[genome]["val_accuracy"] for genome in self.genomes])
        return {"cifar10": Scene(1 - scaled(accuracy), scaled(self._costs("macs")), accuracy)}

    def _costs(self, name: str) -> np.ndarray:
        return np.array([float(getattr(network, name)) for network in self._networks])
