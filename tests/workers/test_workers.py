"""Whoever measures, and whatever befalls them, a run is the same."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch

from nasctl import registry
from nasctl.candidates.setting import Setting
from nasctl.errors import NasctlError, UnknownName
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation
from nasctl.search.loop import search
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.testing import Chain
from nasctl.workers import WorkerOptions, open_executor

TWO = WorkerOptions(2)
RUN = Run(
    "nb201:channels=4,cells=1", ("synflow", "naswot", "macs"), "nsga2", setting=Setting(fidelity=Fidelity(batch=8))
)


class Toy:
    """The number of a genome, and what else a plug-in may do to the one who calls it."""

    unit, direction, transform, needs, version = "s", "max", "identity", frozenset({"module"}), "1"

    def __init__(self, folder=None, **happens):
        self.folder, self.happens = folder, {number: what for what, number in happens.items()}

    def __call__(self, candidate):
        number = sum(choice << k for k, choice in enumerate(candidate.genome))
        what = self.happens.get(number)
        return float(number) if what is None else getattr(self, what)()

    def printing(self):
        print("noise of a plug-in", flush=True)
        return 0.5

    def stirring(self):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
        return random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002

    def nan(self):
        return float("nan")

    def raising(self):
        raise ValueError("no such thing")

    def leaving(self):
        sys.exit(3)

    def hanging(self):
        time.sleep(1000)

    def hungry(self):
        return float(torch.zeros(10**9).sum())  # 4 GB

    def dying(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def unlucky(self):
        if (struck := Path(self.folder, "struck")).exists():
            return 0.25
        struck.touch()
        return self.dying()

    def mistaken(self):
        raise UnknownName("toy", "tyo", ["toy"])


class Hanging(Toy):
    """Says that it hangs, and hangs."""

    def __call__(self, candidate):
        Path(self.folder, f"hangs-{os.getpid()}").touch()
        self.hanging()


class Slow(Toy):
    """Takes a while."""

    def __call__(self, candidate):
        time.sleep(0.05)
        return super().__call__(candidate)


class Drawn(Toy):
    """Draws from generators that everybody shares."""

    def __call__(self, candidate):
        return random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002


def searched(path, options, budget=16, deadline=float("inf"), **metrics):
    """What a search of 64 toy networks finds."""
    task = Task(Chain(depth=6), metrics)
    searcher = registry.create("searchers", "random", SearchProblem(task), np.random.default_rng(0))
    journal = Store(path).journal("run", task.record("chain"))
    with open_executor(options, task) as executor:
        return [visit.evaluation for visit in search(task, searcher, journal, budget, deadline, executor)]


def numbered(path):
    """The toy number of each candidate of that search, in order."""
    return [int(one.values["toy"]) for one in searched(path, WorkerOptions(), toy=Toy())]


@pytest.mark.parametrize("number", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_many_workers_give_the_run_of_one(number, tmp_path):
    visits, choices = [], (WorkerOptions(), WorkerOptions(number))
    for options in choices:
        with open_executor(options, RUN.task) as executor:
            visits.append(list(RUN.search(Store(tmp_path / f"{options.workers}"), 50, executor=executor)))
    assert [replace_seconds(visit) for visit in visits[0]] == [replace_seconds(visit) for visit in visits[1]]
    stores = [Store(tmp_path / f"{options.workers}").evaluations(RUN.name) for options in choices]
    assert stores[0] == stores[1] == [visit.evaluation for visit in visits[0]]


def replace_seconds(visit):
    return visit._replace(seconds=0.0)


@pytest.mark.slow
def test_what_a_plug_in_does_harms_nobody(tmp_path, capfd):
    one, two, three, four, five, six = numbered(tmp_path / "plain")[3:9]
    happens = {"printing": one, "nan": two, "raising": three, "leaving": four, "stirring": five}
    here = searched(tmp_path / "here", WorkerOptions(), toy=Toy(**happens), drawn=Drawn())
    assert len({found.values["drawn"] for found in here}) == 1  # whatever was drawn before
    assert [found.errors.get("toy") for found in here[3:9]] == [
        None,
        "ArithmeticError: the score is nan",
        "ValueError: no such thing",
        "SystemExit: 3",
        None,
        None,
    ]
    there = searched(tmp_path / "there", WorkerOptions(2, seconds=3.0), toy=Toy(**happens, hanging=six), drawn=Drawn())
    assert there[:8] + there[9:] == here[:8] + here[9:]
    late = "TimeoutError: no result after 3 s, which is the limit (--candidate-time)"
    assert there[8] == Evaluation(here[8].genome, {}, {"toy": late, "drawn": late})
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "options", [WorkerOptions(), pytest.param(TWO, marks=pytest.mark.slow)], ids=["here", "workers"]
)
def test_a_mistake_of_the_user_ends_the_search_with_its_sentence(options, tmp_path):
    fifth = numbered(tmp_path / "plain")[4]
    with pytest.raises(NasctlError, match=r"^no toy is called 'tyo'; did you mean 'toy'\?$"):
        searched(tmp_path / "store", options, toy=Toy(mistaken=fifth))


@pytest.mark.slow
def test_workers_that_die_are_replaced(tmp_path):
    whole = searched(tmp_path / "whole", WorkerOptions(), toy=Toy())
    numbers = numbered(tmp_path / "plain")
    toy = Toy(tmp_path, unlucky=numbers[1], dying=numbers[4], hungry=numbers[7])
    found = searched(tmp_path / "store", WorkerOptions(2, memory=10**9), toy=toy)
    assert found[1].values == {"toy": 0.25}  # it was an accident
    assert found[4].errors == {"toy": "ChildProcessError: the worker that measured it died, 2 times"}
    assert found[7].errors == {"toy": "MemoryError: more than 1 GB, which is the limit (--candidate-memory)"}
    others = [k for k in range(16) if k not in (1, 4, 7)]
    assert [found[k] for k in others] == [whole[k] for k in others]


@pytest.mark.slow
def test_one_worker_with_a_limit_is_a_process_that_can_be_ended(tmp_path):
    third = numbered(tmp_path / "plain")[2]
    whole = searched(tmp_path / "plain", WorkerOptions(), toy=Toy())
    found = searched(tmp_path / "store", WorkerOptions(memory=10**9), toy=Toy(hungry=third))
    assert found[2].errors["toy"].startswith("MemoryError: more than 1 GB")
    assert found[:2] + found[3:] == whole[:2] + whole[3:]


def command(path, *more):
    """A search with two workers that takes some seconds."""
    options = ["--space", "nb201:channels=8,cells=1", "-o", "synflow,snip,macs", "--budget", "150", "--workers", "2"]
    return [sys.executable, "-m", "nasctl", "search", *options, "--store", str(path), *more]


def stat(pid):
    """The state of a process, as a letter, and its parent; "Z" of one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    return ["Z", "0"]


