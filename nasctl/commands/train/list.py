"""`nasctl train list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import csv_option, json_option, store_option

if TYPE_CHECKING:
    from nasctl.store.training_table import TrainingRecord


@click.command("list")
@store_option
@csv_option
@json_option
def command(store: str, as_csv: bool, as_json: bool) -> None:
    """List the trainings of the store, the newest first."""
    import json
    from datetime import datetime

    from nasctl.store.store import Store
    from nasctl.system.terminal import TableColumn, table
    from nasctl.training.rows import accuracy_text, data_name, training_row

    found = Store.reading(store).trainings()
    if as_json:
        click.echo(json.dumps([training_row(one, store) for one in found]))
        return
    columns = [
        TableColumn("training"),
        TableColumn("network", priority=1),
        TableColumn("data", priority=3, prose=True),
        TableColumn("test", prose=True),
        TableColumn("started", priority=4),
    ]
    if as_csv:
        heads = ["state", "part", "accuracy", "standard error", "perplexity", "training time (s)", "epochs", "seed"]
        table([*columns[:3], *heads, "started"], [_exact(one, training_row(one, store)) for one in found], as_csv=True)
        return
    lines = []
    for one, row in ((one, training_row(one, store)) for one in found):
        validation = f"{accuracy_text(one.result.get('validation'))} (validation)"
        accuracy = accuracy_text(one.result.get("test")) or validation  # the split may have no test part
        state = one.state.replace(" at ", ", ")  # "stopped, rung 1" fits into its column
        result = accuracy if one.state == "finished" else state
        when = datetime.fromtimestamp(one.started).date().isoformat()
        lines.append([one.name, row["id"], data_name(one.spec["data"]), result, when])
    table(columns, lines, as_csv=False)


def _exact(one: TrainingRecord, row: Mapping[str, Any]) -> list[object]:
    """Return the cells of a training in CSV; its result is of the test part, or of the validation part without one."""
    from datetime import datetime

    from nasctl.training.rows import data_name

    part = next((part for part in ("test", "validation") if one.result.get(part)), "")
    found = one.result.get(part) or {}
    result = [one.state, part, found.get("accuracy"), found.get("error"), found.get("perplexity")]
    about = [one.seconds, one.spec["recipe"]["epochs"], one.spec["seed"]]
    when = datetime.fromtimestamp(one.started).isoformat()
    return [one.name, row["id"], data_name(one.spec["data"]), *result, *about, when]
