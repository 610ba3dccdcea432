"""The command `nasctl space fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import csv_option, device_option, json_option
from nasctl.commands._complete import complete

if TYPE_CHECKING:
    from nasctl.analysis.space_fit import SpaceFit


@click.command("fit")
@click.argument("spaces", nargs=-1, shell_complete=complete("spaces"))
@device_option
@click.option(
    "-c",
    "--constraint",
    "constraints",
    multiple=True,
    metavar="BOUND",
    help='A bound on a cost: "latency<=20ms", "params<=5M", "macs<=300M", "memory<=2MB", "size<=4MB".',
)
@click.option(
    "--data",
    metavar="SOURCE",
    help="Data, from which classes and the size of images follow.",
    shell_complete=complete("data"),
)
@csv_option
@json_option
def command(
    spaces: tuple[str, ...],
    devices: tuple[str, ...],
    constraints: tuple[str, ...],
    data: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the search spaces that have networks within bounds on a device.

    A row has the range of each cost over the networks of a space, and the share of 200 random networks that hold all
    bounds. With SPACES, each is listed at several widths and resolutions. No network is run.
    """
    import json

    from nasctl.analysis.space_fit import BoundsQuestion, space_fit, specs_for, suitability, variants
    from nasctl.data import Summarized
    from nasctl.search.data_options import image_side
    from nasctl.system.terminal import say

    question = BoundsQuestion(devices, constraints, data)
    side = image_side(question.examples) if isinstance(question.examples, Summarized) else None
    specs = specs_for(question, spaces)
    if spaces:
        specs = [variant for spec in specs for variant in variants(spec)]
    found = {spec: space_fit(spec, question) for spec in specs}
    fits = [fit for fit in found.values() if fit is not None]
    if not spaces:
        fits.sort(key=lambda fit: (not fit.within.any(), suitability(fit, side), fit.spec))
    if as_json:
        click.echo(json.dumps([_facts(fit) for fit in fits]))
        return
    _print(fits, bool(spaces), as_csv)
    if unknown := [spec for spec, fit in found.items() if fit is None]:
        say(f"not listed: {len(unknown)} whose blocks a latency table lacks: {', '.join(unknown)}")
    if unproven := [fit.spec for fit in fits if fit.tables and not fit.validated]:
        some = ", ".join(unproven[:3]) + (f" and {len(unproven) - 3} more" if len(unproven) > 3 else "")
        where = "any of these" if len(unproven) == len(fits) else some
        say(
            f"NOT VALIDATED on {where}: latencies there are rough estimates; `nasctl device adapt` corrects a table by"
            " five networks that you time"
        )


def _print(fits: Sequence[SpaceFit], variants: bool, as_csv: bool) -> None:
    """Print the table of spaces: ranges of costs, and the share of networks within the bounds.

    Args:
        fits: The spaces.
        variants: Whether these are variants of a few spaces.
        as_csv: Whether each range is two columns of exact values.
    """
    from nasctl.system.terminal import table

    units = {name: unit for fit in fits for name, unit in fit.units.items()}
    if as_csv:
        heads = [f"{end} {name} ({unit})" for name, unit in units.items() for end in ("least", "most")]
        rows = [
            [
                _named(fit.spec, variants),
                *(value for name in units for value in (fit.reach[name].least, fit.reach[name].most)),
                fit.share if fit.constraints else None,
            ]
            for fit in fits
        ]
    else:
        heads = [_headed(name, unit) for name, unit in units.items()]
        rows = [[_named(fit.spec, variants), *(_range(fit, name) for name in units), _within(fit)] for fit in fits]
    table(["space", *heads, "within"], rows, as_csv=as_csv)


def _named(spec: str, variants: bool) -> str:
    """Return the spec of a space; where variants are compared, with its width and resolution also at their defaults."""
    from nasctl import registry

    if not variants:
        return spec
    given, defaults = registry.options("spaces", spec), registry.option_defaults("spaces", spec)
    keys = [key for key in ("width", "resolution") if key in defaults and not given.keys() & {key, f"{key}s"}]
    told = ",".join(f"{key}={defaults[key]}" for key in keys)
    return f"{spec}{',' if given else ':'}{told}" if told else spec


def _headed(name: str, unit: str) -> str:
    """Return the head of a column of ranges, with the unit where its figures have none."""
    from nasctl.system.terminal import UNITS

    return name if unit in UNITS else f"{name} ({unit.partition(',')[0]})"


def _range(fit: SpaceFit, name: str) -> str:
    """Return the range of a cost over the networks of a space."""
    from nasctl.system.terminal import UNITS, quantity

    unit = fit.units[name] if fit.units[name] in UNITS else ""
    return f"{quantity(fit.reach[name].least, unit)} to {quantity(fit.reach[name].most, unit)}"


def _within(fit: SpaceFit) -> str:
    """Return the share of random networks that hold all bounds, or what stands in the way."""
    if not fit.constraints:
        return ""
    if fit.within.any():
        return f"{100 * fit.share:.3g}%"
    return f"none of {len(fit.within)}" if fit.possible else "none can"


def _facts(fit: SpaceFit) -> dict[str, Any]:
    """Return what --json prints of a space."""
    from nasctl.hardware.pricing import held_out_error

    return {
        "space": fit.spec,
        "costs": {
            name: {"unit": fit.units[name], "least": one.least, "most": one.most, "proven": one.proven}
            for name, one in fit.reach.items()
        },
        "constraints": list(map(str, fit.constraints)),
        "networks": len(fit.within),
        "within": fit.share if fit.constraints else None,
        "mean_macs": fit.mean_macs if fit.within.any() else None,
        "error": {device: held_out_error(table, fit.spec) for device, table in fit.tables.items()},
        "validated": fit.validated,
    }
