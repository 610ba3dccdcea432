"""Kits for devices that nasctl cannot run on: folders of blocks and whole networks as ONNX files to be timed there."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from nasctl import registry
from nasctl.api import NasctlError, Network, Span, validate
from nasctl.architectures import ids
from nasctl.hardware.distinct_blocks import distinct_blocks, distinct_genomes
from nasctl.hardware.fitting.measured import with_context, with_error, with_operators
from nasctl.hardware.fitting.nonnegative import fit_nonnegative
from nasctl.hardware.profiling import kit_text
from nasctl.hardware.profiling.shared_weights import share_weights
from nasctl.hardware.profiling.timed_network import instantiate
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Count, Kind, Row
from nasctl.networks.onnx import to_onnx
from nasctl.registry.version import __version__
from nasctl.system import typed_json
from nasctl.system.files import parsed, read, write

SCHEMA = 1  # version of the manifest; raised whenever older manifests would be misread
FileName = Annotated[
    str, msgspec.Meta(pattern=r"\A(?!\.{1,2}\Z)[^/\\:\x00]+\Z", description="the name of a file beside the manifest")
]
MANIFEST = "manifest.json"
LIMIT = 1 << 26  # bytes of a manifest, or of a file of times: 64 MiB
MIN_NETWORKS = 10  # timed whole networks of a space, from which on half of them are used for fits
ANOTHER_FOLDER = "give another folder with -o"  # remedy if a file cannot be written
NO_BLOCK = (
    "{times} has the time of no block, so there is nothing to make a table of; "
    "whole networks alone are for `nasctl device adapt --csv {times}`"
)
COLUMNS = ("file", "ms", "iqr", "n")  # columns of a file of times; the first two are required


@dataclass(frozen=True, slots=True)
class KitModel:
    """One ONNX file of a kit: a block, or a whole network."""

    file: FileName
    space: str  # normal spec of the first search space that has it
    what: str  # key of the block, or id of the network
    genome: tuple[int, ...] | None  # None for a block
    inputs: tuple[tuple[int, ...], ...]  # shapes without the batch dimension
    sha256: str  # of the file; empty until it is written


class Manifest(msgspec.Struct, frozen=True):
    """The JSON form of a kit; fields that it does not need, such as the version of nasctl, may have any value."""

    schema: Literal[1]
    spaces: tuple[str, ...]
    batch: Count
    seed: int
    files: tuple[KitModel, ...]


@dataclass(frozen=True, slots=True)
class Kit:
    """The content of a kit's folder."""

    spaces: tuple[str, ...]  # normal specs of the search spaces
    batch: int  # examples per batch
    seed: int  # seed of the random networks and weights
    models: Mapping[str, KitModel]  # the models written so far, by file

    @classmethod
    def read(cls, folder: Path) -> Kit:
        """Read the manifest of a folder.

        Raises:
            NasctlError: There is no manifest, or it is not valid, or it has another version.
        """
        path = folder / MANIFEST
        try:
            manifest = _manifest(path, read(path, LIMIT))
        except OSError as error:
            raise NasctlError(f"{path} cannot be read ({error.strerror}); make one with `nasctl device kit`") from None
        spaces = tuple(registry.normal("spaces", spec) for spec in manifest.spaces)
        return cls(spaces, manifest.batch, manifest.seed, {one.file: one for one in manifest.files})

    def save(self, folder: Path) -> None:
        """Write the manifest, atomically."""
        facts = {"schema": SCHEMA, "nasctl": __version__, "spaces": self.spaces, "batch": self.batch, "seed": self.seed}
        files = ",\n".join(f"  {json.dumps(asdict(one))}" for one in self.models.values())
        head = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items())
        write(folder / MANIFEST, f'{{\n{head},\n "files": [\n{files}\n ]\n}}\n', ANOTHER_FOLDER)


