"""The command `nasctl bench list`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option


@click.command("list")
@csv_option
@json_option
def command(as_csv: bool, as_json: bool) -> None:
    """List the benchmarks with their default objectives and the source of their results."""
    import inspect
    import json

    from nasctl import registry
    from nasctl.bench.benchmark import default_objectives
    from nasctl.system.terminal import TableColumn, table

    found = {name: registry.load("benchmarks", name) for name in registry.trusted("benchmarks")}
    defaults = {name: default_objectives(benchmark) for name, benchmark in found.items()}
    about = {name: (inspect.getdoc(benchmark) or "").partition("\n")[0] for name, benchmark in found.items()}
    others = registry.untrusted("benchmarks")
    if as_json:
        facts = [
            {"name": name, "usual": defaults[name], "source": benchmark.source, "about": about[name]}
            for name, benchmark in found.items()
        ]
        facts += [{"name": name, "usual": [], "source": None, "about": said} for name, said in others.items()]
        click.echo(json.dumps(facts))
        return
    rows = [[name, ", ".join(defaults[name]), benchmark.source, about[name]] for name, benchmark in found.items()]
    rows += [[name, None, None, said] for name, said in others.items()]
    columns = [
        TableColumn("name"),
        TableColumn("default objectives", priority=2, prose=True),
        TableColumn("source", priority=1, prose=True),
        TableColumn("what it is", prose=True, room=24),
    ]
    table(columns, rows, as_csv=as_csv)
