"""Importing published tables: files in the form of their authors, made of the tables that tests have."""

import csv
import gzip
import io
import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from paths import DATA, ROOT

from nasctl import registry
from nasctl.bench.public_conversion import NASLIB_OPERATIONS, NB201_DATA, NB201_ORDER
from nasctl.bench.published import published_path
from nasctl.cli import cli
from nasctl.errors import NasctlError


@pytest.fixture
def typed(monkeypatch, tmp_path):
    monkeypatch.setenv("NASCTL_DATA", str(tmp_path / "tables"))
    return lambda *words: CliRunner().invoke(cli, ["data", *map(str, words)])


def table(file):
    if not (DATA / file).is_file():
        pytest.skip(f"no data folder (set NASCTL_DATA to a directory that holds {file})")
    return list(csv.DictReader(io.TextIOWrapper(gzip.open(DATA / file), encoding="utf-8", newline="")))


def archive(path, tree):
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("zen/one.json", json.dumps(tree))


def pickled(path, *objects):
    path.write_bytes(b"".join(map(pickle.dumps, objects)))


def naslib(cell):
    edges = [edge.partition("~")[0] for node in cell.split("+") for edge in node.strip("|").split("|")]
    a, b, d, c, e, f = (NASLIB_OPERATIONS.index(edge) for edge in edges)
    return str((a, b, c, d, e, f))


def test_a_file_that_is_read_as_it_is(typed, tmp_path):
    path = DATA / "nb-macro" / "nas-bench-macro_cifar10.json.gz"
    if not path.is_file():
        pytest.skip("no data folder (set NASCTL_DATA to a directory that holds nb-macro/)")
    (tmp_path / "nas-bench-macro_cifar10.json").write_bytes(gzip.decompress(path.read_bytes()))
    done = typed("import", "nbmacro", tmp_path / "nas-bench-macro_cifar10.json")
    assert done.exit_code == 0, done.output
    assert registry.create("benchmarks", "nbmacro").scenes["cifar10"].accuracy.max() == pytest.approx(93.13, abs=0.005)
    listed = {one["name"]: one["here"] for one in json.loads(typed("list", "--json").stdout)}
    assert {name for name, here in listed.items() if here} == {"nbmacro"}


def test_the_table_of_nas_bench_201(typed, tmp_path):
    rows = table("nb201/nb201_table.csv.gz")
    for data, called in NB201_DATA.items():
        pickled(tmp_path / f"nb2_{called}_test_accuracy.p", [float(row[f"test_acc_200_{data}"]) for row in rows])
    short = [
        {"cost": float(row["train_cost_12_cifar10_s"]), "valacc": float(row["val_acc_12_cifar10"])} for row in rows
    ]
    pickled(tmp_path / "nb2_cf10_hp12_info.p", short)
    pickled(tmp_path / NB201_ORDER, *({"i": k, "arch": row["arch_str"]} for k, row in enumerate(rows)))
    tree = {
        data: {naslib(row["arch_str"]): {"val_accuracy": float(row[f"val_acc_200_{data}"])} for row in rows}
        for data in NB201_DATA
    }
    archive(tmp_path / "nb201_zen.zip", tree)
    done = typed("import", "nb201", tmp_path)
    assert done.exit_code == 0, done.output
    scenes = registry.create("benchmarks", "nb201").scenes
    # The best of all cells by mean test accuracy: Dong & Yang, ICLR 2020, table 4.
    assert scenes["cifar10"].accuracy.max() == pytest.approx(94.37, abs=0.005)


@pytest.mark.slow
def test_the_tables_of_transnas_bench_and_of_latencies(typed, tmp_path):
    rows = table("tnb101/tnb101_micro.csv.gz")
    tasks = [name.removeprefix("val_") for name in rows[0] if name.startswith("val_")]
    tree = {task: {row["arch"]: {"val_accuracy": float(row[f"val_{task}"])} for row in rows} for task in tasks}
    archive(tmp_path / "all_benchmarks_zen.zip", {"transbench101_micro": tree, "nasbench201": {"cifar10": {}}})
    assert typed("import", "tnb101_micro", tmp_path / "all_benchmarks_zen.zip").exit_code == 0
    assert set(registry.create("benchmarks", "tnb101_micro").scenes) == set(tasks)
    rows = table("nb201-latency/help_nb201_latency_ms.csv.gz")
    for device in rows[0].keys() - {"index"}:
        values = [float(row[device]) for row in rows]
        torch.save(torch.tensor(values, dtype=torch.float64), tmp_path / f"{device}.pt")
    done = typed("import", "nb201-latency", tmp_path)
    assert done.exit_code == 0, done.output


def _broken(folder, content):
    (folder / "nas-bench-macro_cifar10.json").write_bytes(content)
    return "import", "nbmacro", folder


class Program:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def _program(folder):
    names = [f"nb2_{called}_test_accuracy.p" for called in NB201_DATA.values()]
    for name in (*names, "nb2_cf10_hp12_info.p", NB201_ORDER, "nb201_zen.zip"):
        pickled(folder / name, Program())
    return "import", "nb201", folder


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (lambda folder: ("import", "imagenet", folder), "no published table is called 'imagenet'"),
        (lambda folder: ("import", "nbmacro", folder), "Cannot import nbmacro without nas-bench-macro_cifar10.json"),
        (lambda folder: _broken(folder, b"{}"), "the files have other values than the published ones"),
        (lambda folder: _broken(folder, b"\xff\xfe"), "a file has another form"),
        (lambda folder: _broken(folder, b"\x1f\x8bgz"), "Cannot read"),
        (_program, "Cannot import nb201: a file has another form"),
    ],
)
def test_other_files_are_refused_in_a_sentence(typed, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    done = typed(*words(tmp_path))
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert sentence in done.stderr
    assert not (tmp_path / "tables").exists()
    assert not Path("ran").exists()


def test_scripts_say_which_file_they_lack(monkeypatch, tmp_path):
    monkeypatch.setenv("NASCTL_DATA", str(tmp_path))
    with pytest.raises(NasctlError, match=r"Cannot find .*photos\.zip\. Set NASCTL_DATA to a folder that holds"):
        published_path("images/photos.zip")
    (tmp_path / "images").mkdir()
    assert published_path("images") == tmp_path / "images"
    guessed = [path.name for path in (ROOT / "perf").glob("*.py") if re.search(r"shared\W+data", path.read_text())]
    assert guessed == []


def test_the_list_says_where_to_download_what(typed):
    said = typed("list").stdout
    line = "  sha256 1899b30ed5de2c00a6a760032ae5efa88d75b3d5fc4f31c1e9d017f03eaa66c3"
    assert line in said.splitlines()
    assert len(line) < 80
    assert "tnb101_micro: results of the 4,096 cells" in said
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(typed("list", "--csv").stdout, newline=""))}
    assert {name: (row["sha256"], row["addresses"].split()) for name, row in rows.items()} == {
        one["name"]: (one["sha256"], one["addresses"]) for one in json.loads(typed("list", "--json").stdout)
    }
    assert "download https://github.com/xiusu/NAS-Bench-Macro/raw/61a2bfc2ca0dce04d0997e6cf498047c27d6acf2/" in said
