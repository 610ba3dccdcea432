"""Files are data, never code: what SECURITY.md promises, asked of the source and of files made to break it."""

import ast
import gzip
import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from parsers import OFA, TABLE
from paths import ROOT
from PIL import Image

from nasctl.architectures import known_values
from nasctl.bench.published import published
from nasctl.cli import cli
from nasctl.data import cifar, npz, pictures
from nasctl.errors import NasctlError
from nasctl.export import export
from nasctl.export.formats import FORMATS
from nasctl.hardware import importers
from nasctl.hardware.importers import read_source
from nasctl.networks.python_source import source
from nasctl.searchers import _pool
from nasctl.system import files, yaml_text
from nasctl.system.terminal import printable, table
from nasctl.testing import Chain

SHIPPED = [path for folder in ("nasctl", "spaces", "objectives", "hardware") for path in (ROOT / folder).rglob("*.py")]
RUN = {  # what runs text or files as code, unpacks archives onto the disk, or starts programs
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp", "os.startfile",
    "runpy.run_path", "runpy.run_module", "subprocess.run", "subprocess.Popen", "subprocess.call",
    "subprocess.check_output", "subprocess.check_call", "archive.extract", "archive.extractall",
    "shutil.unpack_archive", "torch.hub.load", "yaml.unsafe_load", "yaml.full_load",
}  # fmt: skip
GENERATED = {("nasctl/export/python.py", "exec"), ("nasctl/export/python.py", "compile"), ("nasctl/testing.py", "exec")}
KIT = {("hardware/profiling/time_kit.py", "subprocess.run")}  # a script that the user runs, of the runtimes it times
NAMED = {("nasctl/registry/named_files.py", "exec"), ("nasctl/registry/named_files.py", "compile")}  # by the user
UNPICKLERS = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


@pytest.fixture(scope="module")
def nodes():
    """Every node of the syntax of what is shipped, with the path of its file."""
    trees = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in SHIPPED}
    return [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]


def refused(work, *arguments):
    with pytest.raises(NasctlError) as error:
        work(*arguments)
    return str(error.value)


# --- what the source does not do ---


def test_nothing_runs_but_what_nasctl_has_generated(nodes):
    called = {(path, ast.unparse(node.func)) for path, node in nodes if isinstance(node, ast.Call)}
    contracts = {one for one in called if one[0] == "nasctl/testing.py" and one[1].startswith("subprocess.")}
    assert {one for one in called if one[1] in RUN} - contracts == GENERATED | KIT | NAMED
    assert [path for path, node in nodes if isinstance(node, ast.keyword) and node.arg == "shell"] == []


def test_no_pickle_can_be_loaded(nodes):
    used = {ast.unparse(node) for _, node in nodes if isinstance(node, ast.Attribute)}
    imports = [node for _, node in nodes if isinstance(node, ast.ImportFrom)]
    used |= {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    assert (
        used & {f"{module}.{name}" for module in UNPICKLERS for name in ("load", "loads", "Unpickler", "open")} == set()
    )
    told = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False", "yaml.load": "Loader=_Loader"}
    found = [node for _, node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) in told]
    assert {ast.unparse(node.func) for node in found} == told.keys()
    for node in found:
        assert told[ast.unparse(node.func)] in {f"{one.arg}={ast.unparse(one.value)}" for one in node.keywords}


def test_yaml_makes_nothing_but_values(tmp_path):
    assert issubclass(yaml_text._Loader, yaml.constructor.SafeConstructor)
    for tag in ("!!python/object/apply:os.system [x]", "!!python/name:os.system", "!!python/tuple [1]", "!own 1"):
        (tmp_path / "a.yaml").write_text(f"a: {tag}")
        assert "is no YAML" in refused(read_source, tmp_path / "a.yaml")


