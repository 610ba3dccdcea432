"""Error of `nasctl device adapt` over public measurements: python perf/adapt.py [--networks 5] [--markdown FILE].

Each device in turn is taken for new: tables of its family are left out, the others are mixed by the measurements of a
few random networks of it, and the mixture is compared with its measurements of 1,000 other networks.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import fit_tables
import numpy as np
import phones

from nasctl import registry
from nasctl.hardware.distinct_blocks import random_genomes
from nasctl.hardware.fitting.mixture import fit_mixture, leave_one_out
from nasctl.hardware.table import LatencyTable

DRAWS = 20  # random choices of the measured networks
TESTED = 1000  # networks that a mixture is compared with
FACTOR_OF = {"mbconv": "note10", "nb201": "samsung-a50-nb201"}  # base of "one factor", by space
HEADS = (
    "device",
    "space",
    "one factor",
    "nearest factor",
    "best factor",
    "adapt",
    "worst of 20",
    "left out",
    "own table",
)


@dataclass(frozen=True)
class Measured:
    """Measured networks of one space, on several devices, and the predictions of tables."""

    space: str
    ms: Mapping[str, np.ndarray]  # measured latencies by device, (N,)
    prices: Mapping[str, np.ndarray]  # predicted latencies by table, (N,)


def family(name: str) -> str:
    """Return the processor in the name of a table: "v100" of "v100-b64"."""
    return name.removesuffix("-nb201").split("-b")[0]


def once_for_all() -> Measured:
    """Return the networks of Once-for-All that HELP timed on four GPUs at three batches."""
    source, data = fit_tables.SOURCES[0], fit_tables.ofa_networks(1.2)
    tables = {name: LatencyTable.load(name) for name in registry.trusted("devices")}
    prices = {name: data.predicted(table) for name, table in tables.items() if table.validated("mbconv")}
    return Measured("mbconv", {source.name(one): source.ms(one) for one in source.columns()}, prices)


def phone_sums() -> Measured:
    """Return random networks of mbconv, as the sums of a phone's and a desktop's published tables of blocks."""
    space = registry.create("spaces", "mbconv")
    genomes = list(islice(random_genomes(space, seed=2), 2 * TESTED))
    networks = [space.network(genome) for genome in genomes]
    ms = {}
    for name in ("note10", "i7-8700k"):
        device = phones.DEVICES[name]
        rows = phones.read(device)
        file = device.spaces.get("mbconv:resolution=224") or device.spaces["mbconv:width=1.2,resolution=224"]
        known = {key: rows.ms[position] for (path, key), position in rows.at.items() if path == file}
        # The source of the desktop has no pooling, which takes little.
        ms[name] = np.array([sum(known.get(span.emission.key, 0.0) for span in one.spans) for one in networks])
    tables = {name: LatencyTable.load(name) for name in registry.trusted("devices")}
    chosen = {name: table for name, table in tables.items() if table.validated("mbconv")}
    prices = {name: np.array([table.latency(one) for one in networks]) for name, table in chosen.items()}
    return Measured("mbconv", ms, prices)


def nas_bench_201() -> Measured:
    """Return the cells of NAS-Bench-201 that nasctl builds as HELP's devices ran them."""
    source = fit_tables.SOURCES[1]
    _, timed, alike, _ = fit_tables.nb201_networks(False)
    data = timed.part(alike)
    tables = {name: LatencyTable.load(name) for name in registry.trusted("devices")}
    prices = {name: data.predicted(table) for name, table in tables.items() if table.validated("nb201")}
    return Measured("nb201", {source.name(one): source.ms(one)[alike] for one in source.columns()}, prices)


def errors(measured: Measured, device: str, number: int) -> list[str]:
    """Return the figures of one device, as `HEADS` names them.

    Args:
        measured: The measurements.
        device: The device that is taken for new.
        number: Networks that are measured on it.
    """
    names = [name for name in measured.prices if family(name) != family(device)]
    prices, ms = np.array([measured.prices[name] for name in names]).T, measured.ms[device]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(DRAWS):
        order = rng.permutation(len(ms))
        few, others = order[:number], order[number : number + TESTED]
        shares = prices[few] / ms[few, None]
        factors = shares.sum(axis=0) / (shares**2).sum(axis=0)
        of_each = 100 * np.abs(prices[others] * factors / ms[others, None] - 1).mean(axis=0)
        best = int(((shares * factors - 1) ** 2).mean(axis=0).argmin())
        nearest = int(np.abs(np.log(factors)).argmin())
        mixed = 100 * np.abs(prices[others] @ fit_mixture(prices[few], ms[few]) / ms[others] - 1).mean()
        left = 100 * np.abs(leave_one_out(prices[few], ms[few]) / ms[few] - 1).mean() if number > 1 else np.nan
        named = FACTOR_OF[measured.space]
        fixed = of_each[names.index(named)] if named in names else np.nan
        found.append([fixed, of_each[nearest], of_each[best], mixed, left])
    fixed, nearest_factor, best_factor, mixed, left = np.mean(found, axis=0)
    worst = max(row[3] for row in found)
    own = f"{LatencyTable.load(device).validation[0].mape:.1f}%"
    figures = [fixed, nearest_factor, best_factor, mixed, worst, left]
    return [f"`{device}`", measured.space, *("" if np.isnan(one) else f"{one:.1f}%" for one in figures), own]


def main() -> None:
    """Print the figures, and write them as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=5, help="networks that are measured on the new device")
    parser.add_argument("--markdown", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    lines = [f"| {' | '.join(HEADS)} |", "| --- " * len(HEADS) + "|"]
    for measured in (once_for_all(), phone_sums(), nas_bench_201()):
        rows = [errors(measured, device, given.networks) for device in measured.ms]
        means = [np.mean([float(one[:-1]) for one in column if one]) for column in list(zip(*rows, strict=True))[2:]]
        rows.append([f"mean of {len(rows)}", measured.space, *(f"{one:.1f}%" for one in means)])
        lines += [f"| {' | '.join(row)} |" for row in rows]
    print(*lines, sep="\n")
    if given.markdown:
        given.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
