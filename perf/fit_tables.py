"""Fits the shipped tables of devices to public measurements: python perf/fit_tables.py gpu|mobile [--json FILE]."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np

from nasctl import registry
from nasctl.api import ConvNormAct, Emission, Genome, GlobalAvgPool, Logits, MBConv, SearchSpace
from nasctl.hardware.blocks import distinct_blocks, random_genomes
from nasctl.hardware.fit import OVERHEAD, Amounts, accuracy, cross_predictions, fitted, predictions, whole
from nasctl.hardware.model import features, predicted
from nasctl.hardware.schema import Row, Validation
from nasctl.hardware.table import LatencyTable
from nasctl.networks.graph import emitted

ROOT = Path(__file__).parents[1]
KERNELS, EXPANSIONS, DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)
HELP_SIZES = tuple(range(128, 225, 4))
NOTE10_SIZES = tuple(range(160, 225, 4))
HELD_OUT = 1500  # networks of HELP
SUMS = 1000  # random networks of which sums over a table's blocks are compared


def data() -> Path:
    """Where the public measurements lie."""
    return Path(os.environ.get("NASCTL_DATA", ROOT.parent / "shared" / "data"))


def gpu(folder: Path) -> LatencyTable:
    """The V100 at batch 64, from whole networks of HELP."""
    genomes, ms = help_latencies(folder, "v100_64")
    order = np.random.default_rng(0).permutation(len(ms))
    out, inside = order[:HELD_OUT], order[HELD_OUT:]
    samples = [whole(network) for network in map(_help_space(1.2).network, genomes)]
    coefficients = fitted([samples[k] for k in inside], ms[inside])
    guesses = predictions(coefficients, samples)
    at_224 = np.array([k for k in out if HELP_SIZES[genomes[k][0]] == 224])
    kept = f"the fit saw {len(inside):,} others"
    table = LatencyTable(
        device="gpu",
        kind="gpu",
        batch=64,
        blocks={},
        method="fitted",
        processor="NVIDIA V100",
        runtime="PyTorch (version not stated)",
        source={
            "data": "data/ofa/ofa_archs.pt and data/ofa/latency of github.com/HayeonLee/HELP: whole networks",
            "commit": "45f70eb92d0d735970a33b608d1544ad3c52f285",
            "licence": "MIT",
            "citation": "Lee et al., HELP: Hardware-adaptive efficient latency prediction for NAS via meta-learning, "
            "NeurIPS 2021, arXiv:2106.08630",
        },
        inferred=(
            _width(folder),
            "Float32 and PyTorch are not stated in the data.",
            "Only whole networks were measured: how a network's latency divides over its blocks, and what those layers "
            "cost that all networks have in common, is the fit's attribution.",
        ),
        spaces=_specs(HELP_SIZES),
        validation=(
            accuracy(f"whole networks at {HELP_SIZES[0]} to {HELP_SIZES[-1]} px; {kept}", guesses[out], ms[out]),
            accuracy(f"those of them at 224 px; {kept}", guesses[at_224], ms[at_224]),
        ),
    )
    return _filled(table, coefficients)


def mobile(folder: Path) -> LatencyTable:
    """The Samsung Note10 at batch 1, from the block table of Once-for-All."""
    rows = [(size, key, ms) for size in NOTE10_SIZES for key, ms in note10(folder, size).items()]
    emissions = [note10_emission(key) for _, key, _ in rows]
    samples = [features(emission) for emission in emissions]
    ms = np.array([row[2] for row in rows])
    groups = [re.sub(r"\d+x\d+x", "", key) if key.startswith("expanded") else None for _, key, _ in rows]
    guesses = cross_predictions(samples, ms, groups)
    held = np.array([group is not None for group in groups])
    kept = "each inverted residual is predicted by a fit on the seven eighths of these that it is not in, at any size"
    at_224 = {e.key: k for k, (e, row) in enumerate(zip(emissions, rows, strict=True)) if row[0] == 224}
    networks = [[at_224[key] for key in keys] for keys in _sampled(registry.create("spaces", "mbconv"))]
    sums, truths = (np.array([values[list(network)].sum() for network in networks]) for values in (guesses, ms))
    coefficients = fitted(samples, ms)
    table = LatencyTable(
        device="mobile",
        kind="mobile",
        batch=1,
        blocks={},
        method="fitted",
        processor="Samsung Note10",
        runtime="TensorFlow Lite (version not stated)",
        source={
            "data": "tutorial/checkpoints/latency_table@note10 of github.com/mit-han-lab/once-for-all: blocks",
            "commit": "698a5c10b434172056a565b340c46ce11df18629",
            "licence": "Apache-2.0 at that commit, MIT later",
            "citation": "Cai et al., Once-for-All: Train one network and specialize it for efficient deployment, "
            "ICLR 2020, arXiv:1908.09791",
        },
        inferred=(
            "TensorFlow Lite, float32, the processor core and the number of threads are not stated in the data.",
            "The data times blocks; that a network takes the sum of its blocks is its authors' assumption.",
        ),
        spaces=_specs(NOTE10_SIZES),
        validation=(
            accuracy(f"sums over random networks at 224 px against the source's own sums; {kept}", sums, truths),
            accuracy(f"inverted residuals at 160 to 224 px; {kept}", guesses[held], ms[held]),
        ),
    )
    return _filled(table, coefficients)


def help_latencies(folder: Path, column: str) -> tuple[list[Genome], np.ndarray]:
    """Genomes of `_help_space`, (N,), and milliseconds for one batch, (N,); `column` is such as "v100_64"."""
    with gzip.open(folder / "ofa-latency" / "help_ofa_latency_ms.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    return [_help_genome(row) for row in rows], np.array([float(row[f"lat_{column}"]) for row in rows])


def _help_genome(row: dict[str, str]) -> Genome:
    kernels, expansions, depths = ([int(one) for one in row[name].split()] for name in ("ks", "e", "d"))
    genome = [HELP_SIZES.index(int(row["r"]))]
    for stage, depth in enumerate(depths):
        genome.append(DEPTHS.index(depth))
        for place in range(4 * stage, 4 * stage + 4):
            genome += [KERNELS.index(kernels[place]), EXPANSIONS.index(expansions[place])]
    return tuple(genome)


def _help_space(width: float) -> SearchSpace:
    space: SearchSpace = registry.create("spaces", f"mbconv:width={width},resolutions={_listed(HELP_SIZES)}")
    return space


def _width(folder: Path) -> str:
    """Which width HELP's networks had: the evidence, in words."""
    figures = {}
    devices = ("v100_64", "titan_rtx_64", "titan_xp_64", "2080ti_64")
    order = np.random.default_rng(0).permutation(5000)
    out, inside = order[:HELD_OUT], order[HELD_OUT:]
    for width in (1.0, 1.2):
        space, errors, ranks = _help_space(width), [], []
        networks = [space.network(genome) for genome in help_latencies(folder, devices[0])[0]]
        samples, macs = [whole(network) for network in networks], np.array([float(n.macs) for n in networks])
        for device in devices:
            ms = help_latencies(folder, device)[1]
            coefficients = fitted([samples[k] for k in inside], ms[inside])
            guesses = predictions(coefficients, [samples[k] for k in out])
            errors.append(accuracy("", guesses, ms[out]).mape)
            ranks.append(accuracy("", macs, ms).spearman or 0.0)
        figures[width] = f"{np.mean(errors):.2f}% and {np.mean(ranks):.4f}"
    return (
        f"The data does not state the width of its networks; 1.2 is taken: its authors' code validates networks of "
        f"that width, and over four GPUs at batch 64 the mean held-out error and the mean Spearman correlation of MACs "
        f"with latency are {figures[1.2]} with 1.2, {figures[1.0]} with 1.0."
    )