def kit_models(specs: Sequence[str], networks: int, seed: int, blocks: bool = True) -> dict[str, KitModel]:
    """Return the models of a kit by file: the distinct blocks of the spaces, then random distinct networks of each.

    Args:
        specs: Normal specs of the search spaces.
        networks: Number of networks per space; a small space may have fewer.
        seed: Seed of the random networks. A larger number of networks begins with those of a smaller number.
        blocks: Whether the kit has the blocks; whole networks alone are for `nasctl device adapt`.
    """
    models: dict[str, KitModel] = {}
    for spec in specs if blocks else ():
        for key, span in distinct_blocks(registry.create("spaces", spec)).items():
            file = f"{key.partition('(')[0]}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.onnx"
            models.setdefault(file, KitModel(file, spec, key, None, span.emission.in_shapes, ""))
    for spec in specs:
        space = registry.create("spaces", spec)
        for genome in distinct_genomes(space, networks, seed):
            arch = ids.encode(spec, space.genes, genome)
            file = f"network-{arch}.onnx"
            models[file] = KitModel(file, spec, arch, genome, space.network(genome).input_shapes, "")
    return models


def kit_networks(wanted: Iterable[KitModel]) -> dict[str, Network]:
    """Return the networks of models by file: a block alone, or a whole network.

    Raises:
        NasctlError: A search space no longer has a block.
    """
    spaces: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    networks: dict[str, Network] = {}
    for model in wanted:
        if model.space not in spaces:
            spaces[model.space] = registry.create("spaces", model.space)
            spans |= distinct_blocks(spaces[model.space])
        if model.genome is None and model.what not in spans:
            raise NasctlError(f"{model.space} of this nasctl has no block {model.what!r}; make the kit again with it")
        if model.genome is None:
            networks[model.file] = spans[model.what].alone()
        else:
            validate(spaces[model.space].genes, model.genome)
            networks[model.file] = spaces[model.space].network(model.genome)
    return networks


