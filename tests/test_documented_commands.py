"""Every command line of the README and of docs/ runs in a folder of its own, without published tables."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from documented import BUDGET, EXEMPT, PAGES, SETUPS, Page, command_lines, exemption, make_files, shorter, untested_text

from nasctl.cli import cli

SHELL = re.compile(r"[>|$;&]|^(?!nasctl )")  # lines that need a shell, rather than a call in this process


def lines_of(page):
    return [line for line in command_lines(untested_text(page)) if exemption(line) is None]


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """A folder with the files that pages take for granted, and the environment of a user who has nothing else."""
    for name in [name for name in os.environ if name.startswith(("NASCTL_", "XDG_"))]:
        monkeypatch.delenv(name)
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name, value in {"HOME": home, "COLUMNS": 80, "PATH": path, "NASCTL_BUDGET": BUDGET}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # with its own lock against measurements of this machine
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(folder)
    make_files(folder)
    return folder


def stdout_of(line):
    """Run a command line, which must not fail; returns what it prints."""
    if SHELL.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", line)):
        done = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    else:
        done = CliRunner().invoke(cli, shlex.split(line, comments=True)[1:])
        assert done.exit_code == 0, f"{line}\n{done.stdout}\n{done.stderr}\n{done.exception!r}"
    return done.stdout


def typed(line, page, folder):
    """The line that a reader of a page types who is in a hurry, with a value for each placeholder."""
    line = shorter(line)
    for start, options in page.more.items():
        if line.startswith(start) and options.split()[0] not in line:
            line = f"{line} {options}"
    for word, value in page.values.items():
        pattern = rf"(?<![\w-]){word}(?![\w-])" if word.isalpha() else word
        if re.search(pattern, line):
            line = re.sub(pattern, value if isinstance(value, str) else value(line, folder, stdout_of), line)
    return line


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if lines_of(name)])
def test_the_commands_of_a_page_run(name, clean):
    page = SETUPS.get(name, Page())
    for line in page.before:
        stdout_of(line)
    for line in lines_of(name):
        stdout_of(typed(line, page, clean))


def test_exemptions_are_needed():
    found = {exemption(line) for page in PAGES for line in command_lines(untested_text(page))}
    assert set(EXEMPT) <= found
    assert set(SETUPS) <= set(PAGES)
