"""Published tables that nasctl reads and does not contain: where they are, and how they are imported."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasctl.bench import public_conversion
from nasctl.bench.public_conversion import Files
from nasctl.bench.published import LIMIT, data_folder
from nasctl.errors import NasctlError, UnknownName
from nasctl.system.files import read, unpacked, write


@dataclass(frozen=True)
class PublicTable:
    """A published table.

    Args:
        file: Path within the folder of published tables.
        content: What it holds.
        licence: Its licence.
        addresses: Addresses of the files that it is made of.
        digest: SHA-256 of the table's text, in hex digits.
        convert: The function that makes the text of the files.
    """

    file: str
    content: str
    licence: str
    addresses: tuple[str, ...]
    digest: str
    convert: Callable[[Files], str] = public_conversion.unchanged

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files."""
        return tuple(address.rpartition("/")[2] for address in self.addresses)


def _raw(repository: str, commit: str, *paths: str) -> tuple[str, ...]:
    return tuple(f"https://github.com/{repository}/raw/{commit}/{path}" for path in paths)


_ROBOT = _raw(
    "hzf1174/RoBoT",
    "ead6c2f4e9f6db932ca3929d43cee19df8d30ce7",
    *(f"data/nb2_{called}_test_accuracy.p" for called in public_conversion.NB201_DATA.values()),
    "data/nb2_cf10_hp12_info.p",
    f"data/{public_conversion.NB201_ORDER}",
)
_GPUS = ("1080ti", "2080ti", "titan_rtx", "titanx", "titanxp")
_DEVICES = (  # of HELP, which names its files after them
    *(f"{gpu}_{batch}" for gpu in _GPUS for batch in (1, 256, 32)),
    *("essential_ph_1", "eyeriss", "fpga", "gold_6226", "gold_6240", "pixel2", "pixel3", "raspi4", "samsung_a50"),
    *("samsung_s7", "silver_4114", "silver_4210r"),
)

PUBLIC_DATA = {
    "nb201": PublicTable(
        "nb201/nb201_table.csv.gz",
        "accuracies of the 15,625 cells of NAS-Bench-201 on three data sets",
        "Apache-2.0",
        (
            *_ROBOT,
            *_raw(
                "automl/NASLib",
                "0428083bb8a5c79823da72bd471cf2aabd3a3bb7",
                "run/results/benchmarks/nb201_zen.zip",
            ),
        ),
        "1899b30ed5de2c00a6a760032ae5efa88d75b3d5fc4f31c1e9d017f03eaa66c3",
        public_conversion.nb201,
    ),
    "nb201-latency": PublicTable(
        "nb201-latency/help_nb201_latency_ms.csv.gz",
        "latencies of the 15,625 cells of NAS-Bench-201 on 27 devices, of HELP",
        "MIT",
        _raw(
            "HayeonLee/HELP",
            "45f70eb92d0d735970a33b608d1544ad3c52f285",
            *(f"data/nasbench201/latency/{device}.pt" for device in sorted(_DEVICES)),
        ),
        "4f21385f40726b7b104a0b071cd49cf2cf4eaa17ce3376c3cdcae96ba43f349c",
        public_conversion.nb201_latency,
    ),
    "nbmacro": PublicTable(
        "nb-macro/nas-bench-macro_cifar10.json.gz",
        "accuracies of the 6,561 networks of NAS-Bench-Macro on CIFAR-10",
        "Apache-2.0",
        _raw(
            "xiusu/NAS-Bench-Macro",
            "61a2bfc2ca0dce04d0997e6cf498047c27d6acf2",
            "data/nas-bench-macro_cifar10.json",
        ),
        "686dee8363cc21cca8c1f321ad5749454f2d9b9ca5972682e137e539bc522297",
    ),
    "darts": PublicTable(
        "nb301-darts/zc_nasbench301_725.json.gz",
        "accuracies that NAS-Bench-301 predicts of 725 DARTS cells, with metrics",
        "Apache-2.0",
        _raw("automl/NASLib", "132137b117494efb1d491335a8e64c5e1b89e7eb", "naslib/data/zc_nasbench301.json"),
        "537e9abd6f0b14fdffdfcb3c07b18a037647b5c80808b3b2cf9a51b1b491aba1",
    ),
    "tnb101_micro": PublicTable(
        "tnb101/tnb101_micro.csv.gz",
        "results of the 4,096 cells of TransNAS-Bench-101's micro space on seven tasks",
        "Apache-2.0",
        _raw(
            "automl/NASLib",
            "7a5496e2211d8ab65da40e0e2d5333aba87df614",
            "naslib/data/zc_benchmarks/all_benchmarks_zen.zip",
        ),
        "76e68100720585daac0b137d604b8600ad6483619ec88b0078898bf37620e66a",
        public_conversion.tnb101_micro,
    ),
}


def import_data(name: str, paths: Sequence[Path]) -> Path:
    """Make a published table of downloaded files, and write it to the folder of published tables.

    Args:
        name: Name of the table, a key of `PUBLIC_DATA`.
        paths: The downloaded files, compressed by gzip or not, or a folder that holds them.

    Returns:
        The path of the table.

    Raises:
        NasctlError: There is no such table, a file is missing or broken, or the values are others than the published
            ones.
    """
    if name not in PUBLIC_DATA:
        raise UnknownName("published table", name, list(PUBLIC_DATA))
    table = PUBLIC_DATA[name]
    files = {file: _content(name, file, paths) for file in table.names}
    try:
        text = table.convert(files)
    except Exception as error:  # a file of another form may fail anywhere
        raise NasctlError(f"Cannot import {name}: a file has another form ({error}). {_remedy(name)}") from None
    if hashlib.sha256(text.encode()).hexdigest() != table.digest:
        raise NasctlError(f"Cannot import {name}: the files have other values than the published ones. {_remedy(name)}")
    path = data_folder() / table.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NasctlError(f"Cannot make {path.parent}: {error.strerror}. Set NASCTL_DATA to another folder.") from None
    write(path, gzip.compress(text.encode(), mtime=0), "set NASCTL_DATA to another folder")
    return path


def _content(name: str, file: str, paths: Sequence[Path]) -> bytes:
    """Return the content of a downloaded file, which may be compressed by gzip."""
    choices = [one / file if one.is_dir() else one for one in paths]
    for path in (*choices, *(one.with_name(f"{one.name}.gz") for one in choices)):
        if path.name.removesuffix(".gz") == file and path.is_file():
            try:
                content = read(path, LIMIT)
                return unpacked(content, LIMIT) if content[:2] == b"\x1f\x8b" else content
            except OSError as error:
                raise NasctlError(f"Cannot read {path}: {error.strerror or error}. {_remedy(name)}") from None
    raise NasctlError(f"Cannot import {name} without {file}. {_remedy(name)}")


def _remedy(name: str) -> str:
    return f"Download the files of {name} anew from the addresses that nasctl data list prints."
