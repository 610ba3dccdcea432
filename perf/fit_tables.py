"""Fits of the shipped latency tables to whole networks: python perf/fit_tables.py NAME...|all [--markdown FILE]."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial
from pathlib import Path

import numpy as np
from msgspec import structs

from nasctl import registry
from nasctl.api import Genome, Network, SearchSpace, declared_network
from nasctl.bench.published import published_path
from nasctl.hardware.fitting.additive import MeasuredNetworks, fit, split_networks, validate_fit
from nasctl.hardware.fitting.operators import evaluate_predictions
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Against, Kind, Validation

ROOT = Path(__file__).parents[1]
KERNELS, EXPANSIONS, DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)  # choices of the genes of mbconv
SIZES = tuple(range(128, 225, 4))  # image sizes in the data, px
FBNET = "fbnet:cifar=on,classes=100,head=1504,resolution=32"
SHARE = 0.3  # share of the networks that is held out
DEVICES: Mapping[str, tuple[Kind, str]] = {  # kind and processor, by the device in a column name
    "v100": ("gpu", "NVIDIA V100"),
    "1080ti": ("gpu", "NVIDIA GTX 1080 Ti"),
    "2080ti": ("gpu", "NVIDIA RTX 2080 Ti"),
    "titan_rtx": ("gpu", "NVIDIA Titan RTX"),
    "titan_xp": ("gpu", "NVIDIA Titan Xp"),
    "titanxp": ("gpu", "NVIDIA Titan Xp"),
    "titanx": ("gpu", "NVIDIA Titan X"),
    "gold_6226": ("cpu", "Intel Xeon Gold 6226"),
    "gold_6240": ("cpu", "Intel Xeon Gold 6240"),
    "silver_4114": ("cpu", "Intel Xeon Silver 4114"),
    "silver_4210r": ("cpu", "Intel Xeon Silver 4210R"),
    "essential_ph_1": ("mobile", "Essential PH-1"),
    "pixel2": ("mobile", "Google Pixel 2"),
    "pixel3": ("mobile", "Google Pixel 3"),
    "samsung_a50": ("mobile", "Samsung Galaxy A50"),
    "samsung_s7": ("mobile", "Samsung Galaxy S7"),
    "raspi4": ("mobile", "Raspberry Pi 4"),
    "eyeriss": ("accelerator", "Eyeriss, an ASIC (simulated)"),
    "fpga": ("accelerator", "an FPGA (modelled)"),
}
HW_NAS_BENCH = ("pixel3", "raspi4", "eyeriss", "fpga")  # devices whose figures come from HW-NAS-Bench
# Devices whose latencies of NAS-Bench-201 are sums over layers. For FBNet, all of HW_NAS_BENCH are.
SUMMED = ("eyeriss", "fpga")
# Devices on which cells without a path took almost no time, so networks were not timed as declared.
LIVE = ("pixel3", "raspi4")
HELP = (
    "Lee et al., HELP: Hardware-adaptive efficient latency prediction for NAS via meta-learning, NeurIPS 2021, "
    "arXiv:2106.08630"
)
MEASURED_BY = (
    "; the figures are those of Li et al., HW-NAS-Bench: Hardware-aware neural architecture search benchmark, ICLR "
    "2021, arXiv:2103.10584, github.com/GATECH-EIC/HW-NAS-Bench, MIT"
)
ATTRIBUTION = (
    "Float32 and the runtime are not stated in the data.",
    "Only whole networks were timed: how a network's latency divides over its blocks, and what those layers cost that "
    "all networks have in common, is the fit's attribution.",
)
WHOLE_MS = "The latencies are whole milliseconds, which is part of the error."
DECLARED = (
    "Networks were timed as declared, with zeros for every `none` and with what does not reach the output. nasctl "
    "prices what reaches the output: where a cell has more, the figure is below what was timed."
)
LEAN = (
    "Cells without a path to the output took almost no time, so their runtime left something out; what it made of idle "
    "parts of other cells is not known, and the fit saw none of those."
)
SUMS = (
    "The latencies are themselves sums over their source's table of layers: the error says how well that table was "
    "found again, not how well it predicts networks."
)


@dataclass(frozen=True)
class Source:
    """A file of whole networks that were timed on several devices."""

    file: str  # path below the folder of public measurements
    data: str  # files of the source repository from which `file` was made
    prefix: str  # prefix of the latency columns
    suffix: str  # suffix of the table names
    fitted: Callable[[LatencyTable, Source, str], LatencyTable]  # fits the table of a column and adds its validation
    shipped: tuple[str, ...] = ()  # columns whose tables are shipped; all if empty

    def made(self, column: str) -> LatencyTable:
        """Fit the table of a column, with its source and its validation."""
        device, batch = _device(column)
        kind, processor = DEVICES[device]
        table = LatencyTable(
            device=self.name(column),
            kind=kind,
            batch=batch,
            blocks={},
            processor=processor,
            runtime="not stated",
            source={
                "data": f"{self.data} of github.com/HayeonLee/HELP: whole networks",
                "commit": "45f70eb92d0d735970a33b608d1544ad3c52f285",
                "licence": "MIT",
                "citation": HELP + MEASURED_BY * (device in HW_NAS_BENCH),
            },
            inferred=ATTRIBUTION,
            command=f"python perf/fit_tables.py {self.name(column)}",
            date=date.today().isoformat(),
        )
        return self.fitted(table, self, column)

    def name(self, column: str) -> str:
        """Return the name of a column's table, such as "v100-b64" or "gold-6226-nb201"."""
        device, batch = _device(column)
        sized = f"-b{batch}" if column != device else ""
        readable = device.replace("titanx", "titan-x").replace("_", "-")
        return f"{readable}{sized}{self.suffix}"

    def columns(self) -> list[str]:
        """Return the names of the latency columns, without the prefix."""
        names = [name.removeprefix(self.prefix) for name in _rows(self.file)[0] if name.startswith(self.prefix)]
        return [name for name in names if _device(name)[0] in DEVICES]

    def ms(self, column: str) -> np.ndarray:
        """Return the latencies of a column in ms, (N,)."""
        return np.array([float(row[self.prefix + column]) for row in _rows(self.file)])


