"""`nasctl train list`."""

from __future__ import annotations

import click

from nasctl.commands import json_option, store_option


@click.command("list")
@store_option
@json_option
def command(store: str, as_json: bool) -> None:
    """List the trainings of the store, the newest first."""
    import json
    from datetime import datetime

    from nasctl.store.store import Store
    from nasctl.system.terminal import duration, table
    from nasctl.training.rows import accuracy_text, data_name, training_row

    found = Store.reading(store).trainings()
    if as_json:
        click.echo(json.dumps([training_row(one, store) for one in found]))
        return
    heads = ["training", "network", "data", "epochs", "state", "validation", "test", "time", "started"]
    lines = []
    for one in found:
        row = training_row(one, store)
        when = datetime.fromtimestamp(one.started).isoformat(" ", "minutes")
        parts = [accuracy_text(one.result.get(part)) for part in ("validation", "test")]
        data, epochs = data_name(one.spec["data"]), one.spec["recipe"]["epochs"]
        lines.append([one.name, row["id"], data, epochs, one.state, *parts, duration(one.seconds), when])
    table(heads, lines)
