"""`nasctl pareto show`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option, run_option, store_option

if TYPE_CHECKING:
    from nasctl.problem.searcher import Evaluation
    from nasctl.problem.space import Gene
    from nasctl.training.accuracies import TrainedNetworks


@click.command("show")
@run_option
@click.option(
    "--score",
    metavar="METHOD:A+B",
    help="Score made of ranks among the run's candidates: log_rank, mean_rank or vote of some metrics. Of a cost, more"
    " counts as better.  [default: the score that measurements favour on this family of spaces, if the run has its"
    " metrics; else log_rank of all optimised metrics]",
)
@store_option
@json_option
def command(run: str | None, score: str | None, store: str, as_json: bool) -> None:
    """Show the front of a run in the units of its objectives, with a score that no searcher sees."""
    import json

    from nasctl import registry
    from nasctl.analysis.run_scores import chosen_score, scores_of_run, stored_sizes
    from nasctl.architectures import ids
    from nasctl.pareto.losses import front
    from nasctl.store.store import Store
    from nasctl.system.terminal import say, table
    from nasctl.training.accuracies import trained_networks

    opened = Store.reading(store)
    name, record = opened.run(run)
    visited = opened.evaluations(name)
    best = front(visited, record.goals, record.constraints)
    chosen = None if score else chosen_score(record)
    text = chosen.text if chosen else score
    sizes = stored_sizes(opened, name, record)
    head, scores = (scores_of_run(record, visited, text, sizes) if text else None) or ("", {})
    genes = registry.create("spaces", record.space).genes
    found = [(ids.encode(record.space, genes, e.genome), e) for e in best]
    trained = trained_networks(opened, record.space, (e.genome for e in visited))
    if as_json:
        report = [
            {"id": arch, "genome": e.genome, "values": e.values, "score": {head: scores.get(e.genome)} if head else {}}
            | ({"trained": trained.facts(e.genome)} if trained else {})
            for arch, e in found
        ]
        click.echo(json.dumps(report))
        return
    say(f"front of run {name}: {len(found)} of {len(visited)} candidates")
    if chosen and chosen.reason:
        say(f"note: {chosen.reason}")
    if trained:
        say(f"note: {trained.note(e.genome for e in visited)}", *_beyond(trained, visited, best, record.space, genes))
    heads = [f"{objective} ({column.unit})" for objective, column in record.columns.items()]
    rows = [[arch, *(e.values.get(objective, "failed") for objective in record.columns)] for arch, e in found]
    if head:
        heads.append(f"score: {head}")
        rows = [[*row, scores.get(e.genome, "-")] for row, (_, e) in zip(rows, found, strict=True)]
    if trained:
        # Beside accuracies, a score has four digits, so that 80 columns hold the table.
        rows = [[*row[:-1], f"{row[-1]:.4g}"] if isinstance(row[-1], float) and head else row for row in rows]
        heads.insert(0, trained.head)
        rows = [[row[0], trained.cell(e.genome), *row[1:]] for row, (_, e) in zip(rows, found, strict=True)]
    table(["id", *heads], rows)


def _beyond(
    trained: TrainedNetworks,
    visited: Sequence[Evaluation],
    front: Sequence[Evaluation],
    space: str,
    genes: Sequence[Gene],
) -> list[str]:
    """Return a line with the trained candidates of a run that are not on its front; none if there are none."""
    from nasctl.architectures import ids

    shown = {e.genome for e in front}
    there = dict.fromkeys(e.genome for e in visited if e.genome in trained.finished and e.genome not in shown)
    words = [f"{ids.encode(space, genes, genome)} ({trained.text(genome)})" for genome in there]
    return [f"note: trained and not on the front: {', '.join(words)}"] if words else []
