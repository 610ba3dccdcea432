"""NAS-Bench-Macro: 6,561 chains of eight layers trained on CIFAR-10.

References:
    Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021, arXiv:2103.11922.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from nasctl.bench.benchmark import Scene, TrainingTable
from nasctl.bench.listed import Listed
from nasctl.bench.published import published
from nasctl.pareto.hypervolume import scaled
from nasctl.problem.space import Genome
from nasctl.system.files import parsed

__all__ = ["NBMacroBenchmark"]

TRAININGS = 3  # trainings of every network
# Source of the table, for the message that asks for it.


class NBMacroBenchmark(Listed):
    """NAS-Bench-Macro, judged by the mean test error of three trainings on CIFAR-10 and by multiply-accumulates.

    Args:
        canonical: Count the 6,561 chains as the 3,969 distinct networks. Equal chains have equal accuracies in the
            published table.
    """

    source = "NAS-Bench-Macro, mean test accuracies of three trainings"

    def __init__(self, canonical: bool = True) -> None:
        super().__init__("nbmacro", canonical)

    @cached_property
    def scenes(self) -> dict[str, Scene]:
        """Return the scene of the data set."""
        accuracy = self.of({genome: row["mean_acc"] for genome, row in self._rows.items()})
        return {"cifar10": Scene(1 - accuracy / 100, self._cost, accuracy)}

    @cached_property
    def trainings(self) -> dict[str, TrainingTable]:
        """Return the trainings: the first of three is the label, and the mean of the two others judges it."""
        first, *others = (
            self.of({genome: row["test_acc"][k] for genome, row in self._rows.items()}) for k in range(TRAININGS)
        )
        judged = np.mean(others, axis=0)
        about = (
            "labels: accuracy of the first training; judged by the mean of the two other trainings; the table has no"
            " validation images and no seconds"
        )
        return {"cifar10": TrainingTable(first, np.nan, Scene(1 - judged / 100, self._cost, judged), about)}

    @cached_property
    def _rows(self) -> dict[Genome, Any]:
        """Return the rows of the published table by genome."""
        table = parsed(published("nb-macro", "nas-bench-macro_cifar10.json.gz", "nbmacro"))
        return {tuple(map(int, digits)): row for digits, row in table.items()}

    @cached_property
    def _cost(self) -> np.ndarray:
        """Return the multiply-accumulates, scaled to 0 to 1, (N,)."""
        return scaled(self.of({genome: row["flops"] for genome, row in self._rows.items()}))
