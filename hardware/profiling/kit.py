"""A kit for a device that nasctl cannot run on: blocks and whole networks as ONNX files, and their times read back."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from nasctl import registry
from nasctl.api import NasctlError, Network, Span, validate
from nasctl.architectures import ids
from nasctl.hardware.distinct_blocks import distinct_blocks, distinct_genomes
from nasctl.hardware.fitting.measured import with_context, with_error, with_operators
from nasctl.hardware.fitting.operators import nonnegative
from nasctl.hardware.profiling.runtimes import drawn
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Kind, Row
from nasctl.networks.onnx import to_onnx
from nasctl.system.files import parsed, read, write
from nasctl.version import __version__

SCHEMA = 1  # of the manifest; changes whenever older ones would be misread
MANIFEST, README = "manifest.json", "README.txt"
LIMIT = 1 << 26  # bytes of a manifest, or of times
FEWEST = 10  # whole networks of a space, below which none is spared to learn from
OTHER = "give another folder with -o"
COLUMNS = ("file", "ms", "iqr", "n")  # of what comes back; the first two are needed

TEXT = """\
{number} ONNX files, each one block of a neural network or a whole one, with inputs of a fixed shape (float32,
batch {batch}; shapes stand in manifest.json). Weights and input are random: only the time counts.

1. Put all files on the device, and time them with the runtime that you deploy with: onnxruntime_perf_test of ONNX
   Runtime, trtexec of TensorRT, benchmark_app of OpenVINO; or, after conversion, benchmark_model of TFLite, and so on.
2. The same setting for all: one process at a time, fixed threads, precision and clock, nothing else running,
   10 runs or more to warm up, then 50 or more, in random order of the files if you can. Let a hot phone cool down.
3. Write times.csv with a line for each file, milliseconds for one run (the whole batch):
   file,ms,iqr,n
   where ms is the median, iqr the 75th less the 25th percentile and n the number of runs; the last two may be left out.
4. nasctl device import FOLDER --csv times.csv --name NAME
   makes the table, and says how far its sums are from the times of the whole networks.
"""


@dataclass(frozen=True, slots=True)
class KitModel:
    """A block or a whole network, and its file."""

    file: str
    space: str  # normal spec of the first space that has it
    what: str  # the key of a block, the id of a network
    genome: tuple[int, ...] | None  # of a network
    inputs: tuple[tuple[int, ...], ...]  # shapes without the batch
    sha256: str = ""  # of the file, when it is written


@dataclass(frozen=True, slots=True)
class Kit:
    """What is in a folder."""

    spaces: tuple[str, ...]  # normal specs
    batch: int
    seed: int
    pieces: Mapping[str, KitModel]  # those written, by file

    @classmethod
    def read(cls, folder: Path) -> Kit:
        """The kit whose manifest stands in a folder.

        Raises:
            NasctlError: There is none, or it is of another version.
        """
        path = folder / MANIFEST
        try:
            content = parsed(read(path, LIMIT))
            if content["schema"] != SCHEMA:
                raise NasctlError(f"{path} has the schema {content['schema']!r}, not {SCHEMA}; make the kit again")
            pieces = {one["file"]: _piece(one) for one in content["files"]}
            spaces = tuple(registry.normal("spaces", spec) for spec in content["spaces"])
            if type(content["batch"]) is not int or type(content["seed"]) is not int or content["batch"] < 1:
                raise ValueError("its batch or seed is no whole number that a kit may have")
            return cls(spaces, content["batch"], content["seed"], pieces)
        except OSError as error:
            raise NasctlError(f"{path} cannot be read ({error.strerror}); make one with `nasctl device kit`") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NasctlError(f"{path} is no manifest of a kit ({type(error).__name__}: {error})") from None

    def save(self, folder: Path) -> None:
        """Write the manifest, whole or not at all."""
        facts = {"schema": SCHEMA, "nasctl": __version__, "spaces": self.spaces, "batch": self.batch, "seed": self.seed}
        files = ",\n".join(f"  {json.dumps(asdict(one))}" for one in self.pieces.values())
        head = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items())
        write(folder / MANIFEST, f'{{\n{head},\n "files": [\n{files}\n ]\n}}\n', OTHER)


def pieces(specs: Sequence[str], networks: int, seed: int) -> dict[str, KitModel]:
    """By file: every distinct block of the spaces, then so many random networks of each, each network once.

    Args:
        specs: Normal specs.
        networks: Of each space; a small space may have fewer.
        seed: Of the random networks. More networks of one seed begin with the fewer.
    """
    found: dict[str, KitModel] = {}
    for spec in specs:
        for key, span in distinct_blocks(registry.create("spaces", spec)).items():
            file = f"{key.partition('(')[0]}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.onnx"
            found.setdefault(file, KitModel(file, spec, key, None, span.emission.in_shapes))
    for spec in specs:
        space = registry.create("spaces", spec)
        for genome in distinct_genomes(space, networks, seed):
            whole = ids.encode(spec, space.genes, genome)
            file = f"network-{whole}.onnx"
            found[file] = KitModel(file, spec, whole, genome, space.network(genome).input_shapes)
    return found


def networks(wanted: Iterable[KitModel]) -> dict[str, Network]:
    """What the pieces are, by file: a block alone, or the whole network.

    Raises:
        NasctlError: A space no longer has the block.
    """
    spaces: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    found = {}
    for piece in wanted:
        if piece.space not in spaces:
            spaces[piece.space] = registry.create("spaces", piece.space)
            spans |= distinct_blocks(spaces[piece.space])
        if piece.genome is None and piece.what not in spans:
            raise NasctlError(f"{piece.space} of this nasctl has no block {piece.what!r}; make the kit again with it")
        if piece.genome is None:
            found[piece.file] = spans[piece.what].alone()
        else:
            validate(spaces[piece.space].genes, piece.genome)
            found[piece.file] = spaces[piece.space].network(piece.genome)
    return found


def begun(folder: Path, specs: Sequence[str], batch: int, seed: int) -> Kit:
    """The kit to go on with: that of the folder, or an empty one in a new or empty folder.

    Raises:
        NasctlError: The folder holds something else, which is left as it is, or cannot be made.
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
    for name in ("spaces", "batch", "seed"):
        if getattr(kit, name) != getattr(wanted, name):
            theirs, ours = getattr(kit, name), getattr(wanted, name)
            raise NasctlError(f"{folder} is a kit of the {name} {theirs!r}, not {ours!r}; give another folder with -o")
    return kit


