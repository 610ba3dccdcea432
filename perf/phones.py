"""Operator models of phones and a desktop CPU, fitted to public tables of blocks: python perf/phones.py NAME...|all."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
from msgspec import structs

from nasctl import registry
from nasctl.api import Genome, SearchSpace
from nasctl.bench.published import published_path
from nasctl.hardware.distinct_blocks import random_genomes
from nasctl.hardware.fitting.operators import FOLDS, cross_val_predict, evaluate_predictions, fit_operators
from nasctl.hardware.importers import Entry, dialect, read_source
from nasctl.hardware.importers._table import key_without_size
from nasctl.hardware.operator_model import features
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Kind, Validation

ROOT = Path(__file__).parents[1]
SUMS = 1000  # minimum number of random networks or chains whose sums over a table's blocks are compared
NOTE10_SIZES = range(160, 225, 4)  # image sizes in the tables of the Note10, px
I7_SIZES = range(96, 257, 4)  # image sizes in the table of the i7-8700K, px
LONGEST = 10  # maximum number of inverted residuals in a random chain
SHORTEST = 3  # minimum number of inverted residuals in a random chain
KEPT = f"each inverted residual is predicted by a fit that it, at any size of image, was held out of ({FOLDS} folds)"


@dataclass(frozen=True)
class Device:
    """A device with a public table of blocks, and the facts about that table."""

    dialect: str  # format of the files, a module of hardware/importers
    files: str  # glob pattern; if it matches several files, each has one image size
    processor: str
    source: Mapping[str, str]  # origin of the data, as stored in the table
    inferred: tuple[str, ...]  # assumptions that the source does not state, as stored in the table
    spaces: Mapping[str, str] = field(default_factory=dict)  # file by the spec of the space that it covers
    kind: Kind = "mobile"
    runtime: str = "not stated"
    sizes: Sequence[int] = (224,)  # image sizes, px
    but: str = ""  # suffix of descriptions that names the parts that sums over networks leave out
    # By feature or kind of operator that the source lacks: the feature or kind that stands in for it, and the factor.
    stand_ins: Mapping[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """The rows of a device with their predictions."""

    entries: Sequence[Entry]  # (N,)
    at: Mapping[tuple[str, str], int]  # position of a row, by file and key
    ms: np.ndarray  # (N,)
    guesses: np.ndarray  # predicted ms, (N,); an inverted residual is predicted by a fit that held it out


NN_METER = {
    "commit": "9c31e190e78d6ac558213c68b41575fe545c0533",
    "licence": "MIT",
    "citation": "Zhang et al., nn-Meter: Towards accurate latency prediction of deep-learning model inference on "
    "diverse edge devices, MobiSys 2021",
}
SUMMED = "The data times blocks; that a network takes the sum of its blocks is its authors' assumption."


def _nn_meter(name: str, processor: str) -> Device:
    """Return a device of nn-Meter."""
    file = f"{name}_lut_ln_v3.json.gz"
    where = "nn_meter/predictor/transformer_predictor/lut of github.com/microsoft/nn-Meter"
    return Device(
        "nn_meter",
        f"nnmeter/{file}",
        processor,
        {"data": f"{file.removesuffix('.gz')} in {where}: blocks", **NN_METER},
        (
            "Runtime, precision, the processor core and the number of threads are not stated in the data, nor whether "
            "its values were measured or predicted; float32 is taken.",
            SUMMED,
            "The data has no linear layer, no ReLU6 and no kernel of 7. A linear layer is taken to cost what a 1x1 "
            "convolution of the same size costs, ReLU6 what h-swish costs, and a kernel of 7 over one of 5 half as "
            "much again as one of 5 over one of 3: it has 24 weights more, against 16.",
        ),
        stand_ins={"linear": ("pointwise", 1), "relu6": ("hswish", 1), "depthwise.k7": ("depthwise.k5", 24 / 16)},
    )


DEVICES = {
    "note10": Device(
        "once_for_all",
        "note10/*_lookup_table.yaml",
        "Samsung Note10",
        {
            "data": "tutorial/checkpoints/latency_table@note10 of github.com/mit-han-lab/once-for-all: blocks",
            "commit": "698a5c10b434172056a565b340c46ce11df18629",
            "licence": "Apache-2.0 at that commit, MIT later",
            "citation": "Cai et al., Once-for-All: Train one network and specialize it for efficient deployment, "
            "ICLR 2020, arXiv:1908.09791",
        },
        (
            "TensorFlow Lite, float32, the processor core and the number of threads are not stated in the data.",
            SUMMED,
            "ReLU6, which the data lacks, is taken to cost what ReLU costs.",
        ),
        {f"mbconv:resolution={size}": f"{size}_lookup_table.yaml" for size in NOTE10_SIZES},
        sizes=NOTE10_SIZES,
        runtime="TensorFlow Lite (version not stated)",
        stand_ins={"relu6": ("relu", 1)},
    ),
    "pixel1": Device(
        "proxyless",
        "pixel1_proxylessnas_pixel_trim.yaml",
        "Google Pixel 1",
        {
            "data": "proxylessnas/pixel_trim.yaml of github.com/itouchz/Neural-Predictor-Tensorflow: blocks",
            "commit": "a660b8a35082a9defef764e591d6901160c367ae",
            "licence": "MIT",
            "citation": "Cai et al., ProxylessNAS: Direct neural architecture search on target task and hardware, "
            "ICLR 2019, arXiv:1812.00332",
        },
        (
            "Runtime, precision, the processor core and the number of threads are not stated in the data; float32 is "
            "taken.",
            "Another table of this phone with the same keys and other values is in circulation.",
            SUMMED,
            "ReLU, which the data lacks, is taken to cost what ReLU6 costs.",
        ),
        {"proxyless": "pixel1_proxylessnas_pixel_trim.yaml"},
        but=" without expansions of 4",
        stand_ins={"relu": ("relu6", 1)},
    ),
    "pixel4": _nn_meter("pixel4", "Google Pixel 4"),
    "pixel6": _nn_meter("pixel6", "Google Pixel 6"),
    "xiaomi11": _nn_meter("xiaomi11", "Xiaomi 11"),
    "i7-8700k": Device(
        "nsganetv2",
        "i7-8700K_nsganetv2_lut.yaml.gz",
        "Intel Core i7-8700K",
        {
            "data": "data/i7-8700K_lut.yaml of github.com/mikelzc1990/nsganetv2: blocks",
            "commit": "04c495a6ba5d351aae97c18542597f5b2d56212b",
            "licence": "Apache-2.0",
            "citation": "Lu et al., NSGANetV2: Evolutionary multi-objective surrogate-assisted neural architecture "
            "search, ECCV 2020, arXiv:2007.10396",
        },
        (
            "Milliseconds follow from the size of the numbers; runtime, precision and the number of threads are not "
            "stated in the data, and float32 is taken.",
            "Activations are those of Once-for-All: ReLU in blocks that end in up to 48 channels, h-swish elsewhere.",
            SUMMED,
            "ReLU6, which the data lacks, is taken to cost what ReLU costs.",
        ),
        {
            f"mbconv:width={width},resolution={size}": "i7-8700K_nsganetv2_lut.yaml.gz"
            for width in (1.2, 1.0)
            for size in I7_SIZES
        },
        kind="cpu",
        stand_ins={"relu6": ("relu", 1)},
        sizes=I7_SIZES,
        but=" without the pooling that the source lacks",
    ),
}


def data() -> Path:
    """Return the folder of the public measurements."""
    return published_path("mobile-lut")


def table(name: str) -> LatencyTable:
    """Fit the operator model of a device to all of its rows, with the errors of held-out predictions."""
    device = DEVICES[name]
    rows = read(device)
    residual = np.array([entry.emission.key.startswith("MBConv") for entry in rows.entries])
    specs = [registry.normal("spaces", spec) for spec in device.spaces]
    operators = fit_operators([features(entry.emission) for entry in rows.entries], rows.ms)
    for lacking, (like, times) in device.stand_ins.items():
        found = {key: value for key, value in operators.items() if key == like or key.startswith(f"{like}.")}
        operators |= {lacking + key.removeprefix(like): times * value for key, value in found.items()}
    return LatencyTable(
        device=name,
        kind=device.kind,
        batch=1,
        blocks={},
        method="modelled",
        operators=dict(sorted(operators.items())),
        processor=device.processor,
        runtime=device.runtime,
        source=device.source,
        inferred=device.inferred,
        command=f"python perf/phones.py {name}",
        date=date.today().isoformat(),
        validation=(
            *_sums(device, rows),
            evaluate_predictions(
                f"inverted residuals; {KEPT}", rows.guesses[residual], rows.ms[residual], specs, "blocks"
            ),
        ),
    )


def read(device: Device) -> Rows:
    """Read all rows of a device's files, with predictions of fits that held them out."""
    paths = sorted(data().glob(device.files))
    found = [
        (path.name, one)
        for path in paths
        for one in dialect(device.dialect).read(read_source(path).content, None).entries
    ]
    entries = [entry for _, entry in found]
    ms = np.array([entry.ms for entry in entries])
    # Stem and final layers stay in every fit, because most of their operators have no other example.
    groups = [key_without_size(e.emission) if e.emission.key.startswith("MBConv") else None for e in entries]
    guesses = cross_val_predict([features(entry.emission) for entry in entries], ms, groups)
    at = {(file, entry.emission.key): position for position, (file, entry) in enumerate(found)}
    return Rows(entries, at, ms, guesses)


