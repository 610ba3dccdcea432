"""Sentences about latency and devices that commands print where a user would otherwise meet a riddle."""

import json
import re

import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.cli import cli
from nasctl.commands.device import with_progress
from nasctl.errors import BadOption
from nasctl.hardware.profiling.profile import ProfileProgress
from nasctl.search.metrics import make_objective


def run(*words, **given):
    return CliRunner().invoke(cli, [str(word) for word in words], **given)


def test_a_latency_needs_a_device():
    with pytest.raises(BadOption, match="Cannot predict a latency without a device"):
        make_objective("latency", "nb201")


def test_architectures_may_come_from_the_standard_input():
    found = run("device", "predict", "-", "--device", "raspi4-nb201", "--json", input="nb201-00sq\n\nnb201-00sq\n")
    assert [one["arch"] for one in json.loads(found.stdout)] == ["nb201-00sq"] * 2
    nothing = run("device", "predict", "-", "--device", "raspi4-nb201", input="")
    assert (nothing.exit_code, "holds no architecture" in nothing.stderr) == (2, True)


def test_a_profile_of_a_space_names_the_table_and_its_error():
    found = run("space", "profile", "nbmacro", "--device", "gpu", "-n", 2)
    assert "latency@gpu: table titan-rtx-b64; held-out error: NOT VALIDATED for nbmacro; elsewhere 0.3%" in found.stdout
    (*_, latency) = json.loads(run("space", "profile", "nbmacro", "--device", "gpu", "-n", 2, "--json").stdout)
    assert latency["table"] == "titan-rtx-b64"
    assert latency["error"].startswith("NOT VALIDATED")


def test_a_runtime_that_is_not_stated_is_said_in_a_sentence():
    refused = run("device", "validate", "raspi4-nb201", "--space", "nb201")
    assert refused.exit_code == 2
    assert "Cannot measure 'raspi4-nb201' here: the source of its table does not state the runtime" in refused.stderr


@pytest.mark.parametrize(("space", "where"), [("mbconv", "held-out error: "), ("mnasnet", "on other networks: ")])
def test_the_error_of_a_table_on_another_space_is_said_to_be_of_other_networks(space, where):
    made = registry.create("spaces", space)
    network = made.network(made.canonical((0,) * len(made.genes)))
    first, *others = registry.create("objectives", "latency:device=x86-torch").remarks(space, network)
    assert where in first
    assert "whole random networks of mbconv" in first
    assert (" on other networks" in first) == (space != "mbconv")
    assert any(line.startswith(f"NOT VALIDATED for {space}") for line in others) == (space != "mbconv")


@pytest.mark.parametrize("device", ["x86-torch", "pixel4", "raspi4-nb201", "fpga-nb201"])
def test_what_is_not_known_of_a_device_is_left_out(device):
    facts = run("device", "show", device).stdout.partition("\nblock\t")[0]
    assert facts.startswith("device")
    assert not re.search(r"^\w+ +(None|\{.*)$", facts, re.MULTILINE)


def test_rounds_that_time_noisy_blocks_again_are_counted(capsys):
    steps = [ProfileProgress(9, 10, 3), ProfileProgress(10, 10, 3), ProfileProgress(10, 10, 2, 1, 12)]
    assert list(with_progress(iter(steps))) == steps
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == [
        "10 of 10 visits, 3 too noisy",
        "10 of 10 visits, 2 too noisy, timed again: round 1 of at most 12",
    ]
