"""`nasctl bench list`."""

from __future__ import annotations

import click

from nasctl.commands import json_option


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the benchmarks, what a search may see there, and what it is judged by."""
    import inspect
    import json

    from nasctl import registry
    from nasctl.system.terminal import table

    found = {name: registry.load("benchmarks", name) for name in registry.trusted("benchmarks")}
    about = {name: (inspect.getdoc(one) or "").partition("\n")[0] for name, one in found.items()}
    others = registry.untrusted("benchmarks")
    if as_json:
        facts = [
            {"name": name, "usual": list(one.usual), "source": one.source, "about": about[name]}
            for name, one in found.items()
        ]
        facts += [{"name": name, "usual": [], "source": None, "about": said} for name, said in others.items()]
        click.echo(json.dumps(facts))
        return
    rows = [[name, ", ".join(one.usual), one.source, about[name]] for name, one in found.items()]
    rows += [[name, None, None, said] for name, said in others.items()]
    table(["name", "usual objectives", "source", "what it is"], rows)
