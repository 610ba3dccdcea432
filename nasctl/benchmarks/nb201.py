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
from nasctl.bench.benchmark import Scene, TabulatedObjective, TrainingTable
from nasctl.bench.listed import Listed
from nasctl.bench.published import published, rows
from nasctl.errors import UnknownName
from nasctl.pareto.hypervolume import scaled
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Genome

__all__ = ["NB201Benchmark"]

# Multiply-accumulates in millions as the benchmark declares them, including dead operations and the classifier's bias:
# of the empty cell, per 1x1 convolution of a cell, and per 3x3 convolution of a cell.
FLOPS = {
    "cifar10": (7.78305, 3.93216, 35.38944),
    "cifar100": (7.78890, 3.93216, 35.38944),
    "ImageNet16-120": (1.95340, 0.98304, 8.84736),
}
PARAMS = (73_306, 28_000, 243_040)  # parameters on CIFAR-10 in the same form
EPOCHS = 200 / 12  # trainings of the final schedule per training of the schedule of 12 epochs, which was timed
# Work of an epoch in epochs of the timed training, which has 25,000 images of 32 x 32 pixels: images and pixels.
EPOCH_WORK = {"cifar10": 1.0, "cifar100": 50_000 / 25_000, "ImageNet16-120": 151_700 / 25_000 / 4}
ACCURACY = "val_acc_12"  # column of the validation accuracy on CIFAR-10 after the schedule of 12 epochs
LATENCY = "latency@"  # prefix of the columns of latencies, before the device


class NB201Benchmark(Listed):
    """NAS-Bench-201, searched on CIFAR-10 and judged on three data sets.

    Cells are judged by the test error after 200 epochs and by declared FLOPs. nasctl computes the metrics. `flops` and
    `params` are the values that the benchmark declares for a cell as it is written. `val_acc_12` and `latency@DEVICE`
    are from published tables.

    Args:
        canonical: Count cells that compute the same function as one cell, and judge the canonical one. Published
            comparisons count all 15,625 cells.
    """

    default_objectives = ("synflow", "jacov", "snip", "flops")
    source = "NAS-Bench-201 v1, mean test accuracies after 200 epochs"

    def __init__(self, canonical: bool = True) -> None:
        super().__init__("nb201", canonical)
        for cost in ("params", "macs"):  # these leave out dead operations, which the benchmark declares
            self._scores.pop(cost)

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [*super().names, "flops", "params", ACCURACY, *(LATENCY + device for device in self._latencies)]

    def column(self, name: str) -> TabulatedObjective:
        """Return a column by its name.

        Raises:
            UnknownName: There is no column of that name.
            NasctlError: The column needs a published table that does not exist.
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
        """Return the scenes by data set. The true front is the front of all 15,625 cells, canonical or not."""
        found = {}
        for name, terms in FLOPS.items():
            accuracy = self._published(f"test_acc_200_{name}")
            costs = dict(zip(accuracy, scaled(self._declared(list(accuracy), *terms)), strict=True))
            points = np.column_stack([1 - np.array(list(accuracy.values())) / 100, list(costs.values())])
            own = self.of(accuracy)
            found[name] = Scene(1 - own / 100, self.of(costs), own, points)
        return found

    @cached_property
    def trainings(self) -> dict[str, TrainingTable]:
        """Return the trainings by data set: one validation accuracy each, judged by mean test accuracies."""
        seconds = self.of(self._published("train_cost_12_cifar10_s")) * EPOCHS
        about = (
            "labels: validation accuracy of one training of 200 epochs; seconds: the published 12 epochs on CIFAR-10"
            " scaled by epochs, images and pixels; judged by the mean test accuracy"
        )
        return {
            name: TrainingTable(
                self.of(self._published(f"val_acc_200_{name}")), seconds * EPOCH_WORK[name], scene, about
            )
            for name, scene in self.scenes.items()
        }

    def _published(self, column: str) -> dict[Genome, float]:
        """Return a column of the published table by cell as it is written."""
        return {genome: float(row[column]) for genome, row in self._rows.items()}

    @cached_property
    def _rows(self) -> dict[Genome, dict[str, str]]:
        """Return the rows of the published table by cell as it is written."""
        space = registry.create("spaces", "nb201")
        return {space.parse(row["arch_str"]): row for row in rows(published("nb201", "nb201_table.csv.gz", "nb201"))}

    @cached_property
    def _latencies(self) -> dict[str, list[float]]:
        """Return latencies in ms by device, in the order of the cells' indices."""
        table = rows(published("nb201-latency", "help_nb201_latency_ms.csv.gz", "nb201-latency"))
        table.sort(key=lambda row: int(row["index"]))
        return {device: [float(row[device]) for row in table] for device in table[0] if device != "index"}

    def _declared(self, genomes: Sequence[Genome], empty: float, pointwise: float, threefold: float) -> np.ndarray:
        """Return the costs that the benchmark declares, (N,).

        Args:
            genomes: Cells as they are written, (N,).
            empty: Cost of the empty cell.
            pointwise: Additional cost per 1x1 convolution.
            threefold: Additional cost per 3x3 convolution.
        """
        operations = self.space.genes[0].choices
        cells = np.array(genomes)
        one, three = ((cells == operations.index(f"nor_conv_{k}x{k}")).sum(axis=1) for k in (1, 3))
        found: np.ndarray = empty + pointwise * one + threefold * three
        return found
