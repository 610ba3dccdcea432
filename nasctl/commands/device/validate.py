"""The command `nasctl device validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nasctl.commands import json_option
from nasctl.commands._types import OutputPath, file_in
from nasctl.commands.device import quiet_machine_lock, wait_option, with_progress

if TYPE_CHECKING:
    from nasctl.hardware.profiling.profile import Host
    from nasctl.hardware.table import LatencyTable
    from nasctl.hardware.tables_schema import Idle
    from nasctl.hardware.validation import TableComparison
    from nasctl.system.quiet_machine import BusyMeter

SEED = 2  # default seed of the random networks; differs from those of `nasctl device profile` (1) and kits (0)


@click.command()
@click.argument("name")
@click.option("--space", required=True, metavar="SPEC", help="Search space of the networks.")
@click.option(
    "--csv", type=click.Path(path_type=Path), metavar="FILE", help="Architectures and ms: CSV, CSV.gz or JSON."
)
@click.option("--column", metavar="NAME", help="Column of ms for one batch.  [default: the only one of numbers]")
@click.option(
    "--idle",
    type=click.Choice(["count", "ignore"]),
    help="Form of the networks of --csv: as they are written, with or without operations that do not influence the "
    "output.  [default: as the table was fitted; else the networks that nasctl builds]",
)
@click.option("--networks", default=20, show_default=True, type=click.IntRange(2), help="Networks to measure here.")
@click.option("--seed", default=SEED, show_default=True, type=click.IntRange(0), help="Seed of these networks.")
@click.option("--torch-device", metavar="DEVICE", help="Device of torch.  [default: cpu or cuda:0, by the kind]")
@click.option(
    "--seconds",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, 60, min_open=True),
    envvar="NASCTL_SECONDS",
    show_envvar=True,
    help="Total time of the repetitions of each network, in seconds.",
)
@wait_option
@click.option(
    "--accept-noise",
    is_flag=True,
    help="Measure beside a search too, and store the result even if the machine was not quiet meanwhile.",
)
@click.option("--plot", type=OutputPath(), metavar="FILE", help="Draw predictions against measurements.")
@click.option("--save", is_flag=True, help="Store the result in the table.")
@click.option("-o", "--out", type=OutputPath(), help="Store it in a copy of the table.")
@click.option("--force", is_flag=True, help="Measure on a machine other than the table's; overwrite a picture or copy.")
@json_option
def command(
    name: str,
    space: str,
    csv: Path | None,
    column: str | None,
    idle: Idle | None,
    networks: int,
    seed: int,
    torch_device: str | None,
    seconds: float,
    wait: float | None,
    accept_noise: bool,
    plot: Path | None,
    save: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare predictions of the table NAME, or of a file, with random whole networks timed on this machine.

    Nothing else should run on the machine. A result of a machine that was not quiet is printed, but not stored.

    For another device, --csv FILE gives the latencies of networks that were timed there, in ms for one batch of the
    table's size. The networks should be other ones than those that the table was made from.
    """
    import json
    from hashlib import sha256

    from nasctl import registry
    from nasctl.drawing.canvas import check_free
    from nasctl.drawing.latency_scatter import scatter
    from nasctl.errors import NasctlError
    from nasctl.hardware import validation
    from nasctl.hardware.kinds import load_table
    from nasctl.system.quiet_machine import BusyMeter
    from nasctl.system.terminal import say

    table = load_table(name, space)
    spec = registry.normal("spaces", space)
    target = _target(name, save, out, force)
    meter = BusyMeter()
    if plot is not None:
        check_free(plot := file_in(plot, f"{table.device}.png"), force)
    if csv is None:
        host = validation.matching_host(table, torch_device, seconds)
        with quiet_machine_lock(wait, accept_noise):
            found = _measured(table, spec, host, networks, seed, force, meter)
    else:
        found = _read(table, spec, csv, column, idle)
        if target is not None and sha256(csv.read_bytes()).hexdigest() in " ".join(table.source.values()):
            raise NasctlError(f"{name} was made of {csv} itself, which says nothing of other networks; give others")
    if plot is not None:
        note = f"{found.held_out.partition(';')[0]}; MAPE {found.validation.mape:.1f}%, batch {table.batch}"
        scatter(plot, found.measured, found.predicted, f"{table.device}: latency", note, validation.NEAR)
        say(f"picture: {plot}")
    refused = _refusal(meter, target, accept_noise)
    if target is not None and not refused:
        validation.with_validation(table, found.validation).save(target)
        say(f"saved in {target}")
    if as_json:
        busy = {} if meter.processors is None else {"busy_processors": round(meter.processors, 3)}
        click.echo(json.dumps({"device": table.device, "batch": table.batch, **found.figures(), **busy}))
    else:
        _print_comparison(table, found)
    if refused:
        raise NasctlError(refused)