def make(folder: Path, kit: Kit, wanted: Mapping[str, KitModel]) -> Iterator[Kit]:
    """Write what the folder lacks of the pieces; the kit after each of them, one that was there included.

    The manifest is written after every file, so that a run that is killed loses one file at most.

    Raises:
        NasctlError: A file cannot be written.
    """
    lacking = {file: piece for file, piece in wanted.items() if not _whole(folder, kit.pieces.get(file))}
    made = networks(lacking.values())
    for file, piece in wanted.items():
        if file in lacking:
            module, inputs = drawn(made[file], kit.batch, kit.seed)
            content = to_onnx(module, inputs)
            write(folder / file, content, OTHER)
            digest = hashlib.sha256(content).hexdigest()
            kit = replace(kit, pieces={**kit.pieces, file: replace(piece, sha256=digest)})
            kit.save(folder)
        yield kit
    kit.save(folder)
    write(folder / README, TEXT.format(number=len(kit.pieces), batch=kit.batch), OTHER)


def imported(
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
    """The table of what came back for a kit, checked with its whole networks.

    Rows are the times of the blocks; an operator model of the rows covers what they lack. Half of the whole networks
    say what blocks cost within one, and the other half how far predictions are off. Where they are too few for that,
    they say what share of the rows that is, and the overhead; where a space has fewer than FEWEST, the plain sums of
    rows are checked.

    Args:
        folder: Of the kit.
        times: CSV with the columns file, ms and, if known, iqr and n.
        name: What to call the device.
        kind: What it is.
        processor: That was timed.
        runtime: That ran the files, with its version.
        threads: That it had; None if nobody knows.
        precision: That it computed in.
        command: That makes the table.
        partial: Whether files may be without a time.

    Raises:
        NasctlError: The times are not those of the kit.
    """
    kit = Kit.read(folder)
    rows = _times(times, kit)
    missing = [file for file in kit.pieces if file not in rows]
    lacking = f"{len(missing)} of {len(kit.pieces)} files ({', '.join(missing[:5])}{', ...' * (len(missing) > 5)})"
    if missing and not partial:
        raise NasctlError(f"{times} lacks {lacking}; time them, or add --partial")
    blocks = {kit.pieces[file].what: row for file, row in rows.items() if kit.pieces[file].genome is None}
    if not blocks:
        raise NasctlError(f"{times} has the time of no block, so there is nothing to make a table of")
    made = networks(kit.pieces[file] for file in rows)
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
        inferred=(f"the source lacks {lacking}",) if missing else (),
        command=command,
        date=date.today().isoformat(),
    )
    pairs = {spec: [(made[f], row.ms) for f, row in rows.items() if _whole_of(kit, f, spec)] for spec in kit.spaces}
    return _checked(with_operators(table, spans), pairs)


