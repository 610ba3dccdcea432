"""The objectives of a run from the specs that a person types."""

from __future__ import annotations

import re

from nasctl import registry
from nasctl.candidates.objective import HasLabel, Objective
from nasctl.hardware.kinds import load_table
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import KINDS


def make_objective(spec: str, space: str | None = None) -> tuple[str, Objective]:
    """An objective and what people call it: its own label if it has one ("latency@gpu"), else its spec.

    Args:
        spec: Of the objective.
        space: Spec of the space, by which a kind of device ("gpu") stands for one.

    Raises:
        NasctlError: There is none of that spec.
    """
    base, at, device = spec.partition("@")
    if at and ":" not in base:
        spec = f"{base}:device={device}"
    if (kind := re.search(rf"\bdevice=({'|'.join(KINDS)})(?=,|$)", spec)) and space is not None:
        table = load_table(kind[1], space)
        spec = spec.replace(kind[0], f"device={table.device},called={kind[1]}")
    objective: Objective = registry.create("objectives", spec)
    label = objective.label if isinstance(objective, HasLabel) else registry.normal("objectives", spec)
    return label, objective


def device_of(objective: Objective) -> str:
    """The device that a latency is of, by its table's own name; "" for other objectives."""
    table = getattr(objective, "table", None)
    return table.device if isinstance(table, LatencyTable) else ""
