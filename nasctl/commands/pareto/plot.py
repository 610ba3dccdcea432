"""`nasctl pareto plot`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import run_option, store_option
from nasctl.commands._types import OutputPath, file_in

if TYPE_CHECKING:
    import numpy as np

    from nasctl.drawing.pareto_layout import Axis
    from nasctl.problem.space import Genome
    from nasctl.store.run_record import RunRecord
    from nasctl.training.accuracies import TrainedNetworks


@click.command("plot")
@run_option
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    help="Picture to write, as .png, .svg or .pdf.  [default: RUN.png]",
)
@click.option("--force", is_flag=True, help="Write over an existing picture.")
@store_option
def command(run: str | None, output: Path | None, force: bool, store: str) -> None:
    """Draw the front of a run against all its candidates, a panel for each pair of cost and metric.

    Trained candidates are ringed, and their accuracy has a panel for each cost.
    """
    import numpy as np

    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.drawing.pareto import draw
    from nasctl.drawing.pareto_layout import Axis, TrainedPoints
    from nasctl.pareto.losses import front, violations
    from nasctl.store.store import Store
    from nasctl.system.terminal import say
    from nasctl.training.accuracies import trained_networks

    opened = Store.reading(store)
    name, record = opened.run(run)
    optimised = record.goals
    whole = [e for e in opened.evaluations(name) if all(goal.name in e.values for goal in optimised)]
    best = {e.genome for e in front(whole, optimised, record.constraints)}
    genes = registry.create("spaces", record.space).genes
    path = file_in(output, f"{name}.png")
    axes = [
        Axis(goal.name, record.columns[goal.name].unit, goal.direction, goal.cost == "network", goal.transform)
        for goal in optimised
    ]
    trained = trained_networks(opened, record.space, (e.genome for e in whole))
    notes: Iterable[str] = _facts(record)
    results = None
    if trained and trained.finished:
        results = TrainedPoints(*_results(trained, [e.genome for e in whole]))
        error = " with its standard error" if trained.measure == "accuracy" else ""
        notes = chain(notes, [f"trained: {trained.name}{error} on {trained.setting}"])
    draw(
        path,
        axes,
        np.array([[e.values[goal.name] for goal in optimised] for e in whole]),
        np.array([e.genome in best for e in whole]),
        [ids.encode(record.space, genes, e.genome) for e in whole],
        title=f"{registry.normal('spaces', record.space)}: run {name}",
        subtitle="\n".join(notes),
        others=[ids.encode(record.space, genes, genome) for genome in opened.genomes(record.space)],
        feasible=violations(whole, record.constraints).max(axis=1, initial=0.0) == 0,
        overwrite=force,
        trained=results,
    )
    say(f"the front of run {name} is in:")
    click.echo(path)


def _results(trained: TrainedNetworks, genomes: Sequence[Genome]) -> tuple[Axis, np.ndarray, np.ndarray]:
    """Return the axis of the results of trained candidates, and values and standard errors of all, (N,)."""
    import numpy as np

    from nasctl.drawing.pareto_layout import Axis

    share = trained.measure == "accuracy"
    axis = Axis(trained.name, "%" if share else "", "max" if share else "min", cost=False)
    found = [[trained.value(one), trained.error(one)] for one in genomes]
    table = np.array(found, dtype=float) * (100 if share else 1)  # None becomes NaN
    return axis, table[:, 0], table[:, 1]


def _facts(record: RunRecord) -> Iterator[str]:
    """Yield the lines below the title of the picture: searcher and setting, then each device."""
    asked = record.asked
    subject = f", subject to {', '.join(asked['constraints'])}" if asked["constraints"] else ""
    yield f"{asked['searcher']}, seed {asked['seed']}{subject}; metrics: {asked['setting']}"
    for name, column in record.columns.items():
        if "@" in name:
            yield f"{name}: {column.remarks[0]}"
