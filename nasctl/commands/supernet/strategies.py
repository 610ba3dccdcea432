"""The command `nasctl supernet strategies`."""

from __future__ import annotations

from typing import Any

import click

from nasctl.commands import csv_option, json_option


@click.command("strategies")
@csv_option
@json_option
def command(as_csv: bool, as_json: bool) -> None:
    """List the strategies that train a supernet, with their options and defaults.

    NAME:key=value,... changes options, such as sandwich:random=3.
    """
    import inspect
    import json

    from nasctl import registry
    from nasctl.system.terminal import TableColumn, table

    rows: list[dict[str, Any]] = []
    for name in registry.trusted("strategies"):
        summary = (inspect.getdoc(registry.load("strategies", name)) or "").partition("\n")[0]
        options = registry.option_defaults("strategies", name)
        rows.append({"name": name, "options": options, "summary": registry.with_aliases("strategies", name, summary)})
    rows += [{"name": k, "options": None, "summary": said} for k, said in registry.untrusted("strategies").items()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    lines = []
    for row in rows:
        spec = "" if row["options"] is None else registry.spelled_out("strategies", row["name"]).partition(":")[2]
        lines.append([row["name"], row["summary"], spec.replace(",", ", ")])
    columns = [
        TableColumn("strategy"),
        TableColumn("each step", prose=True, room=24),
        TableColumn("options", priority=1, prose=True, room=24),
    ]
    table(columns, lines, as_csv=as_csv)
