"""Tables fit terminals of 60 and 80 columns: no line is longer, and no number or id is broken."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import struct
import termios
import threading

import pytest
from click.testing import CliRunner
from paths import DATA

from nasctl.cli import cli
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.system import table_layout, terminal

SPACE = "nbmacro:resolution=8"
SEARCH = ("search", "--space", SPACE, "-o", "swap,macs", "--fidelity", "size=8,batch=4,repeats=1", "--budget", "12")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WIDE = 10_000  # columns of a terminal that leaves no column out and breaks no line


def nasctl(*words):
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store of three runs and two trainings, and with a table of known values."""
    path = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        options = ("--searcher", "random:batch=12", "--device", "gpu", "--record", "memory")
        nasctl(*SEARCH, *options, "--constraint", "latency<=5", "--run", "first")
        for seed in ("1", "2"):
            nasctl(*SEARCH, "--searcher", "random:batch=12", "--seed", seed, "--run", f"seed{seed}")
        _train(Store("nasctl.db"))
        rows = nasctl("objective", "score", "--space", SPACE, "--sample", "16", "-o", "macs", "--csv")
        (path / "known.csv").write_text(rows.replace("\r\n", "\n").replace("id,macs (MACs)", "arch,accuracy"))
        yield path


def _train(store):
    """File two trainings of networks of the newest run."""
    name, record = store.run("seed2")
    for k, one in enumerate(store.evaluations(name)[:2]):
        part = {"accuracy": 0.713, "error": 0.012, "loss": 1.0, "perplexity": None, "examples": 180}
        spec = {"data": "digits split=0.8-0.1-0.1 seed=0", "recipe": {"epochs": 1}, "seed": 0, "threads": 1}
        spec |= {"task": "classes", "trained_space": record.space}
        results = {"validation": part, "test": part}
        store.file_training(
            TrainingRecord(f"nbmacro-{k}1e0b44e", record.space, one.genome, spec, "finished", results, 9.5, 1e9 + k)
        )


def commands():
    """All commands that print a table, with arguments."""
    predictor = ("--truth", "known.csv", "-o", "params,macs", "--model", "ridge")
    yield from (
        ("plugins",),
        ("device", "list"),
        ("device", "list", "--space", "mbconv"),
        ("device", "show", "v100-b64"),
        ("device", "show", "note10", "--space", "mbconv"),
        ("device", "predict", "0,0,0,0,0,0,0,0", "--space", "nbmacro"),
        ("device", "predict", "0,0,0,0,0,0,0,0", "--space", "nbmacro", "--device", "gpu,cpu,mobile"),
        ("device", "predict", "0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,1", "--space", "nbmacro", "--device", "gpu,cpu,mobile"),
        ("space", "list"),
        ("space", "show", "darts"),
        ("space", "show", "nbmacro"),
        ("space", "profile", "mbconv", "-n", "5"),
        ("space", "sample", "mbconv", "-n", "3"),
        ("objective", "list"),
        ("objective", "score", "--space", SPACE, "--sample", "3", "-o", "params,macs,memory,depth"),
        ("objective", "correlate", "--space", SPACE, "-o", "params", "--truth", "known.csv"),
        ("show", "0" + ",0" * 44, "--space", "mbconv"),
        ("pareto", "show", "--run", "first"),
        ("pareto", "show", "--run", "seed2", "--top", "3"),
        ("pareto", "hypervolume", "--run", "first"),
        ("runs", "list"),
        ("runs", "compare", "seed1", "seed2"),
        ("train", "list"),
        ("bench", "list"),
        ("supernet", "strategies"),
    )
    slow = pytest.mark.slow
    yield pytest.param(("objective", "fit", "--space", SPACE, *predictor, "--force"), marks=slow)
    yield pytest.param(("objective", "calibrate", "--space", SPACE, "--sample", "3", "-o", "swap"), marks=slow)
    here = not (DATA / "nb-macro").is_dir()
    skip = pytest.mark.skipif(here, reason=f"needs the tables of NAS-Bench-Macro in {DATA}")
    yield pytest.param(("bench", "run", "nbmacro", "--seeds", "2", "--evaluations", "20"), marks=[skip, slow])


