"""The command `nasctl objective list`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option


@click.command("list")
@csv_option
@json_option
def command(as_csv: bool, as_json: bool) -> None:
    """List the objectives with their units, directions and transforms."""
    import inspect
    import json

    from nasctl import registry
    from nasctl.system.terminal import TableColumn, table

    rows = []
    keys = ("unit", "direction", "transform")
    for name in registry.trusted("objectives"):
        plugin = registry.load("objectives", name)
        summary = (inspect.getdoc(plugin) or "").partition("\n")[0]
        facts = dict(zip(keys, (plugin.unit, plugin.direction, plugin.transform), strict=True))
        rows.append({"name": name, **facts, "summary": registry.with_aliases("objectives", name, summary)})
    for name, said in registry.untrusted("objectives").items():
        rows.append({"name": name, **dict.fromkeys(keys), "summary": said})
    if as_json:
        click.echo(json.dumps(rows))
    else:
        columns = [
            TableColumn("objective"),
            TableColumn("unit", priority=2),
            TableColumn("better", priority=1),
            TableColumn("searchers see", priority=3),
            TableColumn("what it is", prose=True, room=34),
        ]
        table(columns, [list(row.values()) for row in rows], as_csv=as_csv)