def _target(name: str, save: bool, out: Path | None, force: bool) -> Path | None:
    """Return the path of the table to write, or None.

    Raises:
        NasctlError: The table is shipped with nasctl, or the path of the copy exists or does not end in ".json".
    """
    from nasctl.errors import NasctlError

    if out is not None:
        out = file_in(out, f"{Path(name).stem}.json")
        if out.suffix != ".json":
            raise NasctlError(f"{out} has to end in .json, so that --device takes it for a file; name another with -o")
        if out.exists() and not force:
            raise NasctlError(f"{out} exists; name another file with -o, or add --force")
        return out
    if save and not name.endswith(".json"):
        raise NasctlError(f"{name!r} is installed with nasctl and stays as it is; save a copy with -o FILE.json")
    return Path(name) if save else None


def _refusal(meter: BusyMeter, target: Path | None, accept_noise: bool) -> str:
    """Warn of a machine that was busy during the measurement, and return why its result is not stored, or ""."""
    from nasctl.system.terminal import say

    if meter.remark:
        say(f"Warning: {meter.remark}, so the measured latencies may be too high")
    if target is None or accept_noise or not meter.remark:
        return ""
    return (
        f"Cannot store the result in {target}: {meter.remark}. Stop what runs beside, or add --wait 60 or"
        " --accept-noise."
    )


def _measured(
    table: LatencyTable, spec: str, host: Host, number: int, seed: int, force: bool, meter: BusyMeter
) -> TableComparison:
    """Return the comparison with networks that are measured on this machine.

    Raises:
        NasctlError: This machine is not the table's device, or is too busy to measure on.
    """
    import tempfile

    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.errors import NasctlError
    from nasctl.hardware import validation
    from nasctl.hardware.profiling import profile
    from nasctl.hardware.profiling.timings import Timings
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
    timings = Timings()
    with meter, tempfile.TemporaryDirectory() as folder:
        for _step in with_progress(profile.time_groups([profile.TimingGroup(networks)], host, timings, Path(folder))):
            pass
    rows = {name: row for name in networks if (row := timings.row(name)) is not None}
    noisy = [name for name in networks if name not in rows]
    if len(rows) < validation.MIN_NETWORKS:
        raise NasctlError(f"{len(noisy)} of {len(networks)} networks were too noisy to be believed; add --wait 60")
    if noisy:
        say(f"left out, too noisy to be believed: {', '.join(noisy)}")
    held_out = f"whole random networks of {spec}; drawn for this check, seed {seed}, and measured alone"
    held_out += f"; {meter.remark}" * bool(meter.remark)
    return validation.compare(table, spec, held_out, ((name, networks[name], row.ms) for name, row in rows.items()))


def _read(table: LatencyTable, spec: str, path: Path, column: str | None, idle: Idle | None) -> TableComparison:
    """Return the comparison with the latencies in a file."""
    from nasctl import registry
    from nasctl.architectures import ids, known_values
    from nasctl.hardware import validation

    read = known_values.read(path, spec, column)
    space = registry.create("spaces", spec)
    rows = (
        (ids.encode(spec, space.genes, genome), validation.timed_form(space, genome, idle or table.idle), ms)
        for genome, ms in read.values.items()
    )
    return validation.compare(table, spec, f"networks in {path.name}, column {read.column!r}", rows)


def _print_comparison(table: LatencyTable, found: TableComparison) -> None:
    """Print the errors, the correlations, the verdict and the worst networks."""
    from nasctl.hardware.fitting.operators import left_out_text
    from nasctl.system.terminal import definitions
    from nasctl.system.terminal import table as drawn

    figures = found.figures()
    rank, constraint = found.verdict()
    what = found.held_out.removesuffix(f"; {left_out_text(found.left_out, found.unpriced)}")
    left_out = {"left out": left_out_text(found.left_out, found.unpriced)} if found.left_out else {}
    definitions(
        {
            "device": f"{table.device}, {table.method}, batch {table.batch}",
            "space": found.space,
            "networks": f"{figures['networks']}: {what}",
            **left_out,
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
    """Return the text of a correlation."""
    return "not known, as all are equal" if value is None else f"{value:.4f}"
