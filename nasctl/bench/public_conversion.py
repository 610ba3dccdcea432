"""Tables of NAS benchmarks from the files that their authors publish."""

from __future__ import annotations

import csv
import io
import pickletools
import re
import zipfile
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nasctl.errors import NasctlError
from nasctl.system.files import parsed

Files = Mapping[str, bytes]  # content of the downloaded files by name

LIMIT = 1 << 28  # maximum size of a file within an archive, in bytes

NB201_DATA = {"cifar10": "cf10", "cifar100": "cf100", "ImageNet16-120": "im120"}  # names in RoBoT's files
NB201_ORDER = "nb2_cf10_seed42_dlrandom_dlinfo1_initwnone_initbnone.p"  # one record a cell, in the benchmark's order
NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NB201_CELL = re.compile(r"\|\w+~0\|\+\|\w+~0\|\w+~1\|\+\|\w+~0\|\w+~1\|\w+~2\|")


def unchanged(files: Files) -> str:
    """Return the text of the only file."""
    (content,) = files.values()
    return content.decode()


def nb201(files: Files) -> str:
    """Return the table of NAS-Bench-201: test accuracies of RoBoT's pickles, validation accuracies of NASLib."""
    order = [text for text in _pickled(files[NB201_ORDER], str) if NB201_CELL.fullmatch(text)]
    columns = {"index": range(len(order)), "arch_str": order}
    for data, called in NB201_DATA.items():
        columns[f"test_acc_200_{data}"] = _pickled(files[f"nb2_{called}_test_accuracy.p"], float)
    validation = dict(_naslib(files["nb201_zen.zip"]))
    for data in NB201_DATA:
        known = {_cell(arch): record["val_accuracy"] for arch, record in validation[data].items()}
        columns[f"val_acc_200_{data}"] = [known[arch] for arch in order]
    short = files["nb2_cf10_hp12_info.p"]
    fields, numbers = list(dict.fromkeys(_pickled(short, str))), _pickled(short, float)
    for name, field in (("val_acc_12_cifar10", "valacc"), ("train_cost_12_cifar10_s", "cost")):
        columns[name] = numbers[fields.index(field) :: len(fields)]
    return _table(columns)


def nb201_latency(files: Files) -> str:
    """Return the latencies of NAS-Bench-201 that HELP publishes, one tensor a device."""
    import torch

    latencies = {
        name.removesuffix(".pt"): torch.load(io.BytesIO(content), weights_only=True).flatten().tolist()
        for name, content in sorted(files.items())
    }
    return _table({"index": range(len(next(iter(latencies.values())))), **latencies})


def tnb101_micro(files: Files) -> str:
    """Return the validation results of TransNAS-Bench-101's micro space that NASLib publishes, one column a task."""
    tasks = ("class_scene", "class_object", "autoencoder", "normal", "jigsaw", "room_layout", "segmentsemantic")
    found = {task: cells for task, cells in _naslib(files["all_benchmarks_zen.zip"]) if len(cells) == 4**6}
    cells = sorted(map(literal_eval, found[tasks[0]]))
    keys = {
        task: {literal_eval(arch): record["val_accuracy"] for arch, record in found[task].items()} for task in tasks
    }
    return _table({"arch": cells, **{f"val_{task}": [keys[task][cell] for cell in cells] for task in tasks}})


def _pickled(content: bytes, kind: type) -> list[Any]:
    """Return the texts or the numbers of a file of pickles in their order; operations are read and not run."""
    file, found = io.BytesIO(content), list[Any]()
    while file.tell() < len(content):
        found += [value for operation, value, _ in pickletools.genops(file) if isinstance(value, kind)]
    return found


def _naslib(archive: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the data sets, and their records by architecture, of the JSON files in an archive of NASLib."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for entry in opened.infolist():
            if entry.filename.endswith(".json") and not entry.filename.startswith("__MACOSX"):
                if entry.file_size > LIMIT:
                    raise NasctlError(f"{entry.filename} is over {LIMIT >> 20} MiB, too large")
                yield from _data_sets("", parsed(opened.read(entry)))


def _data_sets(name: str, tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(tree, dict) or not tree:
        return
    if all(isinstance(record, dict) and "val_accuracy" in record for record in tree.values()):
        yield name, tree
        return
    for key, branch in tree.items():
        yield from _data_sets(key, branch)


def _cell(naslib: str) -> str:
    """Return the notation of NAS-Bench-201 for NASLib's tuple, whose edges are ordered by their start."""
    a, b, c, d, e, f = (NASLIB_OPERATIONS[choice] for choice in literal_eval(naslib))
    return f"|{a}~0|+|{b}~0|{d}~1|+|{c}~0|{e}~1|{f}~2|"


def _table(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return a CSV table of columns, with every digit of their numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_written, column) for column in columns.values()), strict=True))
    return text.getvalue()


def _written(value: Any) -> str:
    return repr(float(value)) if hasattr(value, "dtype") or isinstance(value, float) else str(value)


__all__ = ["Files", "nb201", "nb201_latency", "tnb101_micro", "unchanged"]
