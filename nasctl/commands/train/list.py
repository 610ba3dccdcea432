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
    from nasctl.system.terminal import table
    from nasctl.training.rows import accuracy_text, data_name, training_row

    found = Store.reading(store).trainings()
    if as_json:
        click.echo(json.dumps([training_row(one, store) for one in found]))
        return
    lines = []
    for one, row in ((one, training_row(one, store)) for one in found):
        validation = f"{accuracy_text(one.result.get('validation'))} (validation)"
        accuracy = accuracy_text(one.result.get("test")) or validation  # the split may have no test part
        state = one.state.replace(" at ", ", ")  # "stopped, rung 1" fits into its column
        result = accuracy if one.state == "finished" else state
        when = datetime.fromtimestamp(one.started).date().isoformat()
        lines.append([one.name, row["id"], data_name(one.spec["data"]), result, when])
    table(["training", "network", "data", "test", "started"], lines)
