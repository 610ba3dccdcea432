"""Ctrl-C in a search whose workers train: no step is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

TYPED = ["search", "--space", "nbmacro:resolution=8", "--data", "digits", "-o", "naswot,macs", "--epochs", "200"]


def events(folder, kind):
    """Return the steps of the events of one kind, by training."""
    found = {}
    for log in folder.glob("*-trainings/*/log.jsonl"):
        entries = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        found[log.parent.name] = [one["step"] for one in entries if one["event"] == kind]
    return found


def stopped(folder, kind, least):
    """Search until two trainings have an event of a step, press Ctrl-C, and return what the search has said."""
    typed = [sys.executable, "-m", "nasctl", *TYPED, "--budget", "4", "--trainings", "2", "--workers", "2"]
    process = subprocess.Popen(typed, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 120
    while sum(max(steps, default=0) >= least for steps in events(folder, kind).values()) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    return said


@pytest.mark.slow
def test_trainings_of_workers_go_on_after_their_last_step(tmp_path):
    said = stopped(tmp_path, "step", 5)
    assert "stopped after 0 trainings and a part of 2 further ones; this goes on:" in said
    last = {name: steps[-1] for name, steps in events(tmp_path, "step").items()}
    stopped(tmp_path, "resumed", 1)
    assert events(tmp_path, "resumed") == {name: [step] for name, step in last.items()}
