"""Whatever a stranger's file or a person's keyboard may hold is either understood or refused in one sentence."""

import json
import os
import random
import shutil

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parsers import PARSERS, TABLE, feed
from paths import TESTS

from nasctl.cli import cli

CORPUS = TESTS / "corpus"
TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"-1", b"0", b"null", b"true", b'""', b"[]", b"{}", b"[" * 3000,
    b'{"a":' * 300, b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n\n", b"\x1b[31m", b"[red]", b"[/]", b"../", b"/",
    b"<<: *a", b"&a ", b"*a", b"!!python/name:os.system ", b"'", b'"', b"\\", b",", b":", b"=", b"-", b"\xe2\x80\xae",
    b"\xed\xa0\x80", b"%", b"$", b"\t", b"|", b"~9", b"+", b"1e400", b"\xd9\xa3", b"0x1F", b"1_0",
)  # fmt: skip
ODD = (None, True, -1, 0, 1.5, 10**400, 1e308, float("nan"), "", "x" * 300, "\x1b[31m", [], {}, [[]], {"a": {}})


@st.composite
def bent(draw, name):
    """An input that a parser accepts, bent here and there: in its bytes, or, if it is JSON, in its values."""
    content = draw(st.sampled_from(PARSERS[name].seeds))
    rng = random.Random(draw(st.integers(0, 2**32)))
    if content[:1] in (b"{", b"[") and rng.random() < 0.7:
        return json.dumps(_replaced(json.loads(content), rng, 0.15)).encode()
    for _ in range(rng.randint(0, 4)):
        start = rng.randint(0, len(content))
        end = min(len(content), start + rng.choice((0, 0, 1, 8, 400)))
        tokens = (rng.choice(TOKENS), rng.choice(TOKENS) + rng.choice(TOKENS))
        middle = rng.choice((b"", *tokens, rng.randbytes(rng.randint(1, 8)), content[start:end] * 2))
        content = content[:start] + middle + content[end:]
    return content


def _replaced(value, rng, share):
    """The same JSON with a share of its values, and of its keys, exchanged for odd ones."""
    if rng.random() < share:
        return rng.choice(ODD)
    if isinstance(value, list):
        return [_replaced(one, rng, share) for one in value]
    if isinstance(value, dict):
        kept = {key: _replaced(one, rng, share) for key, one in value.items() if rng.random() > share / 3}
        return kept | ({rng.choice(("", "x", "..", "\x1b[2J")): rng.choice(ODD)} if rng.random() < share else {})
    return value


# --- parsers ---


