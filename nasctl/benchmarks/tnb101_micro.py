"""TransNAS-Bench-101, micro space: 4,096 cells trained on seven vision tasks.

References:
    Duan et al., "TransNAS-Bench-101: Improving transferability and generalizability of cross-task neural architecture
    search", CVPR 2021, arXiv:2105.11871.
"""

from __future__ import annotations

import ast
from functools import cached_property

import numpy as np

from nasctl.bench.benchmark import Scene
from nasctl.bench.listed import Listed
from nasctl.bench.published import published, rows
from nasctl.pareto.hypervolume import scaled

__all__ = ["TNB101Micro"]

TASKS = ("class_scene", "class_object", "jigsaw", "autoencoder", "normal", "segmentsemantic", "room_layout")
WHERE = "the seven tasks of TransNAS-Bench-101's micro space (github.com/automl/NASLib) as one file"


class TNB101Micro(Listed):
    """Judged on seven tasks by validation accuracy, SSIM or loss after training, and by multiply-accumulates.

    Tasks have units of their own, so the error is scaled to 0 for the best and 1 for the worst of the 4,096 cells.
    Complexity is that of the network for class_scene, scaled likewise, without dead operations.

    Args:
        canonical: Whether cells that compute the same count as one, of which the canonical one is judged.
    """

    source = "TransNAS-Bench-101 micro, validation results of seven tasks"

    def __init__(self, canonical: bool = True) -> None:
        super().__init__("tnb101_micro", canonical)

    @cached_property
    def scenes(self) -> dict[str, Scene]:
        """By task; the true front is that of all 4,096 cells, canonical or not."""
        table = rows(published("tnb101", "tnb101_micro.csv.gz", WHERE))
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