def _sums(device: Device, rows: Rows) -> Iterator[Validation]:
    """Yield the errors of sums of predictions against the source's own sums: at the default size, then at all sizes."""
    specs = {registry.normal("spaces", spec): file for spec, file in device.spaces.items()}
    default = {spec: file for spec, file in specs.items() if ":" not in spec}
    if default:
        yield _summed(f"random networks at 224 px{device.but}", rows, _of_spaces(default, rows), default)
    if len(specs) > len(default):
        sizes = f"{device.sizes[0]} to {device.sizes[-1]} px"
        yield _summed(f"random networks at {sizes}{device.but}", rows, _of_spaces(specs, rows), specs)
    if not specs:
        what = f"random chains of a stem and {SHORTEST} to {LONGEST} inverted residuals"
        yield _summed(what, rows, islice(_chains(rows), SUMS), ())


def _summed(what: str, rows: Rows, networks: Iterable[list[int]], specs: Iterable[str]) -> Validation:
    """Return the error of sums of predictions over networks, each given as positions of its rows."""
    chosen = list(networks)
    predicted, known = (np.array([values[one].sum() for one in chosen]) for values in (rows.guesses, rows.ms))
    return evaluate_predictions(
        f"sums over {what}, against the source's own sums; {KEPT}", predicted, known, specs, "sums"
    )