def note10(folder: Path, size: int) -> dict[str, float]:
    """Mean milliseconds by key, of the source's table for images of that size."""
    means, key = {}, ""
    for line in (folder / "mobile-lut" / "note10" / f"{size}_lookup_table.yaml").read_text().splitlines():
        name, _, value = line.rpartition(":")
        if not line.startswith(" "):
            key = name
        elif name.strip() == "mean":
            means[key] = float(value)
    return means


def note10_emission(key: str) -> Emission:
    """The block that a key of the source stands for; its `expand` is a number of channels."""
    found = re.fullmatch(r"(\w+)-input:(\d+)x(\d+)x(\d+)-output:(?:\d+x\d+x)?(\d+)(.*)", key)
    if found is None:
        raise ValueError(f"{key!r} is no key of the Note10 table")
    name, height, width, inputs, outputs = found[1], *map(int, found.groups()[1:5])
    if name == "expanded_conv":
        given = {field: int(value) for field, _, value in (one.partition(":") for one in found[6].split("-")[1:])}
        act = "hswish" if given["hs"] else "relu"
        block = MBConv(outputs, given["kernel"], given["expand"] / inputs, given["stride"], act, bool(given["se"]))
    else:
        block = {
            "Conv": ConvNormAct(outputs, 3, 2, act="hswish"),
            "Conv_1": ConvNormAct(outputs, act="hswish"),
            "AvgPool2D": GlobalAvgPool(),
            "Conv_2": ConvNormAct(outputs, act="hswish", norm=False),
            "Logits": Logits(outputs),
        }[name]
    return emitted(block, ((inputs, height, width),))


