"""Whatever takes bytes or text that a stranger may have made, as functions of bytes: `perf/fuzz.py` feeds them too."""

import gzip
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from nasctl import registry
from nasctl.analysis.aggregate import Score
from nasctl.architectures import from_json, ids, known_values
from nasctl.commands import _config
from nasctl.data import cifar, npz, pictures
from nasctl.errors import NasctlError
from nasctl.hardware import tables_schema
from nasctl.hardware.importers import dialect, merge, read_source, recognise_dialect
from nasctl.hardware.profiling import kit
from nasctl.hardware.table import LatencyTable
from nasctl.prediction.space_predictor import SpacePredictor
from nasctl.problem import constraints
from nasctl.problem.fidelity import Fidelity
from nasctl.searchers import _pool
from nasctl.store.store import Store
from nasctl.system import yaml_text
from nasctl.system.files import parsed

SPACES = (
    "nb201",
    "nbmacro",
    "tnb101_micro",
    "mbconv",
    "fbnet",
    "bossnas",
    "tnb101_macro",
    "bert",
    "flexibert",
    "hytra",
    "darts",
    "nb101",
    "rnn",
)
STORE = Store.reading("none")


class Parser(NamedTuple):
    """One of them."""

    run: Callable[[Path], object]  # of a file with the bytes
    suffix: str
    seeds: tuple[bytes, ...]  # that it accepts


def feed(name, content):
    """Whether a parser accepts the bytes; whatever it raises but a sentence for the user comes through."""
    parser = PARSERS[name]
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / f"a{parser.suffix}"
        path.write_bytes(content)
        parser.run(path)
    except NasctlError:
        return False
    finally:
        shutil.rmtree(folder)
    return True


def _text(work):
    """A parser of text, which no terminal can give other than as UTF-8 with its errors escaped."""
    return lambda path: work(path.read_bytes().decode(errors="surrogateescape"))


def _foreign(path):
    source = read_source(path)
    reading = dialect(recognise_dialect(source)).read(source.content, None)
    merge(reading.entries)


def _yaml(path):
    try:
        yaml_text.load(path.read_bytes())
    except ValueError as error:
        raise NasctlError(str(error)) from None


def _kit(path):
    shutil.copy(path, path.with_name(kit.MANIFEST))
    found = kit.Kit.read(path.parent)
    kit.kit_networks(list(found.models.values())[:3])


def _times(path):
    pieces = {name: kit.KitModel(name, "nbmacro", name, None, (), "") for name in ("a.onnx", "b.onnx")}
    kit._times(path, kit.Kit(("nbmacro",), 1, 0, pieces))


def _pictures(path):
    data = pictures.Pictures.at(path)
    data.images((3, 8, 8), min(4, data.summary.images), 0)
    data.summary.lines()


def _picture(path):
    (path.parent / "class").mkdir()
    path.rename(path.parent / "class" / "a.png")
    _pictures(path.parent)


def _batch(name):
    def run(path):
        path.rename(path.with_name(name))
        cifar.read(path.parent)

    return run


def _architecture(text):
    for spec in (None, *SPACES):
        with suppress(NasctlError):
            spec, genome = ids.resolve(text, STORE, spec)
            space = registry.create("spaces", spec)
            space.network(space.canonical(genome))
            return
    raise NasctlError("it is none")


def _spec(text):
    for spec in registry.split([text]):
        for kind in ("spaces", "searchers", "objectives"):
            try:
                registry.normal(kind, spec)
            except NasctlError as error:
                failure = error
            else:
                if kind == "spaces" and not any(digit in spec for digit in "0123456789"):  # which may make it huge
                    registry.create(kind, spec)
                break
        else:
            raise failure


def _json(content):
    return json.dumps(content).encode()


def _packed(kind):
    """A zip or tar of images."""
    image, file = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(image, "png")
    if kind == "png":
        return image.getvalue()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("cat/0.png", "dog/1.png"):
            archive.writestr(name, image.getvalue())
    return file.getvalue()


def _images():
    """An image in every format that Pillow writes without loss or another program, and in modes of each depth."""
    found = []
    kinds = ("BMP", "DDS", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP")
    modes = {"PNG": ("I;16", "P"), "TIFF": ("I", "F", "CMYK", "LAB"), "PPM": ("F", "1"), "JPEG": ("CMYK",)}
    for kind in kinds:
        for mode in ("RGB", *modes.get(kind, ())):
            file = io.BytesIO()
            Image.new(mode, (8, 8)).save(file, kind)
            found.append(file.getvalue())
    return tuple(found)


def _npz():
    file = io.BytesIO()
    np.savez_compressed(file, images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2))
    return file.getvalue()


