"""The published networks of a space as the command line lists them, and their names in place of architectures."""

import json

import pytest
from click.testing import CliRunner

from nasctl.cli import cli


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoked(*words, code=0):
        result = CliRunner().invoke(cli, list(words))
        assert result.exit_code == code, result.output
        return result

    return invoked


def test_the_list_has_costs_accuracy_and_source(run):
    result = run("space", "references", "mbconv:width=1.0", "--device", "mobile")
    head, first, second, third = (line.split("\t") for line in result.stdout.splitlines())
    assert head == ["network", "params", "macs", "latency@mobile (ms, batch 1)", "published accuracy", "source"]
    assert first == [
        "mobilenetv3-large", "5.508 M", "221.6 M", "21.71", "75.20%", "Howard et al., ICCV 2019, tables 1 and 3"
    ]  # fmt: skip
    assert second[:5] == ["ofa-pixel1-20ms", "4.305 M", "153.1 M", "15.74", "-"]
    assert third[:5] == ["ofa-note8-31ms", "4.596 M", "200.4 M", "20.23", "-"]
    assert "ofa-pixel1-20ms: resolution=224 (published with 152)" in result.stderr
    said = " ".join(result.stderr.split())
    assert "not in mbconv:width=1.0: mobilenetv3-small (its stages have other channels" in said
    assert "; ofa-note10-30ms (give width=1.2)" in said
    assert "other spaces have other published networks: " in said
    assert " resnet (1)," in said


def test_the_list_as_json(run):
    (resnet,) = json.loads(run("space", "references", "resnet", "--json").stdout)
    assert set(resnet) == {"name", "id", "genome", "accuracy", "source", "remark", "params", "macs"}
    assert (resnet["name"], resnet["params"], resnet["accuracy"]) == ("resnet-50d", 25_576_264, 0.7716)
    assert run("space", "references", "bossnas", "--json").stdout == "[]\n"
    assert "bossnas has no reference networks" in run("space", "references", "bossnas").stderr


def test_a_name_is_an_architecture_of_other_commands(run):
    shown = run("show", "MobileNetV3Large", "--json")
    assert json.loads(shown.stdout)["params"] == 7_639_472
    assert "mobilenetv3-large is a network of mbconv (" in shown.stderr
    predicted = run(
        "device", "predict", "mobilenetv3_large", "--space", "mbconv:width=1.0", "--device", "mobile", "--json"
    )
    assert "21.7" in predicted.stdout
    run("export", "--arch", "nb201-resnet", "--format", "json", "-o", "out.json")


def test_a_search_takes_a_name_as_a_bound_and_ends_with_the_verdict(run):
    words = ("search", "--space", "attentivenas", "-o", "params,macs", "--budget", "20", "-c", "macs<=attentivenas-a2")
    result = run(*words)
    assert "subject to: macs<=316.73M (as attentivenas-a2 has)" in result.stderr
    assert "reference networks, " in result.stderr
    without = run(*words, "--no-references")
    assert "reference networks" not in without.stderr
    assert (
        "is bounded by 'mobilenetv9'; give a number, or attentivenas-a0"
        in run(*words[:-1], "macs<=mobilenetv9", code=2).stderr
    )