def test_exports_are_read_back_without_a_pickle(tmp_path, monkeypatch):
    model, load = export.model("nbmacro", (0,) * 8), torch.load

    def restricted(*arguments, **options):
        assert options["weights_only"] is True
        return load(*arguments, **options)

    def never(*arguments, **options):
        raise AssertionError("a pickle was loaded")

    monkeypatch.setattr(torch, "load", restricted)
    monkeypatch.setattr(pickle, "load", never)
    monkeypatch.setattr(pickle, "loads", never)
    for name in ("python", "torch", "pt2", "json"):
        path = tmp_path / f"a{FORMATS[name].suffix}"
        FORMATS[name].write(model, path)
        torch.testing.assert_close(FORMATS[name].run(model, path), model.outputs)


def test_only_what_was_generated_is_run(tmp_path):
    model = export.model("nbmacro", (0,) * 8)
    code = tmp_path / "a.py"
    FORMATS["python"].write(model, code)
    code.write_text(code.read_text() + "\nraise SystemExit\n")
    with pytest.raises(ValueError, match="does not hold what was written"):
        FORMATS["python"].run(model, code)
    data = tmp_path / "a.json"
    FORMATS["json"].write(model, data)
    whole = data.read_text()
    for text in ("__import__('os').getcwd()", "nn.Conv2d(*[1, 2])", "nn.Conv2d((lambda: 1)(), 2)", "nn.Conv2d", "nn"):
        data.write_text(whole.replace('"operation": "', f'"operation": "{text}", "x": "', 1))
        with pytest.raises((ValueError, KeyError)):
            FORMATS["json"].run(model, data)


# --- what is written and shown ---


@pytest.mark.parametrize(
    "text",
    [
        '"""',
        '\\"""',
        '"' * 7,
        "\\",
        "\\N{DASH}",
        "a\n'''\n",
        "a\\",
        "{x}%s",
        '"""\nimport os\n"""',
        "\u2028\x0c\u202e",
        "\r\0\ud800",
    ],
)
def test_python_is_generated_from_escaped_text(text):
    network = Chain().network((0, 1))
    plain, made = (ast.parse(source(network, header=header)) for header in ("x", text))
    assert ast.get_docstring(made, clean=False) == text
    assert list(map(ast.dump, made.body[1:])) == list(map(ast.dump, plain.body[1:]))


def test_what_is_no_file_is_not_written_over(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        assert "is no file" in refused(files.write, path, "x")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "pipe"]


def test_a_name_neither_styles_nor_moves_what_is_shown(capsys, monkeypatch):
    names = ["[red]x[/red]", "[/]", "\x1b[2Jx", "a\tb\nc\r", "\u202egpj", "\udcff"]
    assert [printable(name) for name in names[2:]] == ["\\x1b[2Jx", "a\\tb\\nc\\r", "\\u202egpj", "\\udcff"]
    table(names, [names, names], title="[/]\x1b")
    assert len(capsys.readouterr().out.splitlines()) == 3
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    table(names, [names], title="[/]\x1b")
    shown = capsys.readouterr().out
    assert "[/]" in shown
    assert "[red]" in shown
    assert "\x1b[2J" not in shown


def test_a_foreign_table_is_shown_as_plain_text(tmp_path):
    odd = rb'"processor": "\u001b[2J[/]\u202e"'
    (tmp_path / "a.json").write_bytes(TABLE.replace(b'"processor": ""', odd))
    result = CliRunner().invoke(cli, ["device", "show", str(tmp_path / "a.json")])
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert r"\x1b[2J[/]\u202e" in result.stdout


# --- what is read ---