def children(pid):
    """What a process has started, and runs."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [one for one in pids if stat(one)[0] != "Z" and stat(one)[1] == str(pid)]


def wait_until(true, seconds=60):
    """Wait for something to be true, which it has to be in that time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_for_end(pids):
    """Wait for processes to end."""
    wait_until(lambda: all(stat(pid)[0] == "Z" for pid in pids), 10)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None], ids=["killed", "interrupted", "done"])
def test_no_worker_outlives_the_search(end, tmp_path):
    typed = command(tmp_path / "store", "--budget", *(["5000"] if end else ["40"]))
    process = subprocess.Popen(typed, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while "generation 0" not in process.stderr.readline():
        assert process.poll() is None
    workers = children(process.pid)
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does
    elif end:
        process.kill()
    _, said = process.communicate()
    assert process.returncode == {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, None: 0}[end]
    assert len(workers) >= 2
    wait_for_end(workers)
    assert "Traceback" not in said
    if end == signal.SIGINT:
        assert said.rstrip().endswith(shlex.join(["nasctl", *typed[3:]]))


@pytest.mark.slow
def test_a_worker_that_hangs_does_not_outlive_the_search(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom test_workers import Hanging, WorkerOptions, searched\n"
        "if __name__ == '__main__':\n    searched(sys.argv[1] + '/store', WorkerOptions(2), toy=Hanging(sys.argv[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, script, tmp_path], env=environment)
    wait_until(lambda: len(list(tmp_path.glob("hangs-*"))) == 2)
    workers = children(process.pid)
    process.kill()
    process.wait()
    assert len(workers) >= 2
    wait_for_end(workers)


STUCK = """
import hashlib
from nasctl.system.signals import stoppable
from test_workers import TWO, Chain, Task, Toy, open_executor

if __name__ == "__main__":
    with stoppable(), open_executor(TWO, Task(Chain(), {"toy": Toy()})) as pool:
        pool.submit((0, 0), {"toy": "toy"})
        pool.result()
        print("stuck", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.slow
def test_no_worker_outlives_a_search_that_is_interrupted_twice(tmp_path):
    (script := tmp_path / "script.py").write_text(STUCK)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    typed = [sys.executable, script]
    with subprocess.Popen(typed, env=environment, stdout=subprocess.PIPE, start_new_session=True) as process:
        process.stdout.readline()
        workers = children(process.pid)
        for _ in range(2):
            time.sleep(0.5)
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 130
    assert len(workers) >= 2
    wait_for_end(workers)


@pytest.mark.slow
def test_workers_killed_at_random_change_nothing(tmp_path):
    rng, killed, runs = random.Random(0), 0, []
    for options in (WorkerOptions(), TWO):
        task = Task(Chain(depth=10), {"toy": Slow() if options == TWO else Toy()})
        searcher = registry.create("searchers", "nsga2", SearchProblem(task), np.random.default_rng(0))
        journal = Store(tmp_path / f"{options.workers}").journal("run", task.record("chain"))
        runs.append([])
        with open_executor(options, task) as executor:
            for visit in search(task, searcher, journal, 420, executor=executor):
                runs[-1].append(visit.evaluation)
                if options == TWO and killed < 20 and len(runs[-1]) % 20 == 19:
                    time.sleep(rng.uniform(0, 0.1))
                    os.kill(rng.choice(active_children()).pid, signal.SIGKILL)
                    killed += 1
    assert killed == 20
    assert runs[0] == runs[1]


@pytest.mark.slow
def test_a_killed_search_with_workers_ends_as_if_it_had_not_been(tmp_path):
    rng, typed = random.Random(0), command(tmp_path / "store", "--json")
    for _ in range(4):
        process = subprocess.Popen(typed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not process.stderr.readline().startswith("generation"):
            pass  # it has brought its workers to life
        time.sleep(rng.uniform(0, 1))
        process.kill()
        process.communicate()
    whole = command(tmp_path / "whole", "--json", "--workers", "1")
    ends = [subprocess.run(one, stdout=subprocess.PIPE, check=True, text=True).stdout for one in (typed, whole)]
    fronts = [json.loads(end)["front"] for end in ends]
    assert fronts[0] == fronts[1] != []


RAY = """
import sys
from ray.cluster_utils import Cluster
from nasctl.store.store import Store
from nasctl.workers import WorkerOptions, open_executor
from test_workers import RUN, Toy, WorkerOptions, searched

folder = sys.argv[1]
here = [visit.evaluation for visit in RUN.search(Store(folder + "/here"), 120)]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
other = cluster.add_node(num_cpus=1)
found = []
with open_executor(WorkerOptions(cluster="ray:" + cluster.address), RUN.task) as executor:
    print(len(executor._backend.gpus), "workers")
    for visit in RUN.search(Store(folder + "/there"), 120, executor=executor):
        found.append(visit.evaluation)
        if len(found) == 50:
            cluster.remove_node(other, allow_graceful=False)
print("the same" if found == here else "not the same")
limited = WorkerOptions(cluster="ray:" + cluster.address, seconds=3.0, memory=10**9)
for one in searched(folder + "/limited", limited, toy=Toy(printing=20, hanging=21, hungry=22), budget=64):
    if one.errors:
        print(*one.errors.values())
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_node_gives_the_same_run(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    script = [sys.executable, "-c", RAY, tmp_path]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300)
    assert sorted(done.stdout.splitlines()) == [
        "2 workers",
        "MemoryError: more than 1 GB, which is the limit (--candidate-memory)",
        "TimeoutError: no result after 3 s, which is the limit (--candidate-time)",
        "the same",
    ], done.stderr
    assert len(done.stderr.splitlines()) < 10