def in_terminal(words, width, patch):
    """Run a command with a terminal of some columns on stdout; returns its lines."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    parts = []

    def read():
        try:
            while part := os.read(main, 65536):
                parts.append(part)
        except OSError:  # Linux says so at the end of a terminal
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with os.fdopen(side, "w", encoding="utf-8") as stdout, patch.context() as here:
            here.delenv("COLUMNS", raising=False)
            here.setattr("sys.stdout", stdout)
            cli.main(list(words), standalone_mode=False)
            stdout.flush()
    finally:
        reader.join(10)
        os.close(main)
    return ESCAPES.sub("", b"".join(parts).decode()).replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("words", list(commands()), ids=lambda words: " ".join(words)[:40])
def test_tables_fit(words, width, folder, monkeypatch):
    monkeypatch.chdir(folder)
    tables = []

    def lay_out(columns, rows, columns_of_terminal):
        tables.append((columns, rows, table_layout.lay_out_table(columns, rows, columns_of_terminal)))
        return tables[-1][-1]

    monkeypatch.setattr(terminal, "lay_out_table", lay_out)
    lines = in_terminal(words, width, monkeypatch)
    assert tables
    # A command to copy stays on a line of its own, however long.
    texts = [line for line in lines if "next: nasctl" not in line]
    assert [line for line in texts if table_layout.cells(line) > width] == []
    for columns, rows, found in tables:
        assert {*found.head, *found.body} <= {*lines}
        for k, column in enumerate(columns):
            if column.prose or column.terminal_heading in found.left_out:
                continue
            texts = table_layout.lay_out_table([column], [[row[k]] for row in rows], WIDE).body
            assert all(any(text.strip() in line for line in found.body) for text in texts), column.name
        assert found.head, "no table needs to be turned at these widths"
        if found.left_out:
            assert f"{len(found.left_out)} column" in " ".join(lines)


def test_a_pipe_has_tabs_and_full_lines(folder, monkeypatch):
    monkeypatch.chdir(folder)
    rows = [line.split("\t") for line in nasctl("pareto", "show", "--run", "first").splitlines()]
    heads = ["id", "swap (patterns)", "macs (MACs)", "latency@gpu (ms, batch 64)", "memory (bytes)"]
    assert rows[0] == [*heads, "score: log_rank(swap)"]
    assert {len(row) for row in rows} == {6}
    assert all(row[2].isdecimal() for row in rows[1:])


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: " ".join(words)[:40])
def test_csv_has_exact_values(words, folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = CliRunner().invoke(cli, [*words, "--csv"], catch_exceptions=False).stdout_bytes.decode()
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert all(head)
    assert len(set(head)) == len(head)
    assert rows
    assert {len(row) for row in rows} == {len(head)}


def test_csv_says_what_a_run_has(folder, monkeypatch):
    monkeypatch.chdir(folder)
    rows = list(csv.DictReader(io.StringIO(nasctl("pareto", "show", "--run", "first", "--csv"), newline="")))
    found = {one["id"]: one["values"] for one in json.loads(nasctl("pareto", "show", "--run", "first", "--json"))}
    assert found.keys() == {row["id"] for row in rows}
    for row in rows:
        values = found[row["id"]]
        assert float(row["latency@gpu (ms, batch 64)"]) == values["latency@gpu"]
        assert (int(row["macs (MACs)"]), int(row["swap (patterns)"])) == (values["macs"], values["swap"])
    assert [row["remark"] for row in rows].count("recommended") == 1


def test_two_formats_are_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for words in (("--json", "--csv"), ("--csv", "--json")):
        done = CliRunner().invoke(cli, ["runs", "list", *words])
        assert done.exit_code == 2
        assert "--json and --csv are two formats; give one of them." in done.stderr