def _sampled(space: SearchSpace) -> Iterable[list[str]]:
    """The keys of random networks."""
    for genome in islice(random_genomes(space, seed=1), SUMS):
        yield [span.emission.key for span in space.network(genome).spans]


def _filled(table: LatencyTable, coefficients: Amounts) -> LatencyTable:
    """The table with its operator model and a row, of that model's, for every block of the default space."""
    operators = {name: value for name, value in coefficients.items() if name != OVERHEAD}
    spans = distinct_blocks(registry.create("spaces", "mbconv"))
    figures = {key: predicted(operators, features(span.emission)) for key, span in spans.items()}
    blocks = {key: Row(ms) for key, ms in figures.items() if ms is not None}
    return replace(
        table,
        blocks=blocks,
        operators=operators,
        overhead=coefficients.get(OVERHEAD, 0.0),
        command=f"python perf/fit_tables.py {table.device}",
        date=date.today().isoformat(),
    )


def _specs(sizes: Sequence[int]) -> tuple[str, ...]:
    """Specs of the spaces whose networks the data has: each size, and all of them as a gene."""
    given = [f"mbconv:resolution={size}" for size in sizes] + [f"mbconv:resolutions={_listed(sizes)}"]
    return tuple(sorted(registry.normal("spaces", spec) for spec in given))


def _listed(sizes: Sequence[int]) -> str:
    return ",".join(map(str, sizes))


def _printed(validations: Sequence[Validation]) -> None:
    print(f"{'number':>7} {'MAPE %':>8} {'bias %':>8} {'Spearman':>9} {'Kendall':>8}  held out")
    for one in validations:
        figures = f"{one.mape:8.2f} {one.bias:8.2f} {one.spearman:9.4f} {one.kendall:8.4f}"
        print(f"{one.number:7} {figures}  {one.held_out}")


def main() -> None:
    """Fit, print the errors, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", choices=("gpu", "mobile"))
    parser.add_argument("--json", type=Path, help="also write the errors there")
    given = parser.parse_args()
    table = {"gpu": gpu, "mobile": mobile}[given.device](data())
    _printed(table.validation)
    print(*table.inferred, sep="\n")
    table.save(ROOT / "hardware" / "tables" / f"{given.device}.json")
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in table.validation], indent=1) + "\n")


if __name__ == "__main__":
    main()
