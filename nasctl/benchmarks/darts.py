"""NAS-Bench-301: 725 pairs of DARTS cells with the accuracies that a surrogate predicts, and twelve objectives.

References:
    Zela et al., "Surrogate NAS benchmarks: Going beyond the limited search spaces of tabular NAS benchmarks", ICLR
    2022, arXiv:2008.09777. Scores: Krishnakumar et al., "NAS-Bench-Suite-Zero: Accelerating research on zero cost
    proxies", NeurIPS 2022, arXiv:2210.03230.
"""

from __future__ import annotations

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
from nasctl.system.files import parsed

__all__ = ["DARTSBenchmark"]

SPACE = "darts:channels=32,cells=8"
COSTS = ("macs", "params")  # columns that nasctl computes; all others are from NASLib's table
METRICS = {  # NASLib's name of each metric
    "naswot": "nwot",
    **{one: one for one in ("epe_nas", "fisher", "grad_norm", "grasp", "jacov", "l2_norm", "plain", "snip", "synflow")},
}
# Source of the table, for the message that asks for it.


class NearestListedSpace:
    """A search space in which every genome is represented by the nearest genome of a list.

    The nearest genome differs in the fewest genes. If several genomes are equally near, the first of them counts.

    Args:
        space: The whole space.
        listed: Canonical genomes, (N,).
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


class DARTSBenchmark:
    """NAS-Bench-301: pairs of DARTS cells, each represented by the nearest of 725 pairs with known scores.

    The nearest pair differs in the fewest genes. Searchers therefore breed as in the whole space and are judged by
    known architectures. A search of more than 100 to 200 evaluations soon knows most of the list.

    Architectures are judged by the accuracy on CIFAR-10 that the surrogate predicts, without training, and by
    multiply-accumulates. Both are scaled to 0 to 1 over the list. Metrics and their times are from NASLib's table.
    nasctl computes `macs` and `params`.
    """

    default_objectives: Sequence[str] = ("naswot", "synflow", "macs")
    evaluations = 100
    source = "NAS-Bench-301, accuracies on CIFAR-10 predicted by its surrogate for 725 of 1e18 pairs of cells"

    def __init__(self) -> None:
        space = registry.create("spaces", SPACE)
        table = parsed(published("nb301-darts", "zc_nasbench301_725.json.gz", "darts"))["cifar10"]
        self._rows: Mapping[Genome, Any] = {space.canonical(space.parse(key)): row for key, row in table.items()}
        self.genomes: Sequence[Genome] = sorted(self._rows)
        self.space: SearchSpace = NearestListedSpace(space, self.genomes)
        self._networks = [space.network(genome) for genome in self.genomes]

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [*METRICS, *COSTS]

    def column(self, name: str) -> TabulatedObjective:
        """Return a column by its name.

        Raises:
            UnknownName: There is no column of that name.
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
        """Return the scene of the data set."""
        accuracy = np.array([self._rows[genome]["val_accuracy"] for genome in self.genomes])
        return {"cifar10": Scene(1 - scaled(accuracy), scaled(self._costs("macs")), accuracy)}

    def _costs(self, name: str) -> np.ndarray:
        """Return the MACs or the parameters of the architectures, (N,)."""
        costs = [network.macs if name == "macs" else network.params for network in self._networks]
        return np.array(costs, dtype=float)
