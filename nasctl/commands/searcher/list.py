"""The command `nasctl searcher list`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option


@click.command("list")
@csv_option
@json_option
def command(as_csv: bool, as_json: bool) -> None:
    """List the search algorithms that `--searcher` accepts, with their options and defaults.

    NAME:key=value,... changes options: `--searcher nsga2:population=50`.
    """
    import inspect
    import json

    from nasctl import registry
    from nasctl.problem.defaults import DEFAULT_SEARCHER
    from nasctl.system.terminal import table

    rows = []
    for name in registry.trusted("searchers"):
        summary = (inspect.getdoc(registry.load("searchers", name)) or "").partition("\n")[0]
        options = registry.option_defaults("searchers", name)
        said = registry.with_aliases("searchers", name, summary)
        rows.append({"name": name, "default": name == DEFAULT_SEARCHER, "options": options, "summary": said})
    for name, said in registry.untrusted("searchers").items():
        rows.append({"name": name, "default": False, "options": None, "summary": said})
    if as_json:
        click.echo(json.dumps(rows))
        return
    lines = []
    for row in rows:
        spec = "" if row["options"] is None else registry.spelled_out("searchers", str(row["name"])).partition(":")[2]
        lines.append(
            [row["name"], f"{'[default] ' if row['default'] else ''}{row['summary']}", spec.replace(",", ", ")]
        )
    table(["searcher", "what it is", "options"], lines, as_csv=as_csv)
