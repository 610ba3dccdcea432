"""Adaptation of existing latency tables to a new device, on which a few whole networks were timed."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from nasctl import registry
from nasctl.api import Genome, NasctlError, Network, SearchSpace, UnknownName
from nasctl.architectures import ids
from nasctl.architectures.references import references
from nasctl.hardware.fitting.mixture import fit_mixture, leave_one_out, mix_tables, unmixable
from nasctl.hardware.fitting.operators import evaluate_predictions
from nasctl.hardware.kinds import load_table, prices_space
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Validation
from nasctl.store.store import Store
from nasctl.system.csv_text import csv_rows
from nasctl.system.files import read

LIMIT = 1 << 24  # bytes of a file of times: 16 MiB
COLUMNS = ("ms", "latency", "latency_ms", "latency (ms)")  # names of the column of latencies, in lower case
MIN_VALIDATED = 2  # networks that an error by leaving one out needs


@dataclass(frozen=True)
class TimedArchitectures:
    """Whole networks that were timed on a new device."""

    path: Path  # file that they were read from
    space: str  # normal spec of their search space
    names: tuple[str, ...]  # ids, (N,)
    networks: tuple[Network, ...]  # as nasctl builds them, (N,)
    ms: np.ndarray  # latencies, (N,), above 0


@dataclass(frozen=True)
class Adaptation:
    """A mixture of tables that was fitted to timed networks."""

    table: LatencyTable
    shares: dict[str, float]  # share of each base in the predicted latencies, from 0 to 1, the largest first
    factors: dict[str, float]  # weight of each of these bases
    predicted: np.ndarray  # latencies of the networks by the table in ms, (N,)
    held_out: np.ndarray | None  # latencies, (N,), each by a fit to the other networks; None for one network


def read_timed(path: Path, store: Store, spec: str | None = None, column: str | None = None) -> TimedArchitectures:
    """Read a CSV file of architectures and milliseconds; rows of one network are averaged.

    The first column has architectures: ids, genomes such as "0,3,1", names of reference networks, or the names of
    files of a kit. The milliseconds are in `column`, or in the column that is called as in `COLUMNS`, or in the second
    one.

    Args:
        path: The file.
        store: The store, which knows the options of the spaces of ids.
        spec: Spec of the space; None if each row names it.
        column: Name of the column of milliseconds.

    Raises:
        NasctlError: The file cannot be read, or a row has no architecture or no latency above 0, or the rows are of
            several spaces.
    """
    try:
        rows = csv_rows(read(path, LIMIT).decode("utf-8-sig"))
    except OSError as error:
        raise NasctlError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise NasctlError(f"cannot read {path} as a table: {error}") from None
    if not rows or len(rows[0]) < 2:
        raise NasctlError(f"{path} holds no measurement: write a line such as arch,ms and a line for each network")
    names = list(rows[0])
    chosen = column or next((name for name in names[1:] if name.lower() in COLUMNS), names[1])
    if chosen not in names:
        raise UnknownName(f"column of {path}", chosen, names)
    found: dict[Genome, list[float]] = {}
    for k, row in enumerate(rows, 1):
        try:
            spec_of_row, genome = architecture(row[names[0]], store, spec)
            spec = spec or spec_of_row
            if registry.normal("spaces", spec_of_row) != registry.normal("spaces", spec):
                raise NasctlError(
                    f"it is of {spec_of_row}, and the rows before it are of {spec}; give files of one space"
                )
            found.setdefault(genome, []).append(_ms(row[chosen], chosen))
        except NasctlError as error:
            raise NasctlError(f"{path}, network {k}: {error}") from None
    assert spec is not None
    space: SearchSpace = registry.create("spaces", spec)
    return TimedArchitectures(
        path,
        registry.normal("spaces", spec),
        tuple(ids.encode(spec, space.genes, genome) for genome in found),
        tuple(map(space.network, found)),
        np.array([math.fsum(times) / len(times) for times in found.values()]),
    )


def architecture(text: str, store: Store, spec: str | None = None) -> tuple[str, Genome]:
    """Return the spec and the canonical genome of an id, a genome, a reference network, or a file of a kit.

    Raises:
        NasctlError: The text names no architecture.
    """
    text = text.strip()
    text = Path(text.replace("\\", "/")).name.removeprefix("network-").removesuffix(".onnx")
    space: SearchSpace
    if spec is not None and text in (known := references(registry.create("spaces", spec))):
        return spec, known[text].genome
    spec, genome = ids.resolve(text, store, spec)
    space = registry.create("spaces", spec)
    return spec, space.canonical(genome)


def base_tables(names: Sequence[str], timed: TimedArchitectures) -> tuple[list[LatencyTable], list[str]]:
    """Return the tables to mix, and remarks about tables that are left out.

    Args:
        names: Devices, kinds of devices and files; if there are none, all devices that are listed for the space, or if
            none is, all that can price it.
        timed: The timed networks.

    Raises:
        NasctlError: A named table cannot price a network or cannot be mixed, or no table is left.
    """
    remarks = []
    tables = [load_table(name, timed.space) for name in dict.fromkeys(names)]
    if not names:
        every = [LatencyTable.load(name) for name in registry.trusted("devices")]
        tables = [table for table in every if table.validated(timed.space)]
        if not tables:
            tables = [table for table in every if prices_space(table, timed.space)]
            remarks.append(f"no table was validated for {timed.space}: all {len(tables)} that can price it are mixed")
    if len({table.device for table in tables}) < len(tables):
        raise NasctlError("two of the tables have the same device name, which the new table could not tell apart")
    kept = []
    for table in tables:
        if not (reason := _unusable(table, timed)):
            kept.append(table)
        elif names:
            raise NasctlError(
                f"Cannot adapt {table.device!r}: {reason}. Name another table, or measure other networks."
            )
        else:
            remarks.append(f"without {table.device}: {reason}")
    if not kept:
        raise NasctlError(
            f"Cannot adapt a table to {timed.space}: no table can price its networks. "
            "Make one with `nasctl device profile` or `nasctl device kit`."
        )
    return kept, remarks


def adapt(empty: LatencyTable, tables: Sequence[LatencyTable], timed: TimedArchitectures) -> Adaptation:
    """Return the mixture of tables that fits timed networks, with its error by leaving one network out.

    Args:
        empty: The new table without its rows.
        tables: Tables that can price the networks, (K,).
        timed: The timed networks, (N,).

    Raises:
        NasctlError: No mixture fits.
    """
    prices = np.array([[table.latency(network) for table in tables] for network in timed.networks])
    weights = fit_mixture(prices, timed.ms)
    table = mix_tables(empty, tables, weights)
    amounts = (prices * weights).mean(axis=0)
    order = [k for k in np.argsort(-amounts, kind="stable").tolist() if weights[k] > 0]
    shares = {tables[k].device: float(amounts[k] / amounts.sum()) for k in order}
    factors = {tables[k].device: float(weights[k]) for k in order}
    held_out = leave_one_out(prices, timed.ms) if len(timed.ms) >= MIN_VALIDATED else None
    mixed = [f"{factors[name]:.4g} times {name} ({tables[k].digest})" for k, name in zip(order, factors, strict=True)]
    number = len(timed.ms)
    counted = "1 network that was" if number == 1 else f"{number} networks that were"
    source = {
        "data": f"a mixture of tables, fitted to {counted} timed on the device: {' plus '.join(mixed)}",
        timed.path.name: f"sha256 {sha256(timed.path.read_bytes()).hexdigest()}",
    }
    inferred = (f"No block was timed: blocks are taken to cost {' plus '.join(mixed)}.",)
    validation = () if held_out is None else (left_out_error(held_out, timed),)
    return Adaptation(
        replace(table, source=source, inferred=inferred, validation=validation),
        shares,
        factors,
        np.array([table.latency(network) for network in timed.networks]),
        held_out,
    )


def left_out_error(predicted: np.ndarray, timed: TimedArchitectures) -> Validation:
    """Return the error of predictions by leaving one network out, (N,)."""
    what = f"whole networks; each predicted by a fit to the other {len(timed.ms) - 1}"
    return evaluate_predictions(what, predicted, timed.ms, [timed.space])


def _unusable(table: LatencyTable, timed: TimedArchitectures) -> str:
    """Return why a table cannot be mixed for timed networks, or "" if it can."""
    if reason := unmixable(table):
        return reason
    for name, network in zip(timed.names, timed.networks, strict=True):
        if missing := table.unpriced_keys(network):
            return f"it has no figure of {missing[0]} of {name}"
        if table.latency(network) <= 0:
            return f"its latency of {name} is 0 ms"
    return ""


def _ms(text: str, column: str) -> float:
    """Return a latency above 0.

    Raises:
        NasctlError: The text is not such a number.
    """
    try:
        ms = float(text)
    except ValueError:
        ms = math.nan
    if not (math.isfinite(ms) and ms > 0):
        raise NasctlError(f"column {column!r} has {text!r}, which is no latency above 0 ms")
    return ms
