"""The command `nasctl device adapt`."""

import json

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.architectures import ids
from nasctl.architectures.references import references
from nasctl.cli import cli
from nasctl.hardware.distinct_blocks import distinct_genomes
from nasctl.hardware.table import LatencyTable

SPACE = registry.create("spaces", "mbconv")
GENOMES = [SPACE.canonical(genome) for genome in distinct_genomes(SPACE, 6, seed=5)]


def run(*words):
    return CliRunner().invoke(cli, ["device", "adapt", *map(str, words)])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path, price, genomes=GENOMES[:5], name=lambda genome: ids.encode("mbconv", SPACE.genes, genome)):
    lines = [f"{name(genome)},{price(SPACE.network(genome)):.9g}" for genome in genomes]
    path.write_text("\n".join(["arch,ms", *lines, ""]))


def test_a_factor_of_one_table_is_found(folder):
    written(folder / "five.csv", lambda network: 1.7 * LatencyTable.load("note10").latency(network))
    found = run("note10", "--csv", "five.csv", "--name", "mine", "--json")
    facts = json.loads(found.stdout)
    assert facts["factors"] == {"note10": pytest.approx(1.7, rel=1e-5)}
    table = LatencyTable.load("mine.json")
    (error,) = table.validation
    assert (error.number, error.spaces) == (5, ("mbconv",))
    assert error.mape == pytest.approx(0, abs=0.01)
    assert error.held_out == "whole networks; each predicted by a fit to the other 4"
    assert (table.kind, table.method, table.monotone) == ("mobile", "modelled", True)
    assert table.command == "nasctl device adapt note10 --csv five.csv --name mine"
    unseen = SPACE.network(GENOMES[5])
    assert table.latency(unseen) == pytest.approx(1.7 * LatencyTable.load("note10").latency(unseen), rel=1e-5)
    assert "next: nasctl search --space mbconv --device mine.json" in found.stderr


def test_all_listed_tables_are_mixed_by_default(folder):
    tables = [LatencyTable.load(name) for name in ("note10", "x86-torch")]
    written(folder / "five.csv", lambda network: tables[0].latency(network) + 0.5 * tables[1].latency(network))
    found = run("--csv", "five.csv", "--name", "mine", "-o", "new dir/")
    assert found.exit_code == 0, found.output
    table = LatencyTable.load("new dir/mine.json")
    unseen = SPACE.network(GENOMES[5])
    assert table.latency(unseen) == pytest.approx(
        sum(w * t.latency(unseen) for w, t in zip((1, 0.5), tables, strict=True)), rel=0.05
    )
    assert "error by leaving one out: " in found.stdout


def test_one_measurement_is_a_factor(folder):
    written(folder / "one.csv", lambda network: 2 * LatencyTable.load("note10").latency(network), GENOMES[:1])
    found = run("note10", "--csv", "one.csv", "--name", "mine")
    table = LatencyTable.load("mine.json")
    assert table.latency(SPACE.network(GENOMES[3])) == pytest.approx(
        2 * LatencyTable.load("note10").latency(SPACE.network(GENOMES[3])), rel=1e-5
    )
    assert table.validation == ()
    assert "NOT VALIDATED" in found.stderr


def test_architectures_may_be_genomes_files_of_a_kit_and_references(folder):
    note10 = LatencyTable.load("note10").latency
    written(folder / "a.csv", note10, name=lambda genome: f'"{",".join(map(str, genome))}"')
    written(folder / "b.csv", note10, name=lambda one: f"kit/network-{ids.encode('mbconv', SPACE.genes, one)}.onnx")
    plain = run("note10", "--csv", "a.csv", "--name", "a", "--space", "mbconv")
    assert plain.exit_code == 0, plain.output
    assert run("note10", "--csv", "b.csv", "--name", "b").exit_code == 0
    assert LatencyTable.load("a.json").digest == LatencyTable.load("b.json").digest
    if known := references(SPACE):
        names = {one.genome: name for name, one in known.items()}
        written(folder / "c.csv", note10, list(names), names.__getitem__)
        assert run("note10", "--csv", "c.csv", "--name", "c", "--space", "mbconv").exit_code == 0


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("arch,ms\nnb201-00sq,3\n", ("note10",), "it has no figure of"),
        ("arch,ms\nnb201-00sq,0\n", (), "no latency above 0 ms"),
        ("arch,ms\nnb201-00sq,fast\n", (), "no latency above 0 ms"),
        ("arch,ms\n", (), "holds no measurement"),
        ("nb201-00sq\n", (), "holds no measurement"),
        ('arch,ms\n"0,1,2,3,4,0",3\n', (), "give it with --space"),
        ("arch,ms\nnb201-00sq,3\nnbmacro-0000,3\n", (), "network 2"),
        ("arch,ms\nnb201-00sq,3\n", ("--column", "s"), "no column of"),
    ],
)
def test_what_cannot_be_adapted_is_refused(folder, text, words, said):
    (folder / "few.csv").write_text(text)
    refused = run(*words, "--csv", "few.csv", "--name", "mine")
    assert (refused.exit_code, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert said in refused.stderr
    assert not (folder / "mine.json").exists()
