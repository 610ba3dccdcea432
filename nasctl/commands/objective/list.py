"""The command `nasctl objective list`."""

from __future__ import annotations

import click

from nasctl.commands import json_option


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the objectives with their units, directions and transforms."""
    import inspect
    import json

    from nasctl import registry
    from nasctl.system.terminal import table

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
        table(["objective", "unit", "better", "searchers see", "what it is"], [list(row.values()) for row in rows])
