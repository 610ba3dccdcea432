"""Warnings about old names are a line for whoever typed them, and other warnings are Python's."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.registry import old_names

# A command that uses an old name, and a library that warns of something else.
WARNING = """
import warnings
from nasctl.cli import cli
from nasctl.commands import plugins
from nasctl.errors import RenamedWarning

def warn(**options):
    warnings.warn("old name", RenamedWarning)
    warnings.warn("a library says", UserWarning)

plugins.command.callback = warn
cli()
"""


@pytest.mark.filterwarnings("default::nasctl.errors.RenamedWarning")
def test_an_old_name_is_one_plain_line(monkeypatch):
    monkeypatch.setattr(old_names, "PLUGINS", {"spaces": {"nb_macro": "nbmacro"}})
    done = CliRunner().invoke(cli, ["space", "show", "nb_macro", "--json"])
    assert done.exit_code == 0
    assert done.stderr == "warning: the space 'nb_macro' is now called 'nbmacro'; use the new name\n"


def test_other_warnings_are_printed_as_ever():
    done = subprocess.run([sys.executable, "-c", WARNING, "plugins"], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["warning: old name", "<string>:9: UserWarning: a library says"]