def _ofa(table: LatencyTable, source: Source, column: str) -> LatencyTable:
    """Fit a table to networks of mbconv."""
    data = replace(ofa_networks(1.2), ms=source.ms(column))
    inside, out = split_networks(len(data.ms), SHARE, seed=0)
    table = fit(data.part(inside)).fill(table)
    given = [f"mbconv:resolution={size}" for size in SIZES] + [f"mbconv:resolutions={','.join(map(str, SIZES))}"]
    specs = sorted(registry.normal("spaces", spec) for spec in given)
    large = out[[int(_rows(source.file)[k]["r"]) == SIZES[-1] for k in out]]
    return replace(
        table,
        runtime="PyTorch (version not stated)",
        inferred=(_width(source), *table.inferred),
        validation=(
            validate_fit(
                table, data.part(inside), data.part(out), f"whole networks at {SIZES[0]} to {SIZES[-1]} px", specs
            ),
            validate_fit(table, data.part(inside), data.part(large), f"those of them at {SIZES[-1]} px", specs),
        ),
    )


def _nb201(table: LatencyTable, source: Source, column: str) -> LatencyTable:
    """Fit a table to networks of NAS-Bench-201."""
    spec = [registry.normal("spaces", "nb201")]
    lean = _device(column)[0] in LIVE
    built, timed, alike, connected = nb201_networks(lean)
    ms = source.ms(column)
    inside, out = split_networks(len(ms), SHARE, seed=0)
    # It is unknown what that runtime skipped in a cell with idle parts, so the fit uses only cells without idle parts.
    inside = inside[alike[inside]] if lean else inside
    built, timed = replace(built, ms=ms), replace(timed, ms=ms)
    # Pricing does not depend on this; `nasctl device validate` compares networks as they are declared.
    table = replace(fit(timed.part(inside)).fill(table), idle=None if lean else "count")
    checks = [("whole networks that nasctl builds as they were timed", timed, alike)]
    checks += [] if lean else [("all networks, as they were declared and timed", timed, np.ones(len(ms), dtype=bool))]
    checks += [("all with a path, the leaner networks of nasctl against what was timed", built, connected)]
    found = [
        validate_fit(table, timed.part(inside), kind.part(out[mask[out]]), what, spec) for what, kind, mask in checks
    ]
    remarks = (LEAN if lean else DECLARED, *_remarks(ms, column in SUMMED))
    against: Against = "sums" if column in SUMMED else "networks"
    validation = tuple(structs.replace(one, against=against) for one in found)
    return replace(table, inferred=(*remarks, *table.inferred), validation=validation)


