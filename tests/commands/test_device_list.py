"""The devices that are listed and shown."""

import json

from click.testing import CliRunner
from commands.pseudo_terminal import in_terminal

from nasctl import registry
from nasctl.cli import cli


def test_devices_are_listed_and_shown():
    listed = json.loads(CliRunner().invoke(cli, ["device", "list", "--json"]).stdout)
    assert [one["name"] for one in listed] == registry.names("devices")
    facts = {one["name"]: one for one in listed}
    assert (facts["v100-b64"]["batch"], facts["v100-b64"]["method"]) == (64, "fitted")
    assert "NVIDIA V100" in CliRunner().invoke(cli, ["device", "list"]).stdout
    shown = json.loads(CliRunner().invoke(cli, ["device", "show", "note10", "--space", "mbconv", "--json"]).stdout)
    assert len(shown["blocks"]) == 96
    assert {block["origin"] for block in shown["blocks"]} == {"modelled"}
    other = CliRunner().invoke(cli, ["device", "show", "note10", "--space", "mbconv:width=0.9"])
    assert "modelled" in other.stdout
    assert "was not validated for mbconv:width=0.9" in other.stderr
    foreign = json.loads(CliRunner().invoke(cli, ["device", "show", "v100-b64", "--space", "nb201", "--json"]).stdout)
    assert {"missing", "modelled", "free"} == {block["origin"] for block in foreign["blocks"]}
    assert foreign["covers"] == {"nb201": False}


def lines_on_a_terminal(monkeypatch, *words):
    return in_terminal(["device", "list", *words], 80, monkeypatch)


def test_the_list_fits_two_screens_and_says_how_to_see_all(monkeypatch):
    lines = lines_on_a_terminal(monkeypatch)
    assert len(lines) <= 2 * 24 - 1  # the prompt takes a line
    shown = [line.split()[0] for line in lines if line[:1].isalnum()]
    assert "titan-rtx-b64" in shown  # the table that "gpu" stands for on mbconv
    assert "titan-rtx-b32" not in shown
    assert set(registry.names("devices")) <= {line.split(" ")[0] for line in lines_on_a_terminal(monkeypatch, "--all")}
    gpus = {line.split(" ")[0] for line in lines_on_a_terminal(monkeypatch, "--kind", "gpu")}
    assert {"titan-rtx-b32", "v100-b1"} <= gpus


def test_a_list_without_a_device_says_so_and_what_to_do():
    done = CliRunner().invoke(cli, ["device", "list", "--space", "mbconv:resolution=160,width=0.75", "--validated"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("no table was compared with timed networks on mbconv:resolution=160,width=0.75; ")
    done = CliRunner().invoke(cli, ["device", "list", "--space", "nb101", "--kind", "mobile", "--json"])
    assert json.loads(done.stdout) == []


def test_validated_tables_are_listed_with_their_error_on_timings():
    words = ["device", "list", "--space", "mbconv"]
    every = CliRunner().invoke(cli, words).stdout
    timed = CliRunner().invoke(cli, [*words, "--validated"]).stdout
    assert "which nobody timed" in every
    assert "sums" not in timed
    (row,) = (line for line in timed.splitlines() if line.startswith("note10"))
    assert row.endswith("3.3%, Spearman 0.9968, 1547 inverted residuals, single blocks")
    assert "40 whole random networks of mbconv" in timed
    ten = CliRunner().invoke(cli, ["device", "list", "--space", "mbconv:classes=10", "--validated", "--csv"]).stdout
    assert "x86-torch" in ten
    assert {line.split(",")[0] for line in ten.splitlines()[1:]} == {
        line.split("\t")[0] for line in timed.splitlines()[1:]
    }
