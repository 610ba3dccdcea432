"""TransNAS-Bench-101, micro space: 4,096 cells trained on seven vision tasks.

References:
    Duan et al., "TransNAS-Bench-101: Improving transferability and generalizability of cross-task neural architecture
    search", CVPR 2021, arXiv:2105.11871.
"""

from __future__ import annotations

import ast
from functools import cached_property

import numpy as np

from nasctl.bench.benchmark import Scene, TrainingTable
from nasctl.bench.listed import Listed
from nasctl.bench.published import published, rows
from nasctl.pareto.hypervolume import scaled

__all__ = ["TNB101MicroBenchmark"]

TASKS = ("class_scene", "class_object", "jigsaw", "autoencoder", "normal", "segmentsemantic", "room_layout")
# Source of the table, for the message that asks for it.


class TNB101MicroBenchmark(Listed):
    """TransNAS-Bench-101 micro, judged on seven tasks by validation results and by multiply-accumulates.

    The results are accuracies, SSIM or losses after training. Because their units differ, the error is scaled to 0 for
    the best and 1 for the worst of the 4,096 cells. Complexity is the multiply-accumulates of the network for
    class_scene without dead operations, scaled in the same way.

    Args:
        canonical: Count cells that compute the same function as one cell, and judge the canonical one.
    """

    source = "TransNAS-Bench-101 micro, validation results of seven tasks"

    def __init__(self, canonical: bool = True) -> None:
        super().__init__("tnb101_micro", canonical)

    @cached_property
    def scenes(self) -> dict[str, Scene]:
        """Return the scenes by task. The true front is the front of all 4,096 cells, canonical or not."""
        table = rows(published("tnb101", "tnb101_micro.csv.gz", "tnb101_micro"))
        cells = [tuple(ast.literal_eval(row["arch"])) for row in table]
        macs = scaled(np.array([self._scores["macs"][self._classes[cell]] for cell in cells]))
        cost = self.of(dict(zip(cells, macs, strict=True)))
        found = {}
        for task in TASKS:
            quality = np.array([float(row[f"val_{task}"]) for row in table])
            error = 1 - scaled(quality)
            own = self.of(dict(zip(cells, error, strict=True)))
            accuracy = self.of(dict(zip(cells, quality, strict=True)))
            found[task] = Scene(own, cost, accuracy, np.column_stack([error, macs]))
        return found

    @cached_property
    def trainings(self) -> dict[str, TrainingTable]:
        """Return the trainings by task. The published table has one result, which is the label and judges it."""
        about = (
            "labels: validation result of the final epoch, which also judges, because the table has no other; the table"
            " has no seconds"
        )
        return {task: TrainingTable(scene.accuracy, np.nan, scene, about) for task, scene in self.scenes.items()}
