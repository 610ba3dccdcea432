"""NAS-Bench-201: 15,625 cells trained on CIFAR-10, CIFAR-100 and ImageNet16-120.

References:
    Dong & Yang, "NAS-Bench-201: Extending the scope of reproducible neural architecture search", ICLR 2020,
    arXiv:2001.00326. Latencies: Lee et al., "HELP: Hardware-adaptive efficient latency prediction for NAS via
    meta-learning", NeurIPS 2021, arXiv:2106.08630.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import Scene, TabulatedObjective
from nasctl.bench.listed import Listed
from nasctl.bench.published import published, rows
from nasctl.errors import UnknownName
from nasctl.pareto.hypervolume import scaled
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome

__all__ = ["NB201"]

# Multiply-accumulates in millions as the benchmark declares them, those of dead operations and of the classifier's bias
# included: of the empty cell, and for each 1x1 and each 3x3 convolution of a cell.
FLOPS = {
    "cifar10": (7.78305, 3.93216, 35.38944),
    "cifar100": (7.78890, 3.93216, 35.38944),
    "ImageNet16-120": (1.95340, 0.98304, 8.84736),
}
PARAMS = (73_306, 28_000, 243_040)  # parameters on CIFAR-10 likewise
ACCURACY = "val_acc_12"  # on CIFAR-10, at the end of the schedule of 12 epochs
LATENCY = "latency@"
WHERE = "the tables of NAS-Bench-201 (github.com/hzf1174/RoBoT, data/) as one file"
DEVICES = "the latencies of HELP (github.com/HayeonLee/HELP) as one file"


class NB201(Listed):
    """Searched on CIFAR-10, judged on three data sets by test error after 200 epochs and by declared FLOPs.

    Metrics are this project's own. `flops` and `params` are the benchmark's, for a cell as it is spelled; `val_acc_12`
    and `latency@DEVICE` are read from the published tables.

    Args:
        canonical: Whether cells that compute the same count as one, of which the canonical one is judged. Published
            comparisons count all 15,625.
    """

    usual = ("synflow", "jacov", "snip", "flops")
    source = "NAS-Bench-201 v1, mean test accuracies after 200 epochs"

    def __init__(self, canonical: bool = True) -> None:
        super().__init__("nb201", canonical)
        for other in ("params", "macs"):  # of the network without dead operations, where the benchmark declares all
            self._scores.pop(other)

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [*super().names, "flops", "params", ACCURACY, *(LATENCY + device for device in self._latencies)]

    def column(self, name: str) -> TabulatedObjective:
        """One of them.

        Raises:
            UnknownName: There is none of that name.
            NasctlError: It needs a published table, which is absent.
        """
        if name in ("flops", "params"):
            terms = FLOPS["cifar10"] if name == "flops" else PARAMS
            return TabulatedObjective(Goal(name, "min", "identity", "network"), self._declared(self.genomes, *terms))
        if name == ACCURACY:
            seconds = self.of(self._published("train_cost_12_cifar10_s"))
            return TabulatedObjective(
                Goal(name, "max", "identity", "module"), self.of(self._published("val_acc_12_cifar10")), seconds
            )
        if name.startswith(LATENCY):
            if (device := name.removeprefix(LATENCY)) not in self._latencies:
                raise UnknownName("device of the benchmark", device, list(self._latencies))
            places = self._published("index")
            values = {genome: self._latencies[device][int(place)] for genome, place in places.items()}
            return TabulatedObjective(Goal(name, "min", "identity", "network"), self.of(values))
        return super().column(name)

    @cached_property
    def scenes(self) -> dict[str, Scene]:
        """By data set; the true front is that of all 15,625 cells, canonical or not."""
        found = {}
        for name, terms in FLOPS.items():
            accuracy = self._published(f"test_acc_200_{name}")
            costs = dict(zip(accuracy, scaled(self._declared(list(accuracy), *terms)), strict=True))
            points = np.column_stack([1 - np.array(list(accuracy.values())) / 100, list(costs.values())])
            own = self.of(accuracy)
            found[name] = Scene(1 - own / 100, self.of(costs), own, points)
        return found

    def _published(self, column: str) -> dict[Genome, float]:
        return {genome: float(row[column]) for genome, row in self._rows.items()}

    @cached_property
    def _rows(self) -> dict[Genome, dict[str, str]]:
        space = registry.create("spaces", "nb201")
        return {space.parse(row["arch_str"]): row for row in rows(published("nb201", "nb201_table.csv.gz", WHERE))}

    @cached_property
    def _latencies(self) -> dict[str, list[float]]:
        """By device, in ms, by index of the cell."""
        table = rows(published("nb201-latency", "help_nb201_latency_ms.csv.gz", DEVICES))
        table.sort(key=lambda row: int(row["index"]))
        return {device: [float(row[device]) for row in table] for device in table[0] if device != "index"}

    def _declared(self, genomes: Sequence[Genome], empty: float, pointwise: float, threefold: float) -> np.ndarray:
        """What the benchmark says that cells cost, (N,)."""
        operations = self.space.genes[0].choices
        cells = np.array(genomes)
        one, three = ((cells == operations.index(f"nor_conv_{k}x{k}")).sum(axis=1) for k in (1, 3))
        found: np.ndarray = empty + pointwise * one + threefold * three
        return found
