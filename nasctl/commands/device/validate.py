"""`nasctl device validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option
from nasctl.commands.device import shown

if TYPE_CHECKING:
    from nasctl.hardware.profiling.profile import Host
    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.validation import TableComparison

SEED = 2  # of the random networks: `nasctl device profile` has 1, a kit 0


@click.command()
@click.argument("name")
@click.option("--space", required=True, metavar="SPEC", help="Compare on networks of this space.")
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="A table of architectures and their ms.")
@click.option("--column", metavar="NAME", help="The column of FILE that holds ms.  [default: the only one of numbers]")
@click.option("--networks", default=20, show_default=True, type=click.IntRange(2), help="To measure on this machine.")
@click.option("--seed", default=SEED, show_default=True, type=click.IntRange(0), help="Of these networks.")
@click.option("--torch-device", metavar="DEVICE", help="Where torch runs them.  [default: cpu or cuda:0, as the table]")
@click.option(
    "--seconds",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 60, min_open=True),
    envvar="NASCTL_SECONDS",
    show_envvar=True,
    help="How long to repeat each network.",
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw predictions against measurements.")
@click.option("--save", is_flag=True, help="Write the figures into the table.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save them in a copy of the table.")
@click.option("--force", is_flag=True, help="Measure although this is another machine; write over a picture or copy.")
@json_option
def command(
    name: str,
    space: str,
    csv: Path | None,
    column: str | None,
    networks: int,
    seed: int,
    torch_device: str | None,
    seconds: float,
    plot: Path | None,
    save: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare what the table NAME (or a file) predicts with what random whole networks take on this machine.

    For a device elsewhere, --csv FILE has the milliseconds of networks that were timed there, for one batch of the
    table's size. They should be networks that the table was not made of.
    """
    import json
    from hashlib import sha256

    from nasctl import registry
    from nasctl.drawing.canvas import check_free
    from nasctl.drawing.latency_scatter import scatter
    from nasctl.errors import NasctlError
    from nasctl.hardware import validation
    from nasctl.hardware.kinds import load_table
    from nasctl.system.terminal import say

    table = load_table(name, space)
    spec = registry.normal("spaces", space)
    target = _target(name, save, out, force)
    if plot is not None:
        check_free(plot, force)
    if csv is None:
        host = validation.matching_host(table, torch_device, seconds)
        found = _measured(table, spec, host, networks, seed, force)
    else:
        found = _read(table, spec, csv, column)
        if target is not None and sha256(csv.read_bytes()).hexdigest() in " ".join(table.source.values()):
            raise NasctlError(f"{name} was made of {csv} itself, which says nothing of other networks; give others")
    if plot is not None:
        note = f"{found.held_out.partition(';')[0]}; MAPE {found.validation.mape:.1f}%, batch {table.batch}"
        scatter(plot, found.measured, found.predicted, f"{table.device}: latency", note, validation.NEAR)
        say(f"picture: {plot}")
    if target is not None:
        validation.with_validation(table, found.validation).save(target)
        say(f"saved in {target}")
    if as_json:
        click.echo(json.dumps({"device": table.device, "batch": table.batch, **found.figures()}))
    else:
        _print(table, found)


def _target(name: str, save: bool, out: Path | None, force: bool) -> Path | None:
    """The table to write; None for none.

    Raises:
        NasctlError: It is a shipped one, or a copy has no name that is free and a table's.
    """
    from nasctl.errors import NasctlError

    if out is not None:
        if out.suffix != ".json":
            raise NasctlError(f"{out} has to end in .json, so that --device takes it for a file; name another with -o")
        if out.exists() and not force:
            raise NasctlError(f"{out} exists; name another file with -o, or add --force")
        return out
    if save and not name.endswith(".json"):
        raise NasctlError(f"{name!r} is installed with nasctl and stays as it is; save a copy with -o FILE.json")
    return Path(name) if save else None


def _measured(table: LatencyTable, spec: str, host: Host, number: int, seed: int, force: bool) -> TableComparison:
    """The comparison with networks that are measured here.

    Raises:
        NasctlError: This is not the table's device.
    """
    import tempfile

    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.errors import NasctlError
    from nasctl.hardware import validation
    from nasctl.hardware.profiling import profile
    from nasctl.hardware.profiling.timings import Timings
    from nasctl.system.machine_lock import exclusive_machine
    from nasctl.system.terminal import say

    here = host.table("")
    if wrong := validation.host_differences(table, here):
        if here.processor != table.processor and not force:
            raise NasctlError(f"this is not the device of {table.device!r}: {wrong[0]}; give --csv, or add --force")
        say(*(f"{table.device}: {one}" for one in wrong))
    space = registry.create("spaces", spec)
    networks = {
        ids.encode(spec, space.genes, genome): space.network(genome)
        for genome in validation.unprofiled_genomes(space, number, seed)
    }
    visits = Timings()
    with exclusive_machine(), tempfile.TemporaryDirectory() as folder:
        for _step in shown(profile.time_groups([profile.TimingGroup(networks)], host, visits, Path(folder))):
            pass
    rows = {name: row for name in networks if (row := visits.row(name)) is not None}
    noisy = [name for name in networks if name not in rows]
    if len(rows) < validation.MIN_NETWORKS:
        raise NasctlError(f"{len(noisy)} of {len(networks)} networks were too noisy to be believed; quiet the machine")
    if noisy:
        say(f"left out, too noisy to be believed: {', '.join(noisy)}")
    held_out = f"whole random networks of {spec}; drawn for this check, seed {seed}, and measured alone"
    return validation.compare(table, spec, held_out, ((name, networks[name], row.ms) for name, row in rows.items()))


def _read(table: LatencyTable, spec: str, path: Path, column: str | None) -> TableComparison:
    """The comparison with a table of architectures, each as nasctl builds it."""
    from nasctl import registry
    from nasctl.architectures import ids, known_values
    from nasctl.hardware import validation

    read = known_values.read(path, spec, column)
    space = registry.create("spaces", spec)
    rows = ((ids.encode(spec, space.genes, g), space.network(space.canonical(g)), ms) for g, ms in read.values.items())
    return validation.compare(table, spec, f"networks in {path.name}, column {read.column!r}", rows)


def _print(table: LatencyTable, found: TableComparison) -> None:
    from nasctl.system.terminal import definitions
    from nasctl.system.terminal import table as drawn

    figures = found.figures()
    rank, constraint = found.verdict()
    definitions(
        {
            "device": f"{table.device}, {table.method}, batch {table.batch}",
            "space": found.space,
            "networks": f"{figures['networks']}: {found.held_out}",
            "error": f"mean {figures['mape']:.2f}%, median {figures['median']:.2f}%, largest {figures['largest']:.2f}%",
            "bias": f"{figures['bias']:+.2f}%",
            "within 10%": f"{figures['near']:.0f}% of the networks",
            "Spearman": f"{_cell(figures['spearman'])}, where MACs have {_cell(figures['spearman_of_macs'])}",
            "Kendall": _cell(figures["kendall"]),
            "order": rank,
            "limits": constraint,
        }
    )
    click.echo()
    rows = [[one["id"], one["predicted"], one["measured"], f"{one['error']:+.1f}"] for one in figures["worst"]]
    drawn(["furthest off", "predicted ms", "measured ms", "error %"], rows)


def _cell(value: float | None) -> str:
    return "not known, as all are equal" if value is None else f"{value:.4f}"
