"""`nasctl supernet list`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option, store_option


@click.command("list")
@store_option
@csv_option
@json_option
def command(store: str, as_csv: bool, as_json: bool) -> None:
    """List the supernets beside the store, the newest first, with the progress of unfinished ones."""
    import json
    from datetime import datetime

    from nasctl.supernets.rows import listed_row, progress_text, supernet_folders
    from nasctl.system.terminal import TableColumn, table
    from nasctl.training.rows import accuracy_text, data_name

    rows = [listed_row(one) for one in supernet_folders(store)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    columns = [
        TableColumn("supernet"),
        TableColumn("state", priority=1, prose=True),
        TableColumn("largest", priority=2, prose=True),
        TableColumn("smallest", priority=3, prose=True),
        TableColumn("strategy", priority=5, prose=True),
        TableColumn("data", priority=4, prose=True),
        TableColumn("started", priority=6),
    ]
    if as_csv:
        heads = ["supernet", "state", "space", "share", "strategy", "data", "step", "steps", "part", "network"]
        heads += ["MACs", "accuracy", "standard error", "perplexity", "loss", "training time (s)", "seed"]
        table(heads, [line for row in rows for line in _exact(row)], as_csv=True)
        return
    lines = []
    for row in rows:
        part = next((one for one in ("test", "validation") if row["results"].get(one)), "")
        found = [accuracy_text(row["results"].get(part, {}).get(name)) for name in ("largest", "smallest")]
        when = datetime.fromtimestamp(row["started"]).date().isoformat()
        data = data_name(row["spec"]["data"])
        lines.append([row["supernet"], progress_text(row), *found, row["strategy"], data, when])
    table(columns, lines, as_csv=False)


def _exact(row: dict[str, object]) -> list[list[object]]:
    """Return the lines of a supernet in CSV: one for each network and part that was evaluated, or one without."""
    from typing import Any, cast

    spec, results = cast(dict[str, Any], row["spec"]), cast(dict[str, Any], row["results"])
    judged = cast(dict[str, Any], row["judged"])
    head = [row[key] for key in ("supernet", "state", "space", "share", "strategy")]
    head += [spec["data"], row["step"], row["steps"]]
    tail = [row["seconds"], spec["seed"]]
    keys = ("accuracy", "error", "perplexity", "loss")
    lines = [
        [*head, part, name, judged.get(name, {}).get("macs"), *(one[key] for key in keys), *tail]
        for part, found in results.items()
        for name, one in found.items()
    ]
    return lines or [[*head, *[None] * 7, *tail]]
