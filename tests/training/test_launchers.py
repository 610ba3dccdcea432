"""Commands that train by several processes: killed, stopped and orphaned processes, torchrun and Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from paths import ROOT
from sessions import members
from training.examples import equal
from training.test_distributed import NEXT

from nasctl.training import trained_weights
from nasctl.training.checkpoint import steps

QUICK_OPTIONS = ["--epochs", "6", "--set", "recovery=20", "--set", "checkpoint=0.01"]


def command(folder, *options, launcher=("-m", "nasctl")):
    """A command that trains a small network on digits for 132 steps, in a folder, with its own process group."""
    arguments = [sys.executable, *launcher, "train", *NEXT, *QUICK_OPTIONS, "--name", "t", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        arguments, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process, code=0):
    """Wait for a command, and return its messages."""
    said = process.communicate(timeout=300)[1]
    assert process.returncode == code, said
    return said


def weights(folder):
    return trained_weights.read(folder / "nasctl-trainings" / "t" / "weights.safetensors")[0]


def wait_for_step(folder, step):
    """Wait until the log has a step."""
    log = folder / "nasctl-trainings" / "t" / "log.jsonl"
    for _ in range(3000):
        if log.exists() and f'"step": {step},' in log.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the training does not begin")


def descendants(process):
    """The processes of the session that a command began, by their number, with their command lines."""
    found = {}
    for number in members(process.pid):
        with suppress(OSError):
            if number != process.pid:
                found[number] = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def ranks_of(process):
    """Numbers of the processes that train, in the order in which they were started."""
    return sorted(number for number, line in descendants(process).items() if "spawn_main" in line)


def no_orphans(process):
    """Wait until all processes of a command have ended; those that decode images look for their parent every 5 s."""
    for _ in range(200):
        if not descendants(process):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(command(folder, "--processes", "2"))
    return weights(folder)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_stops_all_and_the_same_command_ends_in_the_same_bits(tmp_path, undisturbed, rank):
    process = command(tmp_path, "--processes", "2")
    wait_for_step(tmp_path, 30)
    os.kill(ranks_of(process)[rank], signal.SIGKILL)
    said = finish(process, 2).splitlines()
    expected = f"Error: Cannot train on: process {rank + 1} of 2 was ended by SIGKILL, perhaps for lack of memory."
    assert said[-1].startswith(expected)
    assert no_orphans(process)
    assert "goes on after step" in finish(command(tmp_path, "--processes", "2"))
    assert equal(weights(tmp_path), undisturbed)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_request_leaves_a_checkpoint_and_the_same_command_ends_in_the_same_bits(tmp_path, undisturbed, number):
    process = command(tmp_path, "--processes", "2", "--set", "checkpoint=5")
    wait_for_step(tmp_path, 30)
    os.killpg(process.pid, number)  # as a terminal does
    assert "stopped after step" in finish(process, 128 + number)
    assert no_orphans(process)
    (last, *_) = sorted(steps(tmp_path / "nasctl-trainings" / "t"), reverse=True)
    assert last % 20  # no recovery point, but the step of the request
    assert f"goes on after step {last}" in finish(command(tmp_path, "--processes", "2"))
    assert equal(weights(tmp_path), undisturbed)


@linux
@pytest.mark.slow
def test_no_process_outlives_a_killed_command(tmp_path, undisturbed):
    process = command(tmp_path, "--processes", "2", "--data-workers", "1")
    wait_for_step(tmp_path, 30)
    assert len(descendants(process)) >= 4
    process.kill()
    process.communicate()
    assert no_orphans(process)
    finish(command(tmp_path, "--processes", "2"))
    assert equal(weights(tmp_path), undisturbed)


TORCHRUN_COMMAND = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nasctl")


@pytest.mark.slow
def test_torchrun_ends_in_the_same_bits_after_a_stop(tmp_path, undisturbed):
    process = command(tmp_path, launcher=TORCHRUN_COMMAND)
    wait_for_step(tmp_path, 30)
    process.terminate()
    process.communicate(timeout=100)
    assert process.returncode
    assert no_orphans(process)
    said = finish(command(tmp_path, launcher=TORCHRUN_COMMAND))
    assert said.count("goes on after step") == said.count("\ntest accuracy ") == 1  # only the first process reports
    assert equal(weights(tmp_path), undisturbed)


@pytest.mark.slow
def test_torchrun_trains_several_networks_and_passes_over_finished_ones(tmp_path):
    arguments = [sys.executable, *TORCHRUN_COMMAND, "train", "--data", "digits", "--epochs", "1", "--json"]
    arguments += ["--space", "nb201:resolution=8,cells=1", "--arch", "0,0,0,0,0,0", "--arch", "3,3,3,3,3,3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    first, second = (
        subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True) for _ in range(2)
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert json.loads(first.stdout) == json.loads(second.stdout)
    assert second.stderr.count("is finished (took ") == 2


@pytest.mark.slow
def test_processes_of_a_ray_cluster_end_in_the_same_bits(tmp_path, undisturbed):
    pytest.importorskip("ray")
    said = finish(command(tmp_path, "--cluster", "ray", "--processes", "2"))
    assert "test accuracy" in said
    assert equal(weights(tmp_path), undisturbed)


@pytest.mark.slow
def test_a_ray_cluster_without_room_is_refused(tmp_path):
    pytest.importorskip("ray")
    said = finish(command(tmp_path, "--cluster", "ray", "--processes", "40"), 2)
    assert "Cannot train by 40 processes: the Ray cluster has room for" in said


def actors():
    """Numbers of the processes in which Ray trains, by rank."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if (entry / "cmdline").read_bytes().startswith(b"ray::_Rank"):
                found.append(int(entry.name))
    return sorted(found)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("ending", ["kill", "Ctrl-C"])
def test_processes_of_a_ray_cluster_that_end_early_are_taken_up_again(tmp_path, undisturbed, ending):
    pytest.importorskip("ray")
    process = command(tmp_path, "--cluster", "ray", "--processes", "2")
    wait_for_step(tmp_path, 30)
    if ending == "kill":
        os.kill(actors()[1], signal.SIGKILL)
        said = finish(process, 2).splitlines()
        assert "of 2 of the Ray cluster has died" in said[-1]
    else:
        os.killpg(process.pid, signal.SIGINT)
        assert "stopped after step" in finish(process, 130)
    assert "goes on after step" in finish(command(tmp_path, "--processes", "2"))
    assert equal(weights(tmp_path), undisturbed)


@linux
@pytest.mark.slow
def test_torchrun_begins_again_after_a_killed_process(tmp_path, undisturbed):
    launcher = (*TORCHRUN_COMMAND[:2], "--max-restarts", "1", *TORCHRUN_COMMAND[2:])
    process = command(tmp_path, launcher=launcher)
    wait_for_step(tmp_path, 30)
    numbers = [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    os.kill(max(numbers), signal.SIGKILL)
    assert "goes on after step" in finish(process)
    assert equal(weights(tmp_path), undisturbed)
