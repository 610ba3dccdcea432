"""Waiting for a quiet machine."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from nasctl.errors import NasctlError
from nasctl.system import lock_holders, quiet_machine
from nasctl.system.machine_lock import exclusive_machine, machine_users, shared_machine
from nasctl.system.quiet_machine import BusyMeter, busy_processors, wait_until_quiet


def waited(samples, limit):
    taken, reports = iter(samples), []
    time = iter(range(0, 1000, 2))
    return wait_until_quiet(limit, lambda: next(taken), lambda: next(time), lambda *one: reports.append(one)), reports


def test_a_machine_is_quiet_after_three_quiet_samples():
    assert waited([0.0, 0.05, 0.0], 60) == (True, [(0.0, 58), (0.05, 56)])
    assert waited([0.0, 0.0, 2.0, 0.0, 0.0, 0.0], 60)[0]


def test_waiting_ends():
    assert waited([1.0] * 9, 8) == (False, [(1.0, 6), (1.0, 4), (1.0, 2)])


def test_the_use_of_processors_is_counted(monkeypatch):
    used = iter([10.0, 13.0])
    monkeypatch.setattr(quiet_machine, "_used", lambda: next(used))
    monkeypatch.setattr(quiet_machine.time, "sleep", lambda seconds: None)
    assert busy_processors(2.0) == pytest.approx(1.5)


def test_the_use_of_processors_during_a_block_is_counted(monkeypatch):
    used, seconds = iter([10.0, 13.0]), iter([5.0, 7.0])
    monkeypatch.setattr(quiet_machine, "_used", lambda: next(used))
    monkeypatch.setattr(quiet_machine.time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(quiet_machine.os, "cpu_count", lambda: 4)
    with BusyMeter() as meter:
        pass
    assert meter.processors == pytest.approx(1.5)
    assert meter.remark == "other processes kept 1.5 of 4 processors busy"


def test_a_system_that_does_not_count_is_not_called_busy(monkeypatch):
    def uncounted():
        raise NasctlError("no /proc/stat")

    monkeypatch.setattr(quiet_machine, "_used", uncounted)
    with BusyMeter() as meter:
        pass
    assert (meter.processors, meter.remark) == (None, "")


def test_the_lock_of_the_machine_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # apart from searches on this machine
    said = []
    with ExitStack() as held:
        held.enter_context(shared_machine())
        with pytest.raises(NasctlError, match="a search is running"), exclusive_machine(0.01):
            pass

        def ends():
            said.append("waits")
            held.close()  # the search ends while it is waited for

        with exclusive_machine(60, ends):
            pass
    with exclusive_machine(60, ends):  # free at once
        assert said == ["waits"]


SEARCH = """
import sys
from nasctl.system.machine_lock import shared_machine
with shared_machine():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists locks")
def test_the_processes_that_hold_the_lock_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = [sys.executable, "-c", SEARCH, "/bin/nasctl", "search", "nb201"]
    given = {"env": {**os.environ, "TMPDIR": str(tmp_path)}, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **given) as search:
        assert search.stdout.readline() == b"held\n"
        who = f"process {search.pid} (nasctl search nb201)"
        assert machine_users() == who
        refused = pytest.raises(NasctlError, match=f"a search is running on this machine: {re.escape(who)}. Type the")
        with refused, exclusive_machine():
            pass
        with exclusive_machine(beside=True) as searched, shared_machine():  # further searches begin beside it
            assert searched
            refused = pytest.raises(NasctlError, match=f"measuring on this machine: process {os.getpid()} ")
            with refused, exclusive_machine(beside=True):
                pass
        search.stdin.close()
    assert machine_users() == ""
    with exclusive_machine(beside=True) as searched:
        assert not searched


def test_processes_are_counted_and_long_commands_cut(monkeypatch):
    monkeypatch.setattr(lock_holders, "_command", lambda pid: "")
    assert lock_holders.processes_text([1, 2, 3, 4, 5]) == "process 1, process 2, process 3, 2 more"
    assert lock_holders.processes_text([]) == ""