def _of_spaces(files: Mapping[str, str], rows: Rows) -> Iterator[list[int]]:
    """Yield the positions of the rows of random networks of each space.

    Args:
        files: By normal spec of a space, the file with its rows.
        rows: All rows.
    """
    for spec, file in files.items():
        space: SearchSpace = registry.create("spaces", spec)
        for genome in islice(random_genomes(space, seed=1), -(-SUMS // len(files))):
            keys = [span.emission.key for span in space.network(_listed(space, genome)).spans]
            yield [rows.at[file, key] for key in keys if (file, key) in rows.at or not key.startswith("GlobalAvgPool")]


def _listed(space: SearchSpace, genome: Genome) -> Genome:
    """Replace expansions of 4 by 6 in a genome of proxyless, because its table has no expansion of 4."""
    if not any(gene.name == "stage6.0.expand" for gene in space.genes):
        return genome
    return tuple(
        gene.choices.index(6) if gene.name.endswith(".expand") and gene.choices[choice] == 4 else choice
        for gene, choice in zip(space.genes, genome, strict=True)
    )


def _chains(rows: Rows) -> Iterator[list[int]]:
    """Yield the positions of the rows of random chains: a stem, then blocks whose input is the previous output."""
    rng = np.random.default_rng(1)
    stems, after = [], {}
    for position, entry in enumerate(rows.entries):
        if entry.emission.key.startswith("ConvNormAct"):
            stems.append(position)
        elif entry.emission.key.startswith("MBConv"):
            after.setdefault(entry.emission.in_shapes[0], []).append(position)
    while True:
        chain = [int(rng.choice(stems))]
        for _ in range(rng.integers(SHORTEST, LONGEST + 1)):
            chain.append(int(rng.choice(after[rows.entries[chain[-1]].emission.out_shape])))
        yield chain


def main() -> None:
    """Fit the tables, print their errors and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=(*DEVICES, "all"), metavar="NAME")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "hardware" / "tables", help="folder for the tables")
    parser.add_argument("--json", type=Path, help="also write the errors to this file")
    given = parser.parse_args()
    names = list(DEVICES) if "all" in given.names else given.names
    found = {name: table(name) for name in names}
    print(f"{'device':10} {'number':>7} {'MAPE %':>8} {'bias %':>8} {'Spearman':>9} {'Kendall':>8}  held out")
    for name, made in found.items():
        made.save(given.out / f"{name}.json")
        for one in made.validation:
            figures = f"{one.mape:8.2f} {one.bias:8.2f} {one.spearman:9.4f} {one.kendall:8.4f}"
            print(f"{name:10} {one.number:7} {figures}  {one.held_out}")
    if given.json:
        errors = {name: [structs.asdict(one) for one in made.validation] for name, made in found.items()}
        given.json.write_text(json.dumps(errors, indent=1) + "\n")


if __name__ == "__main__":
    main()
