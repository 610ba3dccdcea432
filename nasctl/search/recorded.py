"""A run of the store put as a question again: its task, the scale of its hypervolume, the command that repeats it."""

from __future__ import annotations

from nasctl.candidates.setting import DEFAULT_DATA, SETTING, SETTING_PARTS, Setting
from nasctl.data import Data
from nasctl.errors import NasctlError
from nasctl.problem.fidelity import Fidelity
from nasctl.search.run import Run
from nasctl.store.run_record import RunRecord


def setting_parts(record: RunRecord) -> dict[str, str]:
    """What the setting of a run is made of, by what people call it.

    Raises:
        NasctlError: Another version of nasctl wrote it in another way.
    """
    match = SETTING.fullmatch(str(record.asked.get("setting", "")))
    if not match:
        raise NasctlError("the setting of the run was written by another version of nasctl")
    return dict(zip(SETTING_PARTS, match.groups(), strict=True))


def recorded_setting(record: RunRecord, data: Data = DEFAULT_DATA) -> Setting:
    """The setting of a run with this data, the rest as it was.

    Raises:
        NasctlError: Another version of nasctl wrote it in another way.
    """
    known = setting_parts(record)
    fidelity = Fidelity.parse(known["fidelity"], {"full": Fidelity()})
    return Setting(data, fidelity, int(known["weights seed"]), known["torch device"], int(known["threads"]))


def run_from_record(record: RunRecord) -> Run:
    """The run, but for its data, which only the modules of candidates see.

    Raises:
        NasctlError: What it asked for is not installed here, or in another version.
    """
    asked, also, held = record.asked, tuple(record.asked["record"]), tuple(record.asked["constraints"])
    objectives = tuple(asked["objectives"])
    run = Run(record.space, objectives, asked["searcher"], asked["seed"], recorded_setting(record), also, held)
    for name, metric in run.task.metrics.items():
        if record.labels[name].partition(" @ ")[0] != f"{name} v{metric.version}":
            raise NasctlError(f"{name} is of another version here")
    return run
