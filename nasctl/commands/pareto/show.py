"""`nasctl pareto show`."""

from __future__ import annotations

import click

from nasctl.commands import json_option, run_option, store_option


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
    if as_json:
        report = [
            {"id": arch, "genome": e.genome, "values": e.values, "score": {head: scores.get(e.genome)} if head else {}}
            for arch, e in found
        ]
        click.echo(json.dumps(report))
        return
    say(f"front of run {name}: {len(found)} of {len(visited)} candidates")
    if chosen and chosen.reason:
        say(f"note: {chosen.reason}")
    heads = [f"{objective} ({column.unit})" for objective, column in record.columns.items()]
    rows = [[arch, *(e.values.get(objective, "failed") for objective in record.columns)] for arch, e in found]
    if head:
        heads.append(f"score: {head}")
        rows = [[*row, scores.get(e.genome, "-")] for row, (_, e) in zip(rows, found, strict=True)]
    table(["id", *heads], rows)