def _source(times: Path, blocks: int, networks: int) -> dict[str, str]:
    """Where the rows come from."""
    data = f"times of {blocks} blocks and {networks} whole networks of a kit, taken by its user"
    return {"data": data, times.name: f"sha256 {hashlib.sha256(times.read_bytes()).hexdigest()}"}


def _whole_of(kit: Kit, file: str, spec: str) -> bool:
    return kit.pieces[file].genome is not None and kit.pieces[file].space == spec


def _checked(table: LatencyTable, pairs: Mapping[str, Sequence[tuple[Network, float]]]) -> LatencyTable:
    """The table with what half of the networks say of it, and its error on the others, space by space."""
    known = [pair for timed in pairs.values() if len(timed) >= FEWEST for pair in timed[::2]]
    table = with_context(table, known)
    if known and not table.context:  # too few for all that the context may have
        ms = np.array([time for _, time in known])
        sums = np.array([table.latency(network) for network, _ in known])
        share, overhead = nonnegative(np.column_stack([sums, np.ones(len(ms))]), ms).tolist()
        table = replace(table, context={"alone": share}, overhead=overhead)
    for spec, timed in pairs.items():
        table = with_error(table, spec, timed[1::2] if len(timed) >= FEWEST else timed)
    return table


def _times(path: Path, kit: Kit) -> dict[str, Row]:
    """The rows of a CSV by file, in the kit's order."""
    try:
        text = read(path, LIMIT).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NasctlError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    reader = csv.DictReader(text.replace("\0", "").splitlines(), skipinitialspace=True)
    heads = [head.strip() for head in reader.fieldnames or ()]
    if not {"file", "ms"} <= set(heads) <= set(COLUMNS) or len(set(heads)) < len(heads):
        raise NasctlError(f"{path} has the columns {','.join(heads)}; it has to begin with the line file,ms[,iqr,n]")
    reader.fieldnames = heads
    rows: dict[str, Row] = {}
    for line in reader:
        file = Path(str(line["file"]).strip().replace("\\", "/")).name  # tools write the path that they were given
        if file not in kit.pieces:
            raise NasctlError(f"{path}, line {reader.line_num}: the kit has no file {file!r}")
        if file in rows:
            raise NasctlError(f"{path}, line {reader.line_num}: {file} is there twice; leave one out")
        if len(line) > len(heads):
            raise NasctlError(f"{path}, line {reader.line_num}: it has more fields than the first line")
        try:
            rows[file] = _row(line)
        except (TypeError, ValueError) as error:
            raise NasctlError(f"{path}, line {reader.line_num}: {error}") from None
    return {file: rows[file] for file in kit.pieces if file in rows}


def _row(line: Mapping[str, str | None]) -> Row:
    """A line's numbers.

    Raises:
        ValueError: One is no number, or none that a time can be.
    """
    ms, iqr, n = (_number(line.get(name), name) for name in ("ms", "iqr", "n"))
    if ms is None or ms <= 0:
        raise ValueError(f"ms is {line['ms']!r}, not a number above 0")
    if (iqr is not None and iqr < 0) or (n is not None and (n < 1 or n != int(n))):
        raise ValueError("iqr has to be 0 or more, and n a whole number above 0")
    return Row(ms) if iqr is None and n is None else Row(ms, iqr or 0.0, int(n or 1))


def _number(text: str | None, name: str) -> float | None:
    """The finite number in a cell; None if it is empty."""
    if text is None or not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {text.strip()!r}, not a number")
    return number


def _piece(content: Mapping[str, Any]) -> KitModel:
    """One file of a manifest.

    Raises:
        ValueError: It is not what `Kit.save` writes.
    """
    texts = tuple(content[name] for name in ("file", "space", "what", "sha256"))
    genome = None if content["genome"] is None else tuple(content["genome"])
    shapes = tuple(tuple(shape) for shape in content["inputs"])
    numbers = [*(genome or ()), *(size for shape in shapes for size in shape)]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise ValueError(f"an entry of its files is {str(content)[:80]}")
    file, space, what, digest = texts
    if Path(file).name != file or file in ("", ".", ".."):
        raise ValueError(f"{file!r} is no name of a file beside it")
    return KitModel(file, space, what, genome, shapes, digest)


def _whole(folder: Path, piece: KitModel | None) -> bool:
    """Whether the file of a piece is there as it was written."""
    if piece is None:
        return False
    try:
        with (folder / piece.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == piece.sha256
    except OSError:
        return False
