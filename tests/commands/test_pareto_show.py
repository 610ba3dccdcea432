"""The front in the order of a column, cut, and with marks on the recommended network and on published ones."""

import csv
import io
import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.architectures.references import visited_references
from nasctl.cli import cli
from nasctl.commands.pareto.show import _Front
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Reference
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store
from nasctl.system import terminal
from nasctl.system.table_layout import lay_out_table

SPACE = "nbmacro:resolution=8"


def nasctl(*words):
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done


def listed(*words):
    return json.loads(nasctl("pareto", "show", *words, "--json").stdout)


def table(*words):
    return list(csv.DictReader(io.StringIO(nasctl("pareto", "show", *words, "--csv").stdout, newline="")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("front")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        fidelity = ("--fidelity", "size=8,batch=16,repeats=1", "--searcher", "random:batch=30")
        nasctl("search", "--space", SPACE, "-o", "swap,macs", "--record", "params", *fidelity, "--budget", "30")
    return path


@pytest.fixture
def published(folder, monkeypatch):
    """Names of published networks of the space: the front's first member, and a candidate that is not on the front."""
    monkeypatch.chdir(folder)
    front = [tuple(one["genome"]) for one in listed()]
    visited = Store.reading("nasctl.db").evaluations(Store.reading("nasctl.db").run()[0])
    other = next(one.genome for one in visited if one.genome not in front)
    names = {"BestNet": Reference(front[0], "a paper"), "OldNet": Reference(other, "another paper")}
    space = type(registry.create("spaces", SPACE))
    monkeypatch.setattr(space, "references", names, raising=False)
    return visited, other


def test_a_column_sorts_the_best_first(folder, monkeypatch):
    monkeypatch.chdir(folder)
    whole = listed()
    assert len(whole) > 4
    for sort, key in (
        ("swap", lambda one: -one["values"]["swap"]),
        ("macs", lambda one: one["values"]["macs"]),
        ("params", lambda one: one["values"]["params"]),
        ("id", lambda one: one["id"]),
        ("score", lambda one: -one["score"]["log_rank(swap)"]),
    ):
        assert listed("--sort", sort) == sorted(whole, key=key), sort
        assert listed("--sort", sort, "--top", "2") == sorted(whole, key=key)[:2]
    assert listed("--top", "3") == listed("--sort", "score")[:3]
    assert listed("--top", "99") == listed("--sort", "score")
    assert [row["id"] for row in table("--sort", "macs")] == [one["id"] for one in listed("--sort", "macs")]
    assert "3 of them shown" in nasctl("pareto", "show", "--top", "3").stderr


def test_a_column_that_is_not_there_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for word in ("mac", "latency", "trained"):
        done = CliRunner().invoke(cli, ["pareto", "show", "--sort", word])
        assert done.exit_code == 2
        assert f"no column of this front is called '{word}'" in done.stderr
    assert "did you mean 'macs'?" in CliRunner().invoke(cli, ["pareto", "show", "--sort", "mac"]).stderr


def test_the_recommended_network_is_marked(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (best,) = (one["id"] for one in listed() if one["recommended"])
    assert [row["id"] for row in table() if row["remark"] == "recommended"] == [best]
    assert f"recommended: {best}, " in nasctl("pareto", "show").stderr


def test_the_recommended_network_is_a_row_below_the_first_ones(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (best,) = (one["id"] for one in listed() if one["recommended"])
    sort = next(name for name in ("macs", "swap", "id") if listed("--sort", name)[0]["id"] != best)
    words = ("--sort", sort, "--top", "1")
    piped = nasctl("pareto", "show", *words)
    assert f"recommended, not among the first: {best}, " in piped.stderr
    assert best not in piped.stdout
    assert [row["id"] for row in table(*words)] == [one["id"] for one in listed(*words)]
    drawn = []
    monkeypatch.setattr(terminal, "table", lambda columns, rows, **options: drawn.append(list(rows)))
    monkeypatch.setattr("nasctl.commands.pareto.show.marks_shown", lambda as_csv: True)
    done = nasctl("pareto", "show", *words)
    assert [row[0] for row in drawn[0]][:2] == [listed(*words)[0]["id"], best]
    assert [row[-1].terminal for row in drawn[0]][:2] == ["", "*"]
    assert f"* recommended, below the first: {best}, " in done.stderr


def test_published_networks_are_rows_by_name(published):
    visited, other = published
    space = registry.create("spaces", SPACE)
    assert set(visited_references(space, visited)) == {"BestNet", "OldNet"}
    rows = table()
    assert "BestNet" in rows[0]["remark"]
    assert rows[-1]["remark"] == "OldNet, not on the front"
    values = next(one.values for one in visited if one.genome == other)
    assert float(rows[-1]["macs (MACs)"]) == values["macs"]
    assert len(rows) == len(listed()) + 1  # JSON and pipes have the front alone, as programs expect
    assert listed()[0]["reference"] == "BestNet"
    assert len(nasctl("pareto", "show").stdout.splitlines()) == len(listed()) + 1
    assert table("--top", "1")[-1]["remark"] == "OldNet, not on the front"


@pytest.mark.usefixtures("published")
def test_a_terminal_shows_marks(monkeypatch):
    drawn = []
    monkeypatch.setattr(terminal, "table", lambda columns, rows, **options: drawn.append((columns, list(rows))))
    monkeypatch.setattr("nasctl.commands.pareto.show.marks_shown", lambda as_csv: True)
    nasctl("pareto", "show")
    ((columns, rows),) = drawn
    assert (columns[-1].short, columns[-1].prose) == ("", True)
    marks = [row[-1].terminal for row in rows]
    assert sum(mark.startswith("*") for mark in marks) == 1
    assert marks[-1] == "OldNet, not on the front"


def test_equal_networks_are_one_row_of_a_terminal_and_of_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nasctl("search", "--space", "nb201", "-o", "params,macs", "--budget", "40", "--searcher", "random:batch=40")
    whole = listed()
    assert len(whole) > 2
    assert len({json.dumps(one["values"]) for one in whole}) == 1  # of all cells without a convolution
    assert len(table()) >= len(whole)  # programs get every network
    assert len(nasctl("pareto", "show").stdout.splitlines()) == 1 + len(whole)
    drawn = []
    monkeypatch.setattr(terminal, "table", lambda columns, rows, **options: drawn.append(list(rows)))
    monkeypatch.setattr("nasctl.commands.pareto.show.marks_shown", lambda as_csv: True)
    for words in ((), ("--top", "1"), ("--sort", "id")):
        done = nasctl("pareto", "show", *words)
        (row,) = [one for one in drawn.pop() if "not on the front" not in one[-1].terminal]
        assert row[0] == next(one["id"] for one in whole if one["recommended"])
        assert row[-1].terminal == f"*, +{len(whole) - 1} equal"
        assert f"note: {len(whole) - 1} networks have the values of a row above" in done.stderr
    nasctl("report", "-o", "page.html")
    page = (tmp_path / "page.html").read_text()
    body = page.partition("Networks on the Pareto front")[2].partition("</table>")[0]
    assert body.count("<tr data-id=") == 1
    assert f"+{len(whole) - 1} equal" in body


def test_networks_with_equal_objectives_and_other_records_keep_their_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nasctl("search", "--space", "nb201", "-o", "params,macs", "--record", "depth", "--budget", "40")
    whole = listed()
    different = len({json.dumps(one["values"]) for one in whole})
    drawn = []
    monkeypatch.setattr(terminal, "table", lambda columns, rows, **options: drawn.append(list(rows)))
    monkeypatch.setattr("nasctl.commands.pareto.show.marks_shown", lambda as_csv: True)
    nasctl("pareto", "show")
    assert len([one for one in drawn[0] if "not on the front" not in one[-1].terminal]) == different


def test_objectives_are_the_last_columns_to_go_and_costs_go_after_further_metrics():
    def column(name, direction, cost, unit=""):
        return Column(name, unit, cost, Goal(name, direction, "identity", cost))

    found = [column("swap", "max", "module", "patterns"), column("grad_norm", "max", "module", "nats")]
    found += [column("macs", "min", "network", "MACs"), Column("zico", "log", "module", None)]
    record = RunRecord("nbmacro", {one.label: one for one in found})
    columns = _Front(
        record, [], [], "log_rank(swap)", {}, SimpleNamespace(head="test accuracy (%)"), {}, None
    )._columns()
    row = ["nbmacro.gs9-6af6", "9.4 ± 2.2", 22782, 112.5, 6_160_000, 1.5, 0.0]
    left_out = list(dict.fromkeys(lay_out_table(columns, [row], width).left_out for width in range(120, 55, -1)))
    gone = [[name.split(" ")[0] for name in names] for names in left_out]
    assert gone[:4] == [[], ["zico"], ["zico", "score:"], ["grad_norm", "zico", "score:"]]
    assert all("macs" not in names for names in gone[:4])
