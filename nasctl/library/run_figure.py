"""The figure of a run: its front against all its candidates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasctl import registry
from nasctl.architectures import ids
from nasctl.drawing.pareto import draw
from nasctl.drawing.pareto_layout import Axis
from nasctl.pareto.losses import front, violations
from nasctl.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run_figure(path: Path | None, store: Store, run: str, overwrite: bool = False) -> Figure:
    """Draw a run with a panel for each cost and each metric.

    Args:
        path: A file to write as well; None for no file.
        store: The store of the run.
        run: Name of the run.
        overwrite: Whether an existing file may be replaced.

    Raises:
        NasctlError: The suffix is no format, no candidate can be drawn, or the file cannot be written.
    """
    name, record = store.run(run)
    whole = [one for one in store.evaluations(name) if all(goal.name in one.values for goal in record.goals)]
    best = {one.genome for one in front(whole, record.goals, record.constraints)}
    genes = registry.create("spaces", record.space).genes
    axes = [
        Axis(goal.name, record.columns[goal.name].unit, goal.direction, goal.cost == "network", goal.transform)
        for goal in record.goals
    ]
    return draw(
        path,
        axes,
        np.array([[one.values[goal.name] for goal in record.goals] for one in whole]),
        np.array([one.genome in best for one in whole]),
        [ids.encode(record.space, genes, one.genome) for one in whole],
        title=f"{registry.normal('spaces', record.space)}: run {name}",
        feasible=violations(whole, record.constraints).max(axis=1, initial=0.0) == 0,
        overwrite=overwrite,
    )
