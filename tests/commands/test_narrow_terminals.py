"""Tables fit terminals of 60 and 80 columns: no line is longer, and no number or id is broken."""

import csv
import io
import json

import pytest
from click.testing import CliRunner
from commands.pseudo_terminal import in_terminal
from paths import DATA
from supernets.trained import SPACE as SUPERNET
from supernets.trained import supernet

from nasctl.cli import cli
from nasctl.commands.pareto._front_table import FrontRow, fitting_rows, with_remarks
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.system import table_layout, terminal

SPACE = "nbmacro:resolution=8"
SEARCH = ("search", "--space", SPACE, "-o", "swap,macs", "--fidelity", "size=8,batch=4,repeats=1", "--budget", "12")
WIDE = 10_000  # columns of a terminal that leaves no column out and breaks no line


def nasctl(*words):
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store of three runs, two trainings and a supernet, and with a table of known values."""
    path = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        options = ("--searcher", "random:batch=12", "--device", "gpu", "--record", "memory")
        nasctl(*SEARCH, *options, "--constraint", "latency<=5", "--run", "first")
        for seed in ("1", "2"):
            nasctl(*SEARCH, "--searcher", "random:batch=12", "--seed", seed, "--run", f"seed{seed}")
        _train(Store("nasctl.db"))
        _begin_supernet(path / "nasctl-supernets" / "attentivenas-sandwich-entangled-1c9f2a07")
        supernet(path / "nasctl.db")
        _learned_choices(supernet(path / "nasctl.db", "learnt", strategy="enas:hidden=8").parent)
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


def _begin_supernet(folder):
    """Write the question and the log of a supernet whose training has a step to go."""
    spec = {"space": SPACE, "share": "blocks", "strategy": "sandwich:distance=kl,random=2", "recipe": {}, "seed": 0}
    result = {"loss": 1.0, "accuracy": 0.713, "perplexity": None, "examples": 180, "error": 0.012}
    events = [{"event": "begun", "step": 0, "steps": 660_000}]
    for name in ("largest", "smallest"):
        events.append({"event": "evaluated", "step": 659_999, "part": "validation", "subnet": name, **result})
    folder.mkdir(parents=True)
    (folder / "training.json").write_text(json.dumps({**spec, "data": "digits split=0.8-0.1-0.1 seed=0"}))
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in events))


def _learned_choices(folder):
    """Write the question and the log of a trained supernet."""
    spec = {"space": SUPERNET, "share": "blocks", "strategy": "enas", "recipe": {}, "seed": 0, "task": "classes"}
    spec |= {"data": "digits", "threads": 1, "device": "cpu", "processes": 1}
    (folder / "training.json").write_text(json.dumps(spec))
    (folder / "log.jsonl").write_text(json.dumps({"event": "begun", "step": 0, "steps": 6}) + "\n")


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
        ("space", "references", "mbconv", "--device", "gpu"),
        ("space", "references", "resnet"),
        ("space", "fit", "nbmacro", "--device", "gpu", "--constraint", "latency<=5,params<=2M"),
        ("searcher", "list"),
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
        ("supernet", "list"),
        ("supernet", "evaluate", "tiny", "--sample", "2", "--images", "20"),
        ("supernet", "show", "learnt"),
        ("bench", "list"),
        ("supernet", "strategies"),
    )
    slow = pytest.mark.slow
    yield pytest.param(("supernet", "controller", "learnt"), marks=slow)
    yield pytest.param(("space", "sample", SUPERNET, "--from", "learnt", "-n", "3"), marks=slow)
    yield pytest.param(("objective", "fit", "--space", SPACE, *predictor, "--force"), marks=slow)
    yield pytest.param(("objective", "calibrate", "--space", SPACE, "--sample", "3", "-o", "swap"), marks=slow)
    here = not (DATA / "nb-macro").is_dir()
    skip = pytest.mark.skipif(here, reason=f"needs the tables of NAS-Bench-Macro in {DATA}")
    yield pytest.param(("bench", "run", "nbmacro", "--seeds", "2", "--evaluations", "20"), marks=[skip, slow])


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


COLUMNS = (
    table_layout.TableColumn("id"),
    table_layout.TableColumn("l2_norm", priority=1),
    table_layout.TableColumn("snip", "nats", priority=2),
    table_layout.TableColumn("latency@pixel4", "ms, batch 1", priority=0),
    table_layout.TableColumn("params", "parameters", priority=0),
    table_layout.TableColumn("score: log_rank(l2_norm)", priority=3),
)
NETWORKS = [
    FrontRow("mbconv.cre-0y0sf73r52y45pxn", [525.02, 111.642, 9.88143, 3.261e6, 0.0], recommended=True),
    FrontRow("mbconv.cre-02yywnbtg86vmhq1", [503.77, 91.4695, 8.19518, 3.46e6, -0.13], names=["mobilenetv3-large"]),
    FrontRow("mbconv.cre-04y9m5cfc1hwp74c", [506.42, 102.62, 9.7683, 3.148e6, -0.09], equal=3),
    FrontRow("mbconv.cre-0003ca04aq8m4008", [50.2, 2.62, 9.99, 1e6, -0.9], names=["mnasnet-a1"], on_front=False),
]
SHORT = ["mbconv.cre-0y0s", "mbconv.cre-02yy", "mbconv.cre-04y9", "mbconv.cre-0003"]
NEEDED = ("l2_norm", "snip", "latency@pixel4", "params")


@pytest.mark.parametrize(
    ("width", "first", "remarks"),
    [
        (120, NETWORKS[0].id, ["*", "mobilenetv3-large", "+3 equal", "mnasnet-a1, not on the front"]),
        (80, NETWORKS[0].id, ["*", "a", "+3", "b"]),
        (60, SHORT[0], ["*", "a", "+3", "b"]),
        (40, SHORT[0], ["*", "a", "+3", "b"]),
    ],
)
def test_remarks_and_ids_give_way_before_objectives_and_bounds(width, first, remarks):
    rows, sentences = fitting_rows(with_remarks(COLUMNS), NETWORKS, lambda: SHORT, NEEDED, width)
    assert rows[0][0] == first
    assert [row[-1].terminal for row in rows] == remarks
    laid = table_layout.lay_out_table(with_remarks(COLUMNS), rows, width)
    assert all(table_layout.cells(line) <= width for line in (*laid.head, *laid.body))
    assert len(laid.body) >= len(NETWORKS)
    bounds = {COLUMNS[3].terminal_heading, COLUMNS[4].terminal_heading}
    assert laid.head
    assert not bounds & {*laid.left_out}
    if width >= 60:
        assert {*laid.left_out} <= {"score: log_rank(l2_norm)"}
    legend = "reference networks: a mobilenetv3-large, b mnasnet-a1 (not on the front)"
    assert (legend in sentences) == (width < 120)
    assert any(text.startswith("ids are shortened") for text in sentences) == (first == SHORT[0])