@pytest.mark.parametrize("name", PARSERS)
def test_the_seeds_are_accepted(name):
    for content in PARSERS[name].seeds:
        assert feed(name, content)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_is_refused(path):
    assert not feed(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", PARSERS)
def test_bent_inputs(name):
    _fed(name, 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_many_bent_inputs(name):
    _fed(name, 200)


def _fed(name, number):
    @settings(
        max_examples=number, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(bent(name))
    def check(content):
        feed(name, content)

    check()


# --- the command line ---

LONG = {  # where they are given what exists
    "bench run", "device kit", "device profile", "device validate", "export", "objective calibrate", "space profile",
}  # fmt: skip
FIXED = {"--budget": "1", "--seeds": "1", "--evaluations": "1", "--seconds": "0.001", "--networks": "2"}
FIXED |= {"--fidelity": "fast"}
NUMBERS = ("-1", "0", "1", "2", "3", "1.5", "nan", "-inf", "1e400", "0x10", "1_1", "\u0663", "", " ", "9" * 5000, "two")
FITTING = {
    "--space": ("nbmacro", "nb201:channels=4,cells=1"),
    "space": ("nbmacro", "nb201:channels=4,cells=1"),
    "--store": ("nasctl.db", "new.db"),
    "--truth": ("truth.csv",),
    "--csv": ("truth.csv", "times.csv"),
    "--device": ("table.json", "gpu", "pixel4"),
    "--genomes": ("genomes.txt",),
    "--objective": ("params,macs", "depth"),
    "--searcher": ("random", "nsga2:population=4"),
    "--data": ("noise",),
    "--torch-device": ("cpu",),
    "--output": ("new.csv", "new.json", "new.png", "new.html"),
    "--out": ("new.json",),
    "files": ("foreign.yaml", "kit"),
    "--name": ("board",),
    "arch": ("0,1,2,0,1,2,0,1",),
    "archs": ("0,1,2,0,1,2,0,1", "free.json", "genomes.txt"),
    "--run": ("nbmacro",),
}  # what a parameter can be given, where that is not just a word
UNBOUND = ("--seed", "--weights-seed", "--threads")  # whose size takes no time
WORDS = (
    "nbmacro", "nb201:channels=4,cells=1", "params", "macs", "depth", "random", "nsga2:population=4", "gpu", "pixel4",
    "params<=5M", "macs<=50%", "latency<=1", "0,1,2,0,1,2,0,1", "nb201-f882", "01201201", "noise", "dead-leaves",
    "fast", "size=8", "5m", "cpu", "cuda:7", "budget=2", "space=nbmacro", "log_rank:params+macs", "knee", "best", "all",
)  # fmt: skip
JUNK = (
    "", " ", "-", "--", "=", ":", ",", ":,=", "@", "latency@", "@gpu", "nb201:", "nb201:channels=",
    "nb201:channels=" + "9" * 5000, "nb201:channels=1e400", "nb201:channels=-1", "nb201:channels=on", "nbmacro:x",
    "mbconv:width=nan", "mbconv:width=-0", "mbconv:resolution=0", "mbconv:classes=0", "params<=", "params<=1e999",
    "params<=-", "params<=." , "nb201-", "-f882", "nb201.zzz-f882", "9" * 5000, "9," * 3000, "0,-1", "\u0663,\u0663",
    "[red]x[/]", "[/]", "\x1b[31mred", "\r\x08", "\u202egpj", "$x$", "$\\frac$", "%s", "{0}", "a" * 5000, "\u0000",
    "\udcff", "'; drop table run; --", "%", "x=y=z", "size=0", "batch=1", "repeats=9999999", "1h2m", "h", "-5m", "1e9h",
    "9" * 400 + "h", "9" * 400 + "GB", "../x", "~nobody-here", "log_rank:", "log_rank:params+params", "vote:x", "cuda",
    "cuda:-1", "meta", "mps:0:0", "seed=-1", "set", "nothing=1", "budget=[1]", "store=x",
)  # fmt: skip
PATHS = (
    "missing", "folder", "empty", "pipe", "dangling", "loop", "a" * 300, "no/such/x.json", "x\u0000.json",
    "\udcff.json", "empty.json", "folder.json", "pipe.json", "dangling.json", "table.json", "truth.csv", "pipe.csv",
    "deep.json", "utf16.csv", "nul.yaml", "line.csv", "pipe.zip", "empty.npz", "empty.tar.gz", "new.json", "new.csv",
    "new.png", "new.py", "nasctl.db", "text.db", "new.db", "folder/new.csv.gz", "-", "[red].json", "a\nb.json",
    "empty.toml", "pipe.toml",
)  # fmt: skip


def commands(command, words=()):
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*words, name))
    else:
        yield words, command


COMMANDS = dict(commands(cli))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The bytes of a store with a small run."""
    path = tmp_path_factory.mktemp("store") / "nasctl.db"
    typed = ["search", "--space", "nbmacro", "-o", "params,macs", "--searcher", "random", "--budget", "5"]
    assert CliRunner().invoke(cli, [*typed, "--store", str(path)]).exit_code == 0
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _furnish(folder, store):
    """Fill a folder anew with what `PATHS` names."""
    for old in folder.iterdir():
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for name in ("folder", "folder.json", "kit"):
        (folder / name).mkdir()
    for name in ("pipe", "pipe.json", "pipe.csv", "pipe.zip", "pipe.toml"):
        os.mkfifo(folder / name)
    for name in ("empty", "empty.json", "empty.npz", "empty.tar.gz", "empty.toml"):
        (folder / name).touch()
    for name in ("dangling", "dangling.json"):
        (folder / name).symlink_to("nothing")
    (folder / "loop").symlink_to("loop")
    contents = {
        "table.json": TABLE,
        "truth.csv": b"code,ms\n00000000,93.1\n11111111,nan\n",
        "deep.json": b"[" * 100_000,
        "utf16.csv": "code,ms\n00000000,93.1\n".encode("utf-16"),
        "nul.yaml": b"a: \x00",
        "line.csv": b"x" * 1_000_000,
        "text.db": b"text",
        "genomes.txt": b"0,1,2,0,1,2,0,1\n01201201\n",
        "foreign.yaml": PARSERS["foreign_yaml"].seeds[0],
        "free.json": PARSERS["free"].seeds[0],
        "kit/manifest.json": PARSERS["manifest"].seeds[0],
        "times.csv": b"file,ms\na.onnx,1\n",
        "nasctl.db": store,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _listed(folder):
    """What lies there; of a store that is there, only that it is."""
    found = (path for path in folder.rglob("*") if not path.name.startswith("nasctl.db-"))
    return {path: path.read_bytes() if path.is_file() and path.name != "nasctl.db" else None for path in found}


def typed(rng):
    """Something to type: a command, and for some of what it takes something that fits, or exists, or neither."""
    words, command = rng.choice(list(COMMANDS.items()))
    line, wild = list(words), rng.choice((0.1, 0.3, 1.0))
    for parameter in command.params:
        option = isinstance(parameter, click.Option)
        name = parameter.opts[-1] if option else str(parameter.name)
        if name == "--all":  # of a space
            continue
        if name in FIXED or rng.random() < (0.95 if parameter.required else 0.25):
            line += [name] if option else []
            line += [] if option and parameter.is_flag else [_value(" ".join(words), name, parameter, rng, wild)]
    return line


def _value(words, name, parameter, rng, wild):
    if name in FIXED:
        return FIXED[name]
    numeric = isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)
    if words not in LONG and rng.random() > wild:
        return "2" if numeric else rng.choice(FITTING.get(name, WORDS))
    if numeric:
        return rng.choice(NUMBERS if name in UNBOUND else NUMBERS[:-2])
    if isinstance(parameter.type, click.Path):
        return rng.choice(PATHS)
    return rng.choice((*PATHS, *JUNK) if words in LONG else (*PATHS, *JUNK, *WORDS))


def _lines(folder, store, number, seed):
    for k in range(number):
        _furnish(folder, store)
        line = typed(random.Random(seed + k))
        before = _listed(folder)
        result = CliRunner().invoke(cli, line, input="")
        said = f"{line}\n{result.output}"
        assert result.exit_code in (0, 2) or result.stderr.endswith("Aborted!\n"), said
        assert "Traceback" not in result.output, said
        assert "\x1b" not in result.output, said
        if result.exit_code:
            assert _listed(folder) == before, said


@pytest.mark.parametrize("line", json.loads((CORPUS / "typed.json").read_text()), ids=lambda line: " ".join(line)[:40])
def test_what_was_typed_once_is_refused(line, folder, store):
    _furnish(folder, store)
    before, result = _listed(folder), CliRunner().invoke(cli, line)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.output
    assert _listed(folder) == before


def test_whatever_is_typed(folder, store):
    _lines(folder, store, 40, 0)


@pytest.mark.slow
def test_much_that_is_typed(folder, store):
    _lines(folder, store, 300, 1000)
