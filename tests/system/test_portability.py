"""Systems that lack what only POSIX, or only Linux, has: all works that needs none of it, and the rest says so."""

import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.system import memory_limit, signals
from nasctl.system.machine_lock import exclusive_machine, shared_machine
from nasctl.system.memory_limit import limited_memory

# As Python on such a system finds things.
ELSEWHERE = """
import os, signal, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
del os.set_blocking, signal.pthread_sigmask
from nasctl.cli import cli
cli()
"""
SEARCH = ["search", "--space=nbmacro", "--budget=30", "--searcher=random", "--json"]


def nasctl(folder, *words):
    command = [sys.executable, "-c", ELSEWHERE, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_without_posix_all_works_that_runs_no_network(tmp_path):
    assert nasctl(tmp_path, "--help").returncode == 0
    done = nasctl(tmp_path, *SEARCH, "-oparams,macs")
    assert (done.returncode, json.loads(done.stdout)["distinct"]) == (0, 30), done.stderr
    assert nasctl(tmp_path, "pareto", "show", "--json").returncode == 0


@pytest.mark.parametrize("words", [["-osnip,macs"], ["-osnip,macs", "--workers=2"]])
def test_without_posix_a_search_that_runs_networks_is_refused_in_one_sentence(words, tmp_path):
    done = nasctl(tmp_path, *SEARCH, *words)
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith("Error: what runs or times networks needs the file locks of Linux or macOS")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("lock", [exclusive_machine, shared_machine])
def test_without_file_locks_the_machine_is_not_locked(lock, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(NasctlError, match=r"which this system lacks; run it there, or on Windows in WSL$"), lock():
        pytest.fail("it was locked")


def test_without_resource_or_proc_memory_is_not_limited(monkeypatch, tmp_path):
    refused = pytest.raises(NasctlError, match=r"^--candidate-memory works on Linux alone; leave it out$")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "resource", None)
        with refused, limited_memory(10**9):
            pytest.fail("it was limited")
        with limited_memory(None):
            pass
    monkeypatch.setattr(memory_limit, "Path", lambda name: tmp_path / "none")
    with refused, limited_memory(10**9):
        pytest.fail("it was limited")


def test_without_posix_signals_the_first_interrupt_ends_a_command_in_python(monkeypatch):
    monkeypatch.delattr(os, "set_blocking")
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with signals.stoppable():
        assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def test_commands_import_nothing_that_only_posix_has():
    assert CliRunner().invoke(cli, ["search", "--help"]).exit_code == 0
    code = "import nasctl.workers, nasctl.commands.search, sys; sys.exit('nasctl.workers.worker' not in sys.modules)"
    without = "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None; "
    assert subprocess.run([sys.executable, "-c", without + code], check=False).returncode == 0