def _pickled():
    import pickle

    return pickle.dumps({b"labels": [0], b"data": np.zeros((1, 3072), np.uint8)}, protocol=2)


def _tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo("cifar/data_batch_1.bin")
        info.size = 3073
        archive.addfile(info, io.BytesIO(bytes(3073)))
    return file.getvalue()


TABLE = tables_schema.serialize(
    {
        "device": "board",
        "kind": "cpu",
        "processor": "",
        "runtime": "",
        "threads": 1,
        "precision": "float32",
        "batch": 1,
        "method": "measured",
        "source": {"data": "none"},
        "inferred": [],
        "command": "",
        "date": "",
        "overhead": 0.5,
        "validation": [tables_schema.Validation("networks", ("nbmacro",), "networks", 3, 1.0, -1.0, 0.9, None)],
        "context": {"alone": 1.0},
        "operators": {"conv": 1e-9},
        "blocks": {"Logits(channels=10) @ 64": tables_schema.Row(1.0, 0.1, 5)},
    }
).encode()
OFA = (
    b"expanded_conv-input:112x112x16-output:112x112x16-expand:16-kernel:3-stride:1-idskip:1-se:0-hs:0: "
    b"{mean: 1.5, std: 0.1, count: 5}\n"
)
NN_METER = _json({"conv_56_24_32_5_2_hard_swish_5_se": 1.5, "firstconv_224_3_16_2_3": {"mean": 1}})
MANIFEST = _json(
    {
        "schema": kit.SCHEMA,
        "spaces": ["nbmacro"],
        "batch": 1,
        "seed": 0,
        "files": [
            {
                "file": "a.onnx",
                "space": "nbmacro",
                "what": "x",
                "genome": [0] * 8,
                "inputs": [[3, 32, 32]],
                "sha256": "",
            }
        ],
    }
)
FREE = _json(
    {
        "input": [3, 32, 32],
        "blocks": [
            {"block": "ConvNormAct", "channels": 8, "stride": 2},
            {"block": "MBConv", "channels": 8, "kernel": 3, "expand": 2, "name": "b"},
            {"block": "Add", "inputs": ["0", "b"]},
        ],
    }
)
PREDICTOR = {
    "schema": 1,
    "nasctl": "0.1.0",
    "command": "",
    "space": "nb201:channels=4,cells=1",
    "column": "accuracy",
    "source": "",
    "direction": "max",
    "setting": None,
    "metrics": {"params": {"version": "1"}},
    "structure": ["log params"],
    "structure_version": "1",
    "model": "ridge",
    "seed": 0,
    "widening": 1.0,
    "compared": {"ridge": 0.5},
    "held_out": {
        "networks": 1,
        "how": "left out",
        "figures": {"predictor": {"kendall": [0.5, 0.25, 0.75], "spearman": None, "top": None}},
    },
    "labelled": [{"genome": [0, 1, 2, 3, 4, 0], "label": 93.5, "error": None, "metrics": [1e5]}],
    "unlabelled": [{"genome": [0, 1, 2, 3, 4, 1], "metrics": [None]}],
}
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"


def _module(path):
    """Trace the module that the bytes draw, which must be exact or refused."""
    from networks import random_modules  # a test of networks; other parsers need no torch

    found = random_modules.check(path.read_bytes())
    if found.status == "refused":
        raise NasctlError(found.reason)
    if found.status != "exact":
        raise AssertionError(f"{found.reason}\n{random_modules.draw_source(path.read_bytes())[0]}")


