"""`--help` of every command, and the commands `help` and `version`."""

import shlex

import click
import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.commands._examples import EXAMPLES
from nasctl.commands._types import OutputPath
from nasctl.registry.version import __version__


def _walked(command, path=()):
    ctx = click.Context(command, info_name=path[-1] if path else "nasctl")
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name in command.list_commands(ctx):
        yield from _walked(command.get_command(ctx, name), (*path, name))


COMMANDS = {" ".join(path): command for path, command in _walked(cli) if path}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_examples_of_the_command(name):
    lines = [line.strip() for line in (COMMANDS[name].epilog or "").splitlines()]
    examples = [shlex.split(line) for line in lines if line.startswith("nasctl ")]
    assert examples, f"nasctl {name} --help has no example; see nasctl/commands/_examples.py"
    options = {word for one in COMMANDS[name].params for word in (*one.opts, *one.secondary_opts)}
    for words in examples:
        length = len(name.split())
        assert words[1 : 1 + length] == name.split()
        assert {word for word in words if word.startswith("-")} <= options
        required = [one for one in COMMANDS[name].params if one.required]
        assert len(words) > length + len(required)
        assert all(set(one.opts) & set(words) for one in required if isinstance(one, click.Option))


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_stand_at_the_end_alone_and_no_mark_of_click_is_shown(name):
    said = CliRunner().invoke(cli, [*name.split(), "--help"]).stdout
    assert "\\b" not in said
    assert said.count("\n  Example") == (COMMANDS[name].epilog is not None)


def test_there_are_no_examples_of_commands_that_do_not_exist():
    assert EXAMPLES.keys() <= COMMANDS.keys()


GROUPS = ["", *sorted({name.rpartition(" ")[0] for name in COMMANDS if " " in name})]


def test_every_group_is_tried():
    assert {"bench", "data", "device", "objective", "pareto", "runs", "supernet", "train"} <= set(GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_summaries_are_whole_at_80_columns(group):
    said = CliRunner().invoke(cli, [*group.split(), "--help"], terminal_width=80).stdout
    listed = said.partition("Commands:\n")[2]
    assert listed
    assert not any(line.endswith("...") for line in listed.splitlines())
    assert max(map(len, listed.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_output_may_be_a_new_folder(name):
    outputs = [one for one in COMMANDS[name].params if {"-o", "--output", "--out", "--plot", "--table"} & set(one.opts)]
    paths = [one for one in outputs if isinstance(one.type, click.Path)]
    assert all(isinstance(one.type, OutputPath) or one.metavar == "DIR" for one in paths)


def test_help_is_a_command():
    def out(*words):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    assert out("help") == out("--help")
    assert out("help", "device", "profile").splitlines()[1:] == out("device", "profile", "--help").splitlines()[1:]
    assert out("help", "search").splitlines()[0].endswith("search [OPTIONS] [SPACE]")
    refused = CliRunner().invoke(cli, ["help", "serch"])
    assert (refused.exit_code, refused.stderr) == (2, "Error: no command is called 'serch'; did you mean 'search'?\n")
    assert CliRunner().invoke(cli, ["help", "show", "me"]).exit_code == 2


def test_version_is_a_command():
    said, option = (CliRunner().invoke(cli, [word]).stdout.split()[-1] for word in ("version", "--version"))
    assert said == option == __version__
