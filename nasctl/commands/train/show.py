"""`nasctl train show`."""

from __future__ import annotations

import click

from nasctl.commands import json_option, store_option


@click.command()
@click.argument("name")
@store_option
@json_option
def command(name: str, store: str, as_json: bool) -> None:
    """Show the training NAME: what was trained, how far it is, its results and its files."""
    import json

    from nasctl.store.store import Store
    from nasctl.system.terminal import definitions, duration
    from nasctl.training.rows import facts, training_row

    found = Store.reading(store).training(name)
    row = training_row(found, store)
    if as_json:
        click.echo(json.dumps(row))
        return
    definitions({**facts(row), "time": duration(found.seconds)})
