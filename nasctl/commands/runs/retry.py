"""`nasctl runs retry`."""

from __future__ import annotations

import click

from nasctl.commands import csv_option, json_option, store_option
from nasctl.commands._complete import complete
from nasctl.commands._groups import GroupedCommand
from nasctl.commands._setting import say_data
from nasctl.commands._workers import WorkerChoice, worker_group


@click.command(cls=GroupedCommand, groups=(worker_group,))
@click.argument("name", shell_complete=complete("runs"), required=False)
@click.option(
    "-o", "--objective", "objectives", multiple=True, metavar="NAME", help="Measure only this objective of the run."
)
@click.option("--data", metavar="SOURCE", help="Where the data of the run is now.  [default: where it was]")
@worker_group
@store_option
@csv_option
@json_option
def command(
    name: str | None,
    objectives: tuple[str, ...],
    data: str | None,
    workers: WorkerChoice,
    store: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Measure again the objectives that failed in the run NAME (or the newest run).

    The front shows the new values, and new runs use them. The run itself, when it is resumed, takes the path that it
    would have taken: its searcher is told the failures as they were.
    """
    import json

    from nasctl import registry
    from nasctl.search import recorded
    from nasctl.search.retry import failed_candidates, retry_failed, summarize, task_from_record
    from nasctl.store.store import Store
    from nasctl.system.terminal import counted, say, table
    from nasctl.workers import open_executor

    reading = Store.reading(store)
    name, record = reading.run(name)
    failures = failed_candidates(record, reading.evaluations(name), registry.split(objectives))
    names = [one for one in record.labels if any(one in failure.names for failure in failures)]
    who = workers.options(recorded.recorded_setting(record).threads)
    outcomes: list[dict[str, str | None]] = []
    if failures:
        task = task_from_record(record, names, data, here=who.in_process)
        say_data(task.setting.data)
        with open_executor(who, task) as executor:
            ledger = Store(store).ledger(record.space, [record.labels[one] for one in names])
            found = retry_failed(task, record, failures, executor, ledger)
            outcomes.extend(counted(found, len(failures), "measured again"))
    rows = [summarize(one, outcomes) for one in names]
    if as_json:
        click.echo(json.dumps({"run": name, "objectives": [row._asdict() for row in rows]}))
    elif rows:
        heads = ["objective", "tried", "measured", "failed again with"]
        table(heads, [(*row[:3], "; ".join(row.errors)) for row in rows], as_csv=as_csv)
    else:
        say(f"nothing failed in run {name}")
