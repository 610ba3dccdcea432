"""The command that repeats a recorded run."""

from __future__ import annotations

import shlex

from nasctl import registry
from nasctl.hardware.tables_schema import KINDS
from nasctl.search.recorded import recorded_task, setting_parts
from nasctl.store.run_record import RunRecord


def command_line(name: str, record: RunRecord, budget: int) -> tuple[str, list[str]]:
    """Return the command that repeats a run or goes on with it.

    Args:
        name: Name of the run.
        record: Record of the run.
        budget: Different candidates to visit.

    Returns:
        The command, and a sentence for each file that it needs.
    """
    asked, known, notes = record.asked, setting_parts(record), list[str]()
    devices = {*KINDS, *registry.names("devices")}

    def with_table_file(spec: str) -> str:
        metric, at, device = spec.partition("@")
        if not at or device in devices:
            return spec
        notes.append(f"{device}.json has to be the table of {device} whose digest is {asked['tables'].get(spec)}")
        return f"{metric}@{device}.json"

    data, digest, _ = known["data"].partition("#")
    if digest:
        notes.append(f"{data} has to be the file or folder that is known as {known['data']}")
    options = {
        "--space": [registry.normal("spaces", record.space)],
        "--objective": [with_table_file(spec) for spec in asked["objectives"]],
        "--task": [task] if (task := recorded_task(record)) else [],
        "--record": [with_table_file(spec) for spec in asked["record"]],
        "--constraint": asked["constraints"],
        "--searcher": [registry.normal("searchers", asked["searcher"])],
        "--budget": [budget],
        "--seed": [asked["seed"]],
        "--weights-seed": [known["weights seed"]],
        "--fidelity": [known["fidelity"]],
        "--data": [data],
        "--torch-device": [known["torch device"]],
        "--threads": [known["threads"]],
        "--run": [name],
    }
    words = [word for option, values in options.items() for value in values for word in (option, str(value))]
    return shlex.join(["nasctl", "search", *words]), list(dict.fromkeys(notes))