def test_only_so_much_is_read_and_unpacked(tmp_path, monkeypatch):
    for name in ("a.csv.gz", "a.json.gz", "a.tar.gz", "x.gz"):
        (tmp_path / name).write_bytes(gzip.compress(bytes(2**20 + 1), mtime=0))
    for module in (known_values, cifar, importers):
        monkeypatch.setattr(module, "LIMIT", 2**20)
    monkeypatch.setattr("nasctl.bench.published.LIMIT", 2**20)
    monkeypatch.setenv("NASCTL_DATA", str(tmp_path))
    assert "is over 1 MiB" in refused(known_values.read, tmp_path / "a.csv.gz", "nbmacro")
    assert "is over 1 MiB" in refused(read_source, tmp_path / "a.json.gz")
    assert "is over 1 MiB" in refused(cifar.read, tmp_path / "a.tar.gz")
    assert "is over 1 MiB" in refused(published, ".", "x.gz", "it")


def test_an_archive_may_not_be_larger_than_it_is(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "holes.tar", "w") as archive:
        for k in range(3):
            info = tarfile.TarInfo(f"data_batch_{k}.bin")
            info.pax_headers = {"GNU.sparse.map": "", "GNU.sparse.size": str(200 * 2**20)}
            archive.addfile(info)
    assert "is no tar archive, or a broken one" in refused(cifar.read, tmp_path / "holes.tar")
    np.savez_compressed(tmp_path / "zeros.npz", images=np.zeros((9, 64, 64), np.uint8))
    monkeypatch.setattr(npz, "LIMIT", 2**15)
    assert "it unpacks to over" in refused(npz.read, tmp_path / "zeros.npz")


def test_a_header_that_promises_too_much(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 64, 64)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"few")
    assert "it does not fit into memory" in refused(npz.read, tmp_path / "a.npz")


def test_a_picture_that_unpacks_to_gigabytes(tmp_path):
    (tmp_path / "cat").mkdir()
    Image.new("1", (30_000, 5_000)).save(tmp_path / "cat" / "a.png")
    found = pictures.read(tmp_path)
    assert "exceeds limit" in refused(lambda: list(found.pictures([0])))


def test_paths_in_archives_lead_nowhere(tmp_path):
    image = io.BytesIO()
    Image.new("RGB", (4, 4)).save(image, "png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("../cat/0.png", "/dog/1.png", "a/../../2.png", "C:\\x\\3.png"):
            archive.writestr(name, image.getvalue())
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("../../data_batch_1.bin", "/data_batch_2.bin"):
            info = tarfile.TarInfo(name)
            info.size = 3073
            archive.addfile(info, io.BytesIO(bytes(3073)))
        link = tarfile.TarInfo("data_batch_3.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    found = pictures.read(tmp_path / "a.zip")
    assert len(list(found.pictures(range(len(found))))) == len(found) > 0
    assert len(cifar.read(tmp_path / "a.tar")) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "link.json", "folder.json"):
        with pytest.raises(OSError, match=r"no regular file|directory"):
            files.read(tmp_path / name, 9)
        assert "cannot be read" in refused(read_source, tmp_path / name)
        assert CliRunner().invoke(cli, ["device", "show", str(tmp_path / name)]).exit_code == 2
    os.mkfifo(tmp_path / "cat.png")
    assert pictures.read(tmp_path).names == []


def test_objects_that_are_merged_over_and_over(tmp_path):
    lines = ["a0: &a0 {x: 1}", *(f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}" for k in range(1, 40))]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    assert "it merges objects" in refused(read_source, tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(OFA + b"x: &a [1]\ny: *a\n")
    read_source(tmp_path / "b.yaml")


def test_a_key_twice_is_refused():
    with pytest.raises(ValueError, match="'a' is there twice"):
        files.parsed('{"b": {"a": 1, "a": 2}}')
    with pytest.raises(ValueError, match="nests too deep"):
        files.parsed("[" * 10**6)


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x" * 10**8)
    assert "field larger than field limit" in refused(known_values.read, tmp_path / "a.csv", "nbmacro")
    assert "is not a table of scores" in refused(_pool._read_rows, tmp_path / "a.csv", ["a"])
    (tmp_path / "a.yaml").write_bytes(b"a" * (importers.LIMIT + 1))
    assert "is over 16 MiB" in refused(read_source, tmp_path / "a.yaml")