def _fbnet(table: LatencyTable, source: Source, column: str) -> LatencyTable:
    """Fit a table to networks of FBNet."""
    data = replace(fbnet_networks(), ms=source.ms(column))
    inside, out = split_networks(len(data.ms), SHARE, seed=0)
    table = fit(data.part(inside)).fill(table)
    summed = column in HW_NAS_BENCH
    found = validate_fit(table, data.part(inside), data.part(out), "whole networks", [registry.normal("spaces", FBNET)])
    return replace(
        table,
        inferred=(*_remarks(data.ms, summed), *table.inferred),
        validation=(structs.replace(found, against="sums" if summed else "networks"),),
    )


def _remarks(ms: np.ndarray, summed: bool) -> tuple[str, ...]:
    """Return the remarks that apply to these latencies, (N,), in addition to those for all tables."""
    return (SUMS,) * summed + (WHOLE_MS,) * bool(np.all(ms == np.round(ms)))


@cache
def ofa_networks(width: float, by_place: bool = False) -> MeasuredNetworks:
    """Return the networks of the file, (N,), with placeholder times of 1 ms."""
    space: SearchSpace = registry.create("spaces", f"mbconv:width={width},resolutions={','.join(map(str, SIZES))}")
    genomes = [ofa_genome(row) for row in _rows(SOURCES[0].file)]
    return MeasuredNetworks.of(map(space.network, genomes), np.ones(len(genomes)), by_place=by_place)


def ofa_genome(row: Mapping[str, str]) -> Genome:
    """Return the genome of a row in `mbconv` with the resolution as a gene."""
    kernels, expansions, depths = ([int(one) for one in row[name].split()] for name in ("ks", "e", "d"))
    genome = [SIZES.index(int(row["r"]))]
    for stage, depth in enumerate(depths):
        genome.append(DEPTHS.index(depth))
        for place in range(4 * stage, 4 * stage + 4):
            genome += [KERNELS.index(kernels[place]), EXPANSIONS.index(expansions[place])]
    return tuple(genome)


@cache
def _width(source: Source) -> str:
    """Return the evidence for the width of the networks, as a sentence."""
    figures = {}
    inside, out = split_networks(len(_rows(source.file)), SHARE, seed=0)
    for width in (1.0, 1.2):
        errors, ranks = [], []
        for device in ("v100_64", "titan_rtx_64", "titan_xp_64", "2080ti_64"):
            data = replace(ofa_networks(width), ms=source.ms(device))
            table = fit(data.part(inside), operators_only=True).fill(LatencyTable(device, "gpu", 64, {}))
            errors.append(evaluate_predictions("", data.part(out).predicted(table), data.ms[out]).mape)
            ranks.append(evaluate_predictions("", data.macs, data.ms).spearman or 0.0)
        figures[width] = f"{np.mean(errors):.2f}% and {np.mean(ranks):.4f}"
    return (
        f"The data does not state the width of its networks; 1.2 is taken: its authors' code validates networks of "
        f"that width, and over four GPUs at batch 64 the mean held-out error of operators alone and the mean Spearman "
        f"correlation of MACs with latency are {figures[1.2]} with 1.2, {figures[1.0]} with 1.0."
    )


@cache
def nb201_networks(lean: bool) -> tuple[MeasuredNetworks, MeasuredNetworks, np.ndarray, np.ndarray]:
    """Return all cells in two forms, (N,), with placeholder times of 1 ms.

    Args:
        lean: True if the device left out zeros when the networks were timed.

    Returns:
        The cells as nasctl builds them; the cells as they were timed; a mask of the cells with a path whose two forms
        are equal; and a mask of the cells with a path.
    """
    space: SearchSpace = registry.create("spaces", "nb201")
    genomes = nb201_genomes()
    chosen = [space.canonical(genome) for genome in genomes]
    as_timed = space.network if lean else partial(declared_network, space)
    pairs = [
        (_keys(space.network(mine)), _keys(as_timed(genome))) for mine, genome in zip(chosen, genomes, strict=True)
    ]
    # The canonical form of a cell without a path has no operation.
    connected = np.array([any(one) for one in chosen])
    alike = np.array([mine == theirs for mine, theirs in pairs]) & connected
    placeholder = np.ones(len(genomes))  # ms
    built = MeasuredNetworks.of(map(space.network, chosen), placeholder)
    timed = MeasuredNetworks.of(map(as_timed, genomes), placeholder)
    return built, timed, alike, connected


