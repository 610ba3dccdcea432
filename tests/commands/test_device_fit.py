"""The commands that fit, show and compare tables with rows of places and idle operations."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from timed_cells import CONV, SPACE, SPEC, cost_at_place, counting, genomes, table, timed, written

from nasctl import registry
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.hardware.fitting.by_idle import fit_form
from nasctl.hardware.table import LatencyTable
from nasctl.search.metrics import make_objective


def run(*words):
    return CliRunner().invoke(cli, ["device", *map(str, words)])


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().save(tmp_path / "toy.json")
    return tmp_path / "toy.json"


def test_fit_prints_its_choices_and_validate_takes_them_over(file):
    chosen = genomes(700)
    written(file.parent / "in.csv", lambda one: counting(one, cost_at_place), chosen[:450])
    written(file.parent / "out.csv", lambda one: counting(one, cost_at_place), chosen[450:])
    done = run("fit", "--space", SPEC, "--csv", "in.csv", "--name", "fitted", "--kind", "gpu")
    assert done.exit_code == 0, done.output
    assert "rows per place, because they predict better (MAPE in 5 folds" in done.stderr
    assert "are counted (MAPE in 5 folds" in done.stderr
    assert "rows of places" in done.stderr
    checked = run("validate", "fitted.json", "--space", SPEC, "--csv", "out.csv", "--json")
    assert json.loads(checked.stdout)["mape"] < 1
    other = run("validate", "fitted.json", "--space", SPEC, "--csv", "out.csv", "--idle", "ignore", "--json")
    assert json.loads(other.stdout)["mape"] > 5
    plain = run("fit", "--space", SPEC, "--csv", "in.csv", "--name", "plain", "--rows", "operation", "--json")
    facts = json.loads(plain.stdout)
    assert (facts["places"], facts["idle"]) == (0, "count")
    assert facts["validation"][0]["mape"] > 5
    assert LatencyTable.load("plain.json").command.endswith("--rows operation")


def test_fit_reads_ids_and_refuses_what_it_cannot_do(file):
    spec = registry.normal("spaces", SPEC)
    path = written(file.parent / "ids.csv", counting, genomes(50), lambda one: ids.encode(spec, SPACE.genes, one))
    given = ("fit", "--space", SPEC, "--csv", path, "--name", "new")
    assert run(*given).exit_code == 0
    assert LatencyTable.load("new.json").idle == "count"
    for more in (("--rows", "place"), ("--rows", "place", "--operators-only")):
        refused = run(*given, *more, "--force")
        assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (2, 1), refused.output


def test_fit_warns_of_a_table_that_predicts_nothing_and_so_does_a_search(file):
    rng = np.random.default_rng(0)
    written(file.parent / "noise.csv", lambda _: rng.uniform(1, 2), genomes(300))
    done = run("fit", "--space", SPEC, "--csv", "noise.csv", "--name", "noise")
    assert done.exit_code == 0, done.output
    assert "Warning: The table does not predict which networks are faster: " in done.stderr
    assert "which networks are faster" in run("show", "noise.json").stdout
    _, latency = make_objective("latency:device=noise.json", SPEC)
    assert "NOT BETTER THAN CHANCE: " in " ".join(latency.remarks(SPEC, SPACE.network((0, 0, 0, 2, 0, 0))))
    written(file.parent / "real.csv", counting, genomes(300))
    assert "Warning" not in run("fit", "--space", SPEC, "--csv", "real.csv", "--name", "real").stderr


def test_fit_says_how_many_networks_it_needs(file):
    chosen = list({SPACE.canonical(genome): genome for genome in genomes(200)}.values())
    for number, done in ((42, False), (43, True)):
        written(file.parent / "few.csv", counting, chosen[:number])
        found = run("fit", "--space", SPEC, "--csv", "few.csv", "--name", "few", "--force")
        assert (found.exit_code == 0) == done, found.output
        if not done:
            assert "with --held-out 0.3, 29 of 42 networks are left" in found.stderr
            assert "Measure 43 networks or more" in found.stderr


def test_messages_name_the_kinds_of_rows_and_what_is_not_stated(file):
    written(file.parent / "in.csv", counting, genomes(450))
    done = run("fit", "--space", SPEC, "--csv", "in.csv", "--name", "placed", "--rows", "place")
    assert "rows of their own" not in done.stderr
    assert re.search(r"\d+ rows of any place, \d+ rows of places", done.stderr), done.stderr
    _, latency = make_objective("latency:device=placed.json", SPEC)
    first = latency.remarks(SPEC, SPACE.network((0, 0, 0, 2, 0, 0)))[0]
    assert first.startswith("placed: processor not stated, runtime not stated, batch 1, ")


def test_fit_refuses_equal_latencies(file):
    written(file.parent / "equal.csv", lambda _: 7.0, genomes(100))
    refused = run("fit", "--space", SPEC, "--csv", "equal.csv", "--name", "equal")
    assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert "latencies are 7 ms, so no block can be priced" in refused.stderr
    assert not (file.parent / "equal.json").exists()


def test_show_and_predict_know_places(file):
    shown = run("show", file)
    assert "stage1.*.edge03" in shown.stdout
    rows = json.loads(run("show", file, "--space", SPEC, "--json").stdout)["blocks"]
    assert {(row["place"], row["ms"]) for row in rows if row["key"] == CONV} >= {("stage1.*.edge03", 7.0)}
    done = run("predict", "0,0,0,2,0,0", "--space", SPEC, "--device", file, "--json", "--store", "none.db")
    (found,) = json.loads(done.stdout)
    assert {block["latency"]["toy"] for block in found["blocks"] if block["name"].startswith("stage1")} == {7.0, 9.0}
    assert found["latency"]["toy"] == pytest.approx(table().latency(SPACE.network((0, 0, 0, 2, 0, 0))))


@pytest.mark.parametrize("more", [(), ("--space", SPEC)])
def test_show_is_readable_on_a_terminal_of_80_columns(file, monkeypatch, capsys, more):
    piped = next(line for line in run("show", file, *more).stdout.splitlines() if line.startswith("block\t"))
    assert piped.split("\t") == ["block", "place", "ms (batch 1)", "origin", "IQR ms", "rounds"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")  # no styles
    cli(["device", "show", str(file), *more], standalone_mode=False)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    drawn = lines[lines.index("blocks at any place") :]
    assert max(map(len, drawn)) <= 80
    assert any("stage1.*.edge03" in line and " 7 " in line and "fitted" in line for line in drawn)
    assert any(CONV in line for line in drawn)


def test_predict_says_what_a_network_takes_with_idle_operations(file):
    table(idle="count").save(file)
    genome = (3, 0, 0, 2, 0, 0)
    given = ("predict", "3,0,0,2,0,0", "--space", SPEC, "--device", file, "--store", "none.db")
    (found,) = json.loads(run(*given, "--json").stdout)
    built = SPACE.network(SPACE.canonical(genome))
    assert found["latency"]["toy"] == pytest.approx(table().latency(built))
    assert found["latency_with_idle"]["toy"] == pytest.approx(table().latency(SPACE.declared(genome)))
    assert found["latency_with_idle"]["toy"] > found["latency"]["toy"]
    assert "was fitted to networks with idle operations" in run(*given).stdout
    table().save(file)
    (plain,) = json.loads(run(*given, "--json").stdout)
    assert plain["latency_with_idle"] == {}


def test_the_objective_prices_places(file):
    _, latency = make_objective(f"latency:device={file}", SPEC)
    assert latency.table.latency(SPACE.network((0, 0, 0, 2, 0, 0))) > 16
    assert latency.remarks(SPEC, SPACE.network((0, 0, 0, 2, 0, 0)))


@pytest.mark.parametrize(
    ("idle", "said"),
    [("count", "WITHOUT IDLE OPERATIONS"), ("ignore", "IDLE OPERATIONS COST NOTHING"), (None, "")],
)
def test_a_search_hears_how_idle_operations_are_taken(file, idle, said):
    table(idle=idle).save(file)
    _, latency = make_objective(f"latency:device={file}", SPEC)
    lines = [one for one in latency.remarks(SPEC, SPACE.network((0, 0, 0, 2, 0, 0))) if "IDLE" in one]
    assert (len(lines), said in "".join(lines)) == (bool(said), True)


def test_validate_leaves_out_what_cannot_be_priced(file):
    rows = {key: row for key, row in table().blocks.items() if "AvgPool(kernel=3)" not in key}
    table(blocks=rows, places={}, idle="count").save(file)
    chosen = genomes(80)
    written(file.parent / "ms.csv", counting, chosen)
    given = ("validate", file, "--space", SPEC, "--csv", "ms.csv")
    figures = json.loads(run(*given, "--json").stdout)
    without = [one for one in chosen if 4 not in one]
    assert (figures["networks"], figures["left_out"]) == (len(without), len(chosen) - len(without))
    assert figures["unpriced"][0] == "AvgPool(kernel=3) @ 4x8x8"
    assert figures["spearman"] > 0.9
    printed = run(*given, "--save").stdout
    assert "left out" in printed
    assert "AvgPool(kernel=3) @ 4x8x8" in printed
    assert f"{figures['left_out']} networks left out" in LatencyTable.load(str(file)).validation[0].held_out


def test_validate_prices_blocks_without_a_row_by_operators(file):
    _, data = timed(counting)
    operators = fit_form(data, operators_only=True).fit.operators
    table(blocks={}, places={}, idle="count", operators=operators, method="fitted").save(file)
    written(file.parent / "ms.csv", counting, genomes(80))
    figures = json.loads(run("validate", file, "--space", SPEC, "--csv", "ms.csv", "--json").stdout)
    assert (figures["left_out"], figures["networks"]) == (0, len(genomes(80)))


def test_validate_refuses_if_nothing_can_be_priced(file):
    table(blocks={}, places={}).save(file)
    written(file.parent / "ms.csv", counting, genomes(20))
    refused = run("validate", file, "--space", SPEC, "--csv", "ms.csv")
    assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert "Cannot compare 'toy' with these networks: 20 networks left out" in refused.stderr
    assert " more" in refused.stderr
