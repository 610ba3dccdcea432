"""Options reach a command in groups, and stay the options that they were."""

import inspect
import json

import click
import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.commands._groups import GroupedCommand, OptionGroup

SIZE = OptionGroup(
    "size", "Size", dict, (click.option("--width", default=3), click.option("--height", "tall", default=4))
)


@click.command(cls=GroupedCommand, groups=(SIZE,))
@click.option("--name", default="a")
@SIZE
@click.option("--json", "as_json", is_flag=True)
def toy(name, size, as_json):
    click.echo(json.dumps([name, size, as_json]))


def test_a_command_gets_one_value_for_a_group():
    done = CliRunner().invoke(toy, ["--height=7", "--json"])
    assert json.loads(done.stdout) == ["a", {"width": 3, "tall": 7}, True]


def test_help_lists_groups_under_their_headings_and_options_in_the_order_of_the_code():
    shown = CliRunner().invoke(toy, ["--help"]).stdout
    words = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert words == ["Usage:", "Size:", "--width", "--height", "Options:", "--name", "--json", "--help"]
    assert [parameter.name for parameter in toy.params] == ["name", "width", "tall", "as_json"]


MEASURED = {"fidelity": "", "data": None, "torch-device": "cpu"}
WORKERS = {"workers": None, "gpus": "", "cluster": "", "candidate-time": None, "candidate-memory": None}
OPTIONS = {  # and their defaults
    "search": {
        **{"space": None, "device": None, "objective": None, "record": None, "constraint": None},
        **{"searcher": "guided", "budget": 300, "time": None, "seed": 0, "weights-seed": 0},
        **{**MEASURED, **WORKERS, "threads": 1, "run": "", "store": "nasctl.db", "json": False},
        **{"config": None, "set": None, "task": None, "no-references": False},
        **{"trainings": None, "recipe": "", "epochs": 0, "split": "0.8,0.1,0.1", "split-seed": 0},
    },
    "objective score": {
        **{"space": None, "objective": None, "genomes": None, "sample": None, "all": False, "output": None},
        **{
            "force": False,
            "retry": False,
            "seed": 0,
            **MEASURED,
            **WORKERS,
            "threads": 1,
            "store": "nasctl.db",
            "csv": False,
            "json": False,
        },
    },
    "objective correlate": {
        **{"space": None, "objective": None, "truth": None, "column": None, "lower-is-better": False, "sample": 200},
        **{"score": None, "few": None, "seed": 0, **MEASURED, "store": "nasctl.db", "csv": False, "json": False},
    },
    "objective calibrate": {
        **{"space": None, "objective": None, "form": None, "sample": 30, "seed": 0, "data": None},
        **{"torch-device": "cpu", "store": "nasctl.db", "csv": False, "json": False},
    },
    "train": {
        **{"arch": None, "space": None, "data": None, "split": "0.8,0.1,0.1", "split-seed": 0, "from": None},
        **{"name": ""},
        **{"recipe": None, "epochs": None, "set": None, "print-recipe": False, "dry-run": False, "seed": 0},
        **{"torch-device": "cpu", "threads": 1, "data-workers": None, "log": None, "tensorboard": False},
        **{"store": "nasctl.db", "json": False, "gpus": "", "processes": None, "cluster": ""},
        **{"run": None, "top": None, "halving": None, "rungs": None},
    },
    "runs retry": {"objective": None, "data": None, **WORKERS, "store": "nasctl.db", "csv": False, "json": False},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_grouped_commands_have_these_options_and_defaults(name):
    command = cli
    for word in name.split():
        command = command.get_command(click.Context(command), word)
    options = [one for one in command.params if isinstance(one, click.Option)]
    found = {max(one.opts, key=len).removeprefix("--"): one.to_info_dict()["default"] for one in options}
    assert found == OPTIONS[name]
    variables = {option.envvar for option in options if option.envvar}
    assert variables == ({"NASCTL_BUDGET", "NASCTL_STORE"} if name == "search" else {"NASCTL_STORE"})


def test_search_takes_few_parameters():
    from nasctl.commands import search

    assert len(inspect.signature(inspect.unwrap(search.command.callback)).parameters) <= 8
