"""The command `nasctl device list`."""

from __future__ import annotations

import click

from nasctl.commands import json_option


@click.command("list")
@click.option("--space", metavar="SPEC", help="Only tables validated on that space, the best of each kind first.")
@json_option
def command(space: str | None, as_json: bool) -> None:
    """List the devices that `--device` accepts, with the held-out error of each table.

    Each of gpu, cpu, mobile and accelerator stands for the table of its kind with the least error on the space.
    """
    import json

    from msgspec.structs import asdict

    from nasctl import registry
    from nasctl.hardware.kinds import table_rank
    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.tables_schema import KINDS
    from nasctl.system.terminal import table

    found = {name: LatencyTable.load(name) for name in registry.trusted("devices")}
    others = registry.untrusted("devices")
    if space is not None:
        others = {}  # Untrusted and faulty plug-ins are not loaded, so their validations are unknown.
        about = [(name, one) for name, one in found.items() if one.validated(space)]
        found = dict(sorted(about, key=lambda pair: (KINDS.index(pair[1].kind), table_rank(pair[1], space))))
    columns = ("kind", "processor", "runtime", "batch", "precision", "method")
    if as_json:
        facts: list[dict[str, object]] = [
            {"name": name, **{column: getattr(one, column) for column in columns}, "validation": list(one.validation)}
            for name, one in found.items()
        ]
        facts += [{"name": name, **dict.fromkeys(columns), "said": said} for name, said in others.items()]
        click.echo(json.dumps(facts, default=asdict))
        return
    rows = [[name, *(getattr(one, column) for column in columns), one.accuracy(space)] for name, one in found.items()]
    rows += [[name, *[None] * len(columns), said] for name, said in others.items()]
    table(["name", *columns, "error, held out"], rows)