PARSERS = {
    "table": Parser(lambda path: LatencyTable.load(str(path)), ".json", (TABLE,)),
    "foreign_yaml": Parser(_foreign, ".yaml", (OFA, NN_METER)),
    "foreign_json": Parser(_foreign, ".json", (NN_METER,)),
    "foreign_gz": Parser(_foreign, ".json.gz", (gzip.compress(NN_METER, mtime=0),)),
    "manifest": Parser(_kit, ".json", (MANIFEST,)),
    "times": Parser(_times, ".csv", (b"file,ms,iqr,n\na.onnx,1.5,0.1,5\nb.onnx,2,,\n",)),
    "truth": Parser(
        lambda path: known_values.read(path, "nbmacro"),
        ".csv",
        (
            b"code,acc\n00000000,93.1\n11111111,nan\n",
            b"sep=;\narch;acc\n00000000;93,1\n11111111;\n",
            b"code\tacc\n00000000\t93.1\n",
            "code|acc\n00000000|93.1\n".encode("utf-16"),
            _json([{"arch": "00000000", "acc": 1}]),
            _json({"22222222": 9.5}),
            _json({"cifar10": {"22222222": 9.5}, "cifar100": {}}),
            _json({"cifar10": {"22222222": {"nwot": {"score": 1}}}}),
            b'\n{"arch": "00000000", "acc": 1}\n{"arch": [0, 0, 0, 0, 0, 0, 0, 1], "acc": "2,5"}\n',
            _json({"arch": {"0": "00000000"}, "acc": {"0": 1}}),
            _json({"0": {"arch": "00000000", "acc": 1}}),
            _json({"columns": ["acc"], "index": ["00000000"], "data": [[1]]}),
            _json({"name": "acc", "index": ["00000000"], "data": [1]}),
            _json({"schema": {"primaryKey": ["index"]}, "data": [{"index": 0, "arch": "00000000", "acc": 1}]}),
            _json([["arch", "acc"], ["(0, 0, 0, 0, 0, 0, 0, 0)", 1]]),
            _json({"arch": ["00000000"], "acc": [[1, 2]]}),
        ),
    ),
    "truth_lists": Parser(
        lambda path: known_values.read(path, "nb201"),
        ".json",
        (_json([{"genome": [0, 1, 2, 3, 4, 0], "acc": 1}]), _json({"a": {"naslib:(4, 0, 3, 1, 4, 3)": 9.5}})),
    ),
    "yaml": Parser(
        _yaml,
        ".yaml",
        (b"a: 7e-07\nb: [0x1f, .5, {c: yes}]\n", b"%YAML 1.1\n---\n? x\n: &a !!float 1\ny: *a\n", b'{"a": "\\u00e9"}'),
    ),
    "truth_gz": Parser(
        lambda path: known_values.read(path, "nbmacro"), ".csv.gz", (gzip.compress(b"code,acc\n00000000,1\n", mtime=0),)
    ),
    "pool": Parser(
        lambda path: _pool._read_rows(path, ["a"]),
        ".csv",
        (b"arch,a\n00000000,1.5\n", gzip.compress(b"b,a\n1,2", mtime=0)),
    ),
    "module": Parser(_module, "", (bytes(8), bytes([0, 1, 0, 1, 1, 1, 2, 4, 1, 5]))),
    "free": Parser(lambda path: from_json.network(_values(path)), ".json", (FREE,)),
    "npz": Parser(npz.read, ".npz", (_npz(),)),
    "zip": Parser(_pictures, ".zip", (_packed("zip"),)),
    "picture": Parser(_picture, ".png", (_packed("png"), *_images())),
    "cifar_tar": Parser(cifar.read, ".tar.gz", (_tar(), gzip.decompress(_tar()))),
    "cifar_pickle": Parser(_batch("data_batch_1"), "", (_pickled(),)),
    "cifar_binary": Parser(_batch("train.bin"), ".bin", (bytes(3074),)),
    "config": Parser(
        lambda path: _config.read_config(str(path)), ".toml", (b'space = "nbmacro"\nbudget = 3\nrecord = ["a"]\n',)
    ),
    "architecture": Parser(_text(_architecture), "", (b"0,1,2,0,1,2,0,1", b"nb201-f882", NB201.encode(), b"01201201")),
    "spec": Parser(
        _text(_spec), "", (b"nb201:channels=8,cells=1", b"mbconv:resolution=64,params", b"nsga2:population=5")
    ),
    "constraint": Parser(
        _text(lambda text: constraints.parse(text, ["params", "latency@gpu"], lambda name: 1e9)),
        "",
        (b"latency<=20", b"params<= 5M", b"params>=60%"),
    ),
    "fidelity": Parser(
        _text(lambda text: Fidelity.parse(text, {"full": Fidelity(), "fast": Fidelity(32, 1)})),
        "",
        (b"size=64,cells=1,batch=32,repeats=3", b"fast,batch=8"),
    ),
    "predictor": Parser(SpacePredictor.load, ".json", (_json(PREDICTOR),)),
    "score": Parser(_text(lambda text: Score.parse(text, ["synflow", "jacov"])), "", (b"log_rank:synflow+jacov",)),
}


def _values(path):
    try:
        return parsed(path.read_bytes())
    except ValueError as error:
        raise NasctlError(str(error)) from None
