"""NAS-Bench-Macro: 6,561 chains of eight layers trained on CIFAR-10.

References:
    Su et al., "Prioritized architecture sampling with Monto-Carlo tree search", CVPR 2021, arXiv:2103.11922.
"""

from __future__ import annotations

from functools import cached_property

from nasctl.bench.benchmark import Scene
from nasctl.bench.listed import Listed
from nasctl.bench.published import published
from nasctl.pareto.hypervolume import scaled
from nasctl.system.files import parsed

__all__ = ["NBMacroBenchmark"]

# Source of the table, for the message that asks for it.
WHERE = "nas-bench-macro_cifar10.json (github.com/xiusu/NAS-Bench-Macro, data/)"


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
        table = parsed(published("nb-macro", "nas-bench-macro_cifar10.json.gz", WHERE))
        rows = {tuple(map(int, digits)): row for digits, row in table.items()}
        accuracy = self.of({genome: row["mean_acc"] for genome, row in rows.items()})
        macs = self.of({genome: row["flops"] for genome, row in rows.items()})
        return {"cifar10": Scene(1 - accuracy / 100, scaled(macs), accuracy)}