def open_kit(folder: Path, specs: Sequence[str], batch: int, seed: int) -> Kit:
    """Return the kit of a folder to resume, or an empty kit for a new or empty folder.

    Raises:
        NasctlError: The folder holds other files or another kit, or it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = not (folder / MANIFEST).exists() and any(folder.iterdir())
    except OSError as error:
        raise NasctlError(f"{folder} cannot be a folder ({error.strerror}); give another with -o") from None
    if foreign:
        raise NasctlError(f"{folder} holds other files; give a new or empty folder with -o")
    wanted = Kit(tuple(specs), batch, seed, {})
    if not (folder / MANIFEST).exists():
        return wanted
    kit = Kit.read(folder)
    facts = (("spaces", kit.spaces, wanted.spaces), ("batch", kit.batch, batch), ("seed", kit.seed, seed))
    for name, theirs, ours in facts:
        if theirs != ours:
            raise NasctlError(f"{folder} is a kit of the {name} {theirs!r}, not {ours!r}; give another folder with -o")
    return kit


def write_models(folder: Path, kit: Kit, wanted: Mapping[str, KitModel]) -> Iterator[Kit]:
    """Write the models that the folder lacks, and yield the kit after each model, written or not.

    The manifest is written after every file, so that an interruption loses at most one file.

    Args:
        folder: Folder of the kit.
        kit: The kit so far, from `open_kit`.
        wanted: All models of the kit by file.

    Raises:
        NasctlError: A file cannot be written.
    """
    lacking = {file: model for file, model in wanted.items() if not _is_intact(folder, kit.models.get(file))}
    made = kit_networks(lacking.values())
    for file, model in wanted.items():
        if file in lacking:
            module, inputs = instantiate(made[file], kit.batch, kit.seed)
            content = share_weights(to_onnx(module, inputs), folder, ANOTHER_FOLDER)
            write(folder / file, content, ANOTHER_FOLDER)
            digest = hashlib.sha256(content).hexdigest()
            kit = replace(kit, models={**kit.models, file: replace(model, sha256=digest)})
            kit.save(folder)
        yield kit
    kit.save(folder)
    blocks = any(model.genome is None for model in kit.models.values())
    write(folder / kit_text.README, kit_text.readme(len(kit.models), kit.batch, blocks), ANOTHER_FOLDER)
    write(folder / kit_text.SCRIPT, kit_text.script(_turn_length(kit)), ANOTHER_FOLDER)


def _turn_length(kit: Kit) -> int:
    """Return the median number of blocks of the whole networks of a kit, as `Profile.measured` has in turn."""
    spaces = {spec: registry.create("spaces", spec) for spec in kit.spaces}
    whole = [(spaces[model.space], model.genome) for model in kit.models.values() if model.genome is not None]
    return round(median(len(space.network(genome).spans) for space, genome in whole)) if whole else kit_text.TURN


def import_times(
    folder: Path,
    times: Path,
    name: str,
    kind: Kind,
    processor: str = "",
    runtime: str = "",
    threads: int | None = None,
    precision: str = "float32",
    command: str = "",
    partial: bool = False,
) -> LatencyTable:
    """Return the table of the times of a kit, validated on its whole networks.

    The rows are the times of the blocks, and an operator model of the rows prices other blocks. The context terms and
    the overhead are fitted to half of the whole networks, and the error of the table is that on the other half. If
    this half is too small for all context terms, only a factor on the rows and the overhead are fitted. If a space has
    fewer than `MIN_NETWORKS` timed networks, its networks take no part in the fit, and all of them are predicted.

    Args:
        folder: Folder of the kit.
        times: CSV file with the columns file, ms and optionally iqr and n.
        name: Name of the device in the table.
        kind: Kind of the device.
        processor: Processor of the device.
        runtime: Runtime that ran the files, with its version.
        threads: Threads of the runtime; None if unknown.
        precision: Precision of the computation.
        command: Command line that makes the table.
        partial: Accept times for a part of the files.

    Raises:
        NasctlError: The times are not valid, or they do not belong to the kit.
    """
    kit = Kit.read(folder)
    rows = _times(times, kit)
    lacking = _untimed(kit, rows)
    if lacking and not partial:
        raise NasctlError(f"{times} lacks {lacking}; time them, or add --partial")
    blocks = {kit.models[file].what: row for file, row in rows.items() if kit.models[file].genome is None}
    if not blocks:
        raise NasctlError(NO_BLOCK.format(times=times))
    made = kit_networks(kit.models[file] for file in rows)
    spans = {span.emission.key: span for network in made.values() for span in network.spans}
    table = LatencyTable(
        device=name,
        kind=kind,
        batch=kit.batch,
        blocks=dict(sorted(blocks.items())),
        processor=processor,
        runtime=runtime,
        threads=threads,
        precision=precision,
        source=_source(times, len(blocks), len(rows) - len(blocks)),
        inferred=(f"the source lacks {lacking}",) if lacking else (),
        command=command,
        date=date.today().isoformat(),
    )
    pairs = {
        spec: [(made[f], row.ms) for f, row in rows.items() if _is_network_of(kit, f, spec)] for spec in kit.spaces
    }
    return _validated(with_operators(table, spans), pairs)


def _untimed(kit: Kit, rows: Mapping[str, Row]) -> str:
    """Return the number and first names of the files without a time: "7 of 40 files (...)"; empty if there are none."""
    files = [file for file in kit.models if file not in rows]
    return (
        f"{len(files)} of {len(kit.models)} files ({', '.join(files[:5])}{', ...' * (len(files) > 5)})" if files else ""
    )


def _source(times: Path, blocks: int, networks: int) -> dict[str, str]:
    """Return the provenance of the rows."""
    data = f"times of {blocks} blocks and {networks} whole networks of a kit, taken by its user"
    return {"data": data, times.name: f"sha256 {hashlib.sha256(times.read_bytes()).hexdigest()}"}


def _is_network_of(kit: Kit, file: str, spec: str) -> bool:
    """Return whether a file is a whole network of a search space."""
    return kit.models[file].genome is not None and kit.models[file].space == spec


def _validated(table: LatencyTable, pairs: Mapping[str, Sequence[tuple[Network, float]]]) -> LatencyTable:
    """Return the table with fits to half of the timed networks, and its error on the other networks of each space."""
    known = [pair for timed in pairs.values() if len(timed) >= MIN_NETWORKS for pair in timed[::2]]
    table = with_context(table, known)
    if known and not table.context:  # There are too few networks for all context terms.
        ms = np.array([time for _, time in known])
        sums = np.array([table.latency(network) for network, _ in known])
        share, overhead = fit_nonnegative(np.column_stack([sums, np.ones(len(ms))]), ms).tolist()
        table = replace(table, context={"alone": share}, overhead=overhead)
    for spec, timed in pairs.items():
        table = with_error(table, spec, timed[1::2] if len(timed) >= MIN_NETWORKS else timed)
    return table


def _times(path: Path, kit: Kit) -> dict[str, Row]:
    """Read a file of times, and return its rows by file, in the order of the kit."""
    try:
        text = read(path, LIMIT).decode("utf-8-sig")
    except OSError as error:
        raise NasctlError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise NasctlError(f"cannot read {path}: {error}") from None
    reader = csv.DictReader(text.replace("\0", "").splitlines(), skipinitialspace=True)
    columns = [column.strip() for column in reader.fieldnames or ()]
    if not {"file", "ms"} <= set(columns) <= set(COLUMNS) or len(set(columns)) < len(columns):
        raise NasctlError(f"{path} has the columns {','.join(columns)}; it has to begin with the line file,ms[,iqr,n]")
    reader.fieldnames = columns
    rows: dict[str, Row] = {}
    for line in reader:
        file = Path(str(line["file"]).strip().replace("\\", "/")).name  # Timing tools often write whole paths.
        if file not in kit.models:
            raise NasctlError(f"{path}, line {reader.line_num}: the kit has no file {file!r}")
        if file in rows:
            raise NasctlError(f"{path}, line {reader.line_num}: {file} is there twice; leave one out")
        if len(line) > len(columns):
            raise NasctlError(f"{path}, line {reader.line_num}: it has more fields than the first line")
        try:
            rows[file] = _row(line)
        except (TypeError, ValueError) as error:
            raise NasctlError(f"{path}, line {reader.line_num}: {error}") from None
    return {file: rows[file] for file in kit.models if file in rows}


def _row(line: Mapping[str, str | None]) -> Row:
    """Return the numbers of a line.

    Raises:
        ValueError: A cell is not a number, or its number is out of range.
    """
    ms, iqr, n = (_number(line.get(name), name) for name in ("ms", "iqr", "n"))
    if ms is None or ms <= 0:
        raise ValueError(f"ms is {line['ms']!r}, not a number above 0")
    if (iqr is not None and iqr < 0) or (n is not None and (n < 1 or n != int(n))):
        raise ValueError("iqr has to be 0 or more, and n a whole number above 0")
    return Row(ms) if iqr is None and n is None else Row(ms, iqr or 0.0, int(n or 1))


def _number(text: str | None, name: str) -> float | None:
    """Return the finite number in a cell, or None if the cell is empty."""
    if text is None or not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {text.strip()!r}, not a number")
    return number


def _manifest(path: Path, content: bytes) -> Manifest:
    """Parse a manifest.

    Raises:
        NasctlError: The file is not a manifest, or is one of another version.
    """
    try:
        values = parsed(content)
        if isinstance(values, dict) and values.get("schema", SCHEMA) != SCHEMA:
            raise NasctlError(f"{path} has the schema {values['schema']!r}, not {SCHEMA}; make the kit again")
    except ValueError as error:
        raise NasctlError(f"{path} is no manifest of a kit, it is not JSON: {error}; make the kit again") from None
    try:
        return typed_json.convert(values, Manifest)
    except NasctlError as error:
        raise NasctlError(f"{path} is no manifest of a kit, {error}; make the kit again") from None


def _is_intact(folder: Path, model: KitModel | None) -> bool:
    """Return whether the file of a model exists with the content that was written."""
    if model is None:
        return False
    try:
        with (folder / model.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == model.sha256
    except OSError:
        return False
