"""Objectives from the specs that users write."""

from __future__ import annotations

import re

from nasctl import registry
from nasctl.candidates.objective import HasLabel, Objective
from nasctl.candidates.reversed_objective import ReversedObjective, parse_direction
from nasctl.errors import BadOption
from nasctl.hardware.kinds import best_device
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import KINDS


def make_objective(spec: str, space: str | None = None) -> tuple[str, Objective]:
    """Make an objective from its spec.

    Args:
        spec: Spec of the objective; "latency@gpu" is short for "latency:device=gpu", and "accuracy@a.json" for
            "accuracy:file=a.json". A direction may stand before it: "max:params" maximises the parameters, and
            "max:snip" is "snip", which is maximised anyhow.
        space: Spec of the search space, which decides the table that a kind of device such as "gpu" stands for.

    Returns:
        The name of the objective and the objective. The name is its label if it has one, as in "latency@gpu", and its
        spec otherwise.

    Raises:
        NasctlError: No objective has this spec, or an objective with a label is to be optimised against its direction.
    """
    direction, spec = parse_direction(spec)
    name, objective = _natural_objective(spec, space)
    if direction in (None, objective.direction):
        return name, objective
    if isinstance(objective, HasLabel):
        raise BadOption(
            f"Cannot optimise {direction}:{name}: its direction is {objective.direction}. Give {name} without"
            f" {direction}:."
        )
    return f"{direction}:{name}", ReversedObjective(objective)


def _natural_objective(spec: str, space: str | None) -> tuple[str, Objective]:
    """Return the name and the objective of a spec without a direction; see `make_objective`."""
    base, at, value = spec.partition("@")
    if spec == "latency":
        raise BadOption(
            "Cannot predict a latency without a device. Add --device NAME, or write latency@NAME; `nasctl device list` "
            "names the devices."
        )
    if at and ":" not in base:
        spec = f"{base}:{_option_after_at(base)}={value}"
    if (kind := re.search(rf"\bdevice=({'|'.join(KINDS)})(?=,|$)", spec)) and space is not None:
        spec = spec.replace(kind[0], f"device={best_device(kind[1], space)},called={kind[1]}")
    objective: Objective = registry.create("objectives", spec)
    label = objective.label if isinstance(objective, HasLabel) else registry.normal("objectives", spec)
    return label, objective


def _option_after_at(name: str) -> str:
    """Return the option of an objective whose value stands after "@": the one it needs, a file, or a device."""
    needed = registry.required_option("objectives", name)
    return needed or ("file" if "file" in registry.option_defaults("objectives", name) else "device")


def device_of(objective: Objective) -> str:
    """Return the device of a latency by the name in its table; "" for other objectives."""
    table = getattr(objective, "table", None)
    return table.device if isinstance(table, LatencyTable) else ""
