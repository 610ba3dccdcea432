"""Every command that the documentation names exists, with the options that it names."""

import re
import shlex

import click
import pytest
from paths import ROOT

from nasctl.cli import cli

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROSE = re.compile(r"`(nasctl [^`]*)`")
SCRIPT = re.compile(r"python (?:perf/|-m perf\.)(\w+)((?:\.py)?(?:\s+[^\s`]+)*)")  # its name, and the words behind it


def commands(text):
    """The commands of a page: of blocks of code line by line, of prose between backticks over lines."""
    blocks = re.findall(r"^```\w*\n(.*?)^```|(?<=\n\n)((?:    [^\n]*\n)+)", text, re.MULTILINE | re.DOTALL)
    for block in map("".join, blocks):
        yield from re.findall(r"^ *(?:\$ )?(nasctl .*)$", block.replace("\\\n", " "), re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(found.split()) for found in PROSE.findall(prose))


def words_of(command):
    try:
        return shlex.split(command.partition("  #")[0])[1:]
    except ValueError:  # an ellipsis or a quote of prose
        return command.split()[1:]


def unknown(command):
    """The first word of a command line that is neither a command nor one of its options; None if there is none."""
    found, rest = cli, words_of(command)
    while isinstance(found, click.Group) and rest and re.fullmatch(r"[a-z]+", rest[0]):
        if rest[0] not in found.list_commands(None):
            return rest[0]
        found, rest = found.get_command(None, rest[0]), rest[1:]
    options = {name for one in found.params for name in (*one.opts, *one.secondary_opts)} | {
        "--help",
        "-h",
        "--version",
    }
    given = (word.partition("=")[0].rstrip(".,;:)") for word in rest if re.match(r"--[a-z]", word))
    return next((word for word in given if word not in options), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_page_exists(page):
    found = list(commands(page.read_text()))
    assert [(command, unknown(command)) for command in found if unknown(command)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_script_of_a_page_has_the_options_that_the_page_names(page):
    for part in re.split(r"`|\n\n|(?<=\w)\n    ", page.read_text()):
        for name, words in SCRIPT.findall(part):
            source = (ROOT / "perf" / f"{name}.py").read_text()
            assert [word for word in re.findall(r"--[a-z][a-z-]*", words) if f'"{word}"' not in source] == [], name


def test_a_wrong_command_is_noticed():
    prose, block = "Type `nasctl pareto\nplot --colour red`.\n\n", "```console\nnasctl serach --space nb201\n```\n\n"
    page = f"{prose}{block}    nasctl show ARCH\n"
    found = {command: unknown(command) for command in commands(page)}
    assert found == {
        "nasctl pareto plot --colour red": "--colour",
        "nasctl serach --space nb201": "serach",
        "nasctl show ARCH": None,
    }