@cache
def nb201_genomes() -> list[Genome]:
    """Return the genomes of the file of NAS-Bench-201, (N,), as the benchmark's strings have them."""
    space: SearchSpace = registry.create("spaces", "nb201")
    strings = {row["index"]: row["arch_str"] for row in _rows("nb201/nb201_table.csv.gz")}
    return [space.parse(strings[row["index"]]) for row in _rows(SOURCES[1].file)]  # type: ignore[attr-defined]


def _keys(network: Network) -> list[str]:
    """Return the keys of the blocks of a network, sorted."""
    return sorted(span.emission.key for span in network.spans)


@cache
def fbnet_networks(by_place: bool = False) -> MeasuredNetworks:
    """Return the networks of the file, (N,), with placeholder times of 1 ms."""
    space: SearchSpace = registry.create("spaces", FBNET)
    genomes = [tuple(int(row[f"layer{k}"]) for k in range(22)) for row in _rows(SOURCES[2].file)]
    return MeasuredNetworks.of(map(space.network, genomes), np.ones(len(genomes)), by_place=by_place)


@cache
def _rows(file: str) -> Sequence[Mapping[str, str]]:
    """Return the rows of a file in the folder of public measurements."""
    with gzip.open(published_path(file), "rt") as text:
        return list(csv.DictReader(text))


def _device(column: str) -> tuple[str, int]:
    """Split a column name such as "v100_64" into device and batch; columns of phones and CPUs have no batch."""
    device, _, batch = column.rpartition("_")
    return (column, 1) if column in DEVICES else (device, int(batch) if batch.isdigit() else 0)


SOURCES = (
    Source("ofa-latency/help_ofa_latency_ms.csv.gz", "data/ofa/ofa_archs.pt and data/ofa/latency", "lat_", "", _ofa),
    Source("nb201-latency/help_nb201_latency_ms.csv.gz", "data/nasbench201/latency", "", "-nb201", _nb201),
    Source(
        "fbnet-latency/help_fbnet_latency_ms.csv.gz",
        "data/fbnet/arch.pt and data/fbnet/latency",
        "lat_",
        "-fbnet",
        _fbnet,
        shipped=("pixel3", "raspi4"),
    ),
)


def _line(table: LatencyTable, one: Validation) -> str:
    """Format one validation of a table as a line of a Markdown table."""
    what, _, beside = one.held_out.partition("; ")
    rows = f"{table.method}, {len(table.blocks)} rows" if table.blocks else table.method
    ranks = " | ".join("" if rank is None else f"{rank:.4f}" for rank in (one.spearman, one.kendall))
    facts = f"`{table.device}` | {table.processor} | {table.batch} | {rows} | {one.number:,} {what}"
    return f"| {facts} | {one.mape:.2f}% | {one.bias:+.2f}% | {ranks} | {beside} |"


def main() -> None:
    """Fit the tables, print their errors and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help="name of a table, or all: every table of the data")
    parser.add_argument("--markdown", type=Path, help="also write the errors to this file")
    parser.add_argument("--json", type=Path, help="also write the errors to this file")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "hardware" / "tables", help="folder for the tables")
    given = parser.parse_args()
    known = {source.name(column): (source, column) for source in SOURCES for column in source.columns()}
    names = list(known) if given.names == ["all"] else given.names
    if wrong := [name for name in names if name not in known]:
        parser.error(f"unknown table {wrong[0]!r}; choose from {', '.join(known)}")
    heads = "name|device|batch|method|held out|MAPE|bias|Spearman|Kendall|details"
    lines = [f"| {heads.replace('|', ' | ')} |", "|---" * (heads.count("|") + 1) + "|"]
    errors = {}
    for name in names:
        source, column = known[name]
        table = source.made(column)
        lines += [_line(table, one) for one in table.validation]
        print(*lines[-len(table.validation) :], sep="\n", flush=True)
        errors[name] = [structs.asdict(one) for one in table.validation]
        if not source.shipped or column in source.shipped or given.names != ["all"]:
            table.save(given.out / f"{name}.json")
    if given.markdown:
        given.markdown.write_text("\n".join(lines) + "\n")
    if given.json:
        given.json.write_text(json.dumps(errors, indent=1) + "\n")


if __name__ == "__main__":
    main()
