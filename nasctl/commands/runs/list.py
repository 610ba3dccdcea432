"""`nasctl runs list`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option, store_option


@click.command("list")
@store_option
@csv_option
@json_option
def command(store: str, as_csv: bool, as_json: bool) -> None:
    """List the runs of the store, the newest first."""
    import json
    from datetime import datetime

    from nasctl import registry
    from nasctl.store.store import Store
    from nasctl.system.terminal import TableColumn, table

    found = Store.reading(store).runs()
    if as_json:
        keys = ("space", "searcher", "seed", "objectives", "constraints")
        rows = [
            {"name": run.name, "candidates": run.visited, "started": run.started}
            | {key: run.record.asked.get(key) for key in keys}
            for run in found
        ]
        click.echo(json.dumps(rows))
        return
    columns = [
        TableColumn("run"),
        TableColumn("candidates", priority=1),
        TableColumn("space", priority=3),
        TableColumn("searcher", priority=5),
        TableColumn("seed", priority=6),
        TableColumn("objectives", priority=2, prose=True),
        TableColumn("last started", priority=4),
    ]
    lines = []
    for run in found:
        asked = run.record.asked
        when = datetime.fromtimestamp(run.started).isoformat(" ", "seconds")
        space, searcher = (registry.plugin_of(asked.get(key, "")) for key in ("space", "searcher"))
        objectives = " ".join(asked.get("objectives", ()))
        lines.append([run.name, run.visited, space, searcher, asked.get("seed", ""), objectives, when])
    table(columns, lines, as_csv=as_csv)
