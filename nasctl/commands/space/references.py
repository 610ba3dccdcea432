"""The command `nasctl space references`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import csv_option, device_option, json_option

if TYPE_CHECKING:
    from nasctl.candidates.objective import Objective
    from nasctl.problem.space import Reference, SearchSpace


@click.command("references")
@click.argument("space")
@device_option
@csv_option
@json_option
def command(space: str, devices: tuple[str, ...], as_csv: bool, as_json: bool) -> None:
    """List the published networks of SPACE, which searches begin with: costs, published accuracy and source.

    A name of the list stands for its network wherever a command takes ARCH, and for its own value in a constraint:
    --constraint "latency<=mobilenetv3-large". Options of SPACE that differ from the published ones are named, and take
    the accuracy away. Published networks that SPACE lacks with these options are named with the reason.
    """
    import json

    from nasctl import registry
    from nasctl.architectures.references import references
    from nasctl.system.terminal import TableCell, quantity, say, table

    made = registry.create("spaces", space)
    found = references(made)
    objectives = _objectives(space, devices)
    costs = {name: _costs(made, one, objectives) for name, one in found.items()}
    if as_json:
        click.echo(json.dumps([_described(space, made, name, one) | costs[name] for name, one in found.items()]))
        return
    if not found and not as_csv:
        say(f"{space} has no reference networks: it can express none of the published networks that nasctl knows")
        say(*_missing(space, made))
        return
    units = {name: one.unit if name in ("params", "macs") else "" for name, one in objectives.items()}
    heads = [name if units[name] and not as_csv else f"{name} ({one.unit})" for name, one in objectives.items()]
    rows = [
        [
            name,
            *(TableCell(value, text := quantity(value, units[cost]), text) for cost, value in costs[name].items()),
            TableCell(one.accuracy, text := "-" if one.accuracy is None else f"{100 * one.accuracy:.2f}%", text),
            one.source,
        ]
        for name, one in found.items()
    ]
    table(["network", *heads, "published accuracy", "source"], rows, as_csv=as_csv)
    say(*(f"{name}: {one.remark}" for name, one in found.items() if one.remark), *_missing(space, made))


def _missing(spec: str, space: SearchSpace) -> Iterator[str]:
    """Yield sentences on published networks that the space lacks with its options, and on those of other spaces."""
    from nasctl import registry
    from nasctl.architectures.references import missing_references, spaces_with_references

    if missing := missing_references(space):
        yield f"not in {spec}: {'; '.join(f'{name} ({reason})' for name, reason in missing.items())}"
    plugin = registry.plugin_of(registry.normal("spaces", spec))
    others = [f"{name} ({number})" for name, number in spaces_with_references().items() if name != plugin]
    yield f"other spaces have other published networks: {', '.join(others)}"


def _objectives(space: str, devices: tuple[str, ...]) -> dict[str, Objective]:
    """Return the costs to list by name: parameters, multiply-accumulates, and the latency on each device."""
    from nasctl import registry
    from nasctl.search.metrics import make_objective

    specs = ("params", "macs", *(f"latency@{device}" for device in registry.listed(devices)))
    return dict(make_objective(spec, space) for spec in specs)


def _costs(space: SearchSpace, one: Reference, objectives: Mapping[str, Objective]) -> dict[str, float]:
    """Return the costs of a network by name."""
    from nasctl.candidates.candidate import Candidate
    from nasctl.candidates.setting import DEFAULT_SETTING

    return {
        name: objective(Candidate(space, one.genome, DEFAULT_SETTING, objective.needs))
        for name, objective in objectives.items()
    }


def _described(spec: str, space: SearchSpace, name: str, one: Reference) -> dict[str, Any]:
    """Return a network as JSON has it, without its costs."""
    from nasctl.architectures import ids

    identity = {"name": name, "id": ids.encode(spec, space.genes, one.genome), "genome": list(one.genome)}
    return identity | {"accuracy": one.accuracy, "source": one.source, "remark": one.remark}
