"""Worker utilisation of a search: python perf/cluster.py [--store FILE] [--site ray|processes] [--json FILE].

The search, the searcher, the store and the pool are the real ones. The workers are simulated. A simulated candidate
takes the time of a random candidate of a real search, on a simulated clock. The clock also advances by the processor
time of this process, and for each message by the cost of a message to a real worker. That cost is measured beforehand
on two real workers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nasctl import registry
from nasctl.api import Candidate, unseen
from nasctl.candidates.setting import DEFAULT_SETTING
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.search.loop import search
from nasctl.search.metrics import make_objective
from nasctl.store.measurements import Measurement
from nasctl.store.store import Store
from nasctl.workers.pool import Pool
from nasctl.workers.processes import Processes
from nasctl.workers.worker import Answer, Backend, Message, WorkerHandle

SPACE = "mbconv"
POPULATIONS = (20, 100, 512, 2048)  # candidates in a batch of the searcher
WORKERS = tuple(2**k for k in range(10))  # simulated workers
MESSAGES = 300  # messages sent to two real workers to measure their cost
PENDING = 512  # pending answers at the same time


class InstantMetric:
    """A metric that declares a need for a module, but takes no time in a real worker."""

    unit, direction, transform, version = "", "max", "identity", "1"
    needs = frozenset({"module"})

    def __call__(self, candidate: Candidate) -> float:
        return float(sum(candidate.genome))


@dataclass(frozen=True)
class Costs:
    """Processor time of the searching process, in seconds."""

    candidate: float  # per candidate, to send it to a worker and to receive its measurements
    pending: float  # per wait and worker with a pending answer


class Clock:
    """A simulated clock that advances with the processor time of this process, without the time of the simulation."""

    def __init__(self) -> None:
        self.now = self.worked = 0.0  # seconds; `worked` counts the time of this process alone
        self._mark = time.process_time()

    def work(self, more: float = 0.0) -> None:
        """Advance by the processor time since `go_on`, plus `more` seconds for messages to real workers."""
        spent = time.process_time() - self._mark + more
        self.now, self.worked = self.now + spent, self.worked + spent

    def go_on(self) -> None:
        """Restart the measurement of processor time after a step of the simulation."""
        self._mark = time.process_time()


class SimulatedBackend:
    """A site of simulated workers that start at once."""

    def __init__(self, workers: int, seconds: np.ndarray, costs: Costs) -> None:
        self.gpus = [""] * workers
        self.clock, self.taken = Clock(), 0.0
        self._seconds, self._costs, self._rng = seconds, costs, np.random.default_rng(0)

    def start(self, gpu: str) -> WorkerHandle:
        """Return an idle worker."""
        return SimulatedWorker(self)

    def wait(self, workers: Sequence[SimulatedWorker], seconds: float | None) -> list[tuple[SimulatedWorker, Answer]]:
        """Return the workers that have finished, with their answers; advance the clock to the first one if none has."""
        self.clock.work(self._costs.pending * len(workers))
        self.clock.now = max(self.clock.now, min(one.done for one in workers))
        found = [(one, one.answer) for one in workers if one.done <= self.clock.now]
        self.clock.go_on()
        return found

    def begin(self, worker: SimulatedWorker, message: Message) -> None:
        """Start a task or a candidate on a worker."""
        if isinstance(message, Task):
            worker.done, worker.answer = self.clock.now, None
            return
        genome, labels = message
        self.clock.work(self._costs.candidate)
        seconds = float(self._rng.choice(self._seconds))
        self.taken += seconds
        worker.done = self.clock.now + seconds
        worker.answer = {label: Measurement(float(sum(genome)), None, seconds) for label in labels.values()}
        self.clock.go_on()

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


class SimulatedWorker:
    """A worker whose answer is ready at a known time."""

    def __init__(self, site: SimulatedBackend) -> None:
        self._site, self.done, self.answer = site, 0.0, None

    def send(self, message: Message) -> None:
        self._site.begin(self, message)

    def kill(self) -> None:
        pass


def search_task() -> Task:
    """Return the task of the simulated search."""
    metrics = dict(make_objective(spec, SPACE) for spec in ("macs", "latency@gpu"))
    return Task(registry.create("spaces", SPACE), {"toy": InstantMetric(), **metrics})


def candidate_seconds(path: Path | None) -> np.ndarray:
    """Return the seconds of the candidates of a real search, (N,).

    Args:
        path: Store whose newest run is read; None for a search that is run now.
    """
    with TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "store"
            words = ["--space", SPACE, "--device", "gpu", "--budget", "60", "--store", str(path)]
            subprocess.run([sys.executable, "-m", "nasctl", "search", *words], check=True, stderr=subprocess.DEVNULL)
        store = Store.reading(path)
        return np.array([seconds for _, seconds in store.visits(store.run()[0])])


def candidate_cost(site: Backend) -> float:
    """Return the processor time in seconds of this process per message to a real worker and its answer."""
    spent = 0.0

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*arguments: Any) -> Any:
            nonlocal spent
            begun = time.process_time()
            try:
                return call(*arguments)
            finally:
                spent += time.process_time() - begun

        return timing

    task = search_task()
    pool = Pool(task, site)
    genomes = unseen(task.space, np.random.default_rng(0), MESSAGES + len(site.gpus))
    for k, genome in enumerate(genomes):
        if pool.full:
            pool.result()
        if k == len(site.gpus):  # every worker has started
            spent, site.wait = 0.0, timed(site.wait)
            for slot in pool._slots:
                slot.worker.send = timed(slot.worker.send)
        pool.submit(genome, {"toy": "toy"})
    pool.close()
    return spent / MESSAGES


def pending_pipe() -> float:
    """Return the processor time in seconds per pipe of one wait for answers."""
    pipes = [Pipe() for _ in range(PENDING)]
    pipes[-1][1].send(None)
    begun = time.process_time()
    for _ in range(20):
        connection.wait([ours for ours, _ in pipes])
    return (time.process_time() - begun) / 20 / PENDING


def pending_ray() -> float:
    """Return the processor time in seconds per pending answer of one wait of Ray."""
    import ray

    @ray.remote
    def nothing() -> None:
        pass

    ray.get(nothing.remote())
    late = [nothing.options(num_cpus=0.001).remote() for _ in range(PENDING)]
    begun, number = time.process_time(), 0
    while late:
        done, late = ray.wait(late)
        number += len(done) + len(late)
    return (time.process_time() - begun) / number


def measured_costs(site: str) -> Costs:
    """Return the costs of real workers to this process."""
    if site == "processes":
        return Costs(candidate_cost(Processes(["", ""], None)), pending_pipe())
    from nasctl.workers.ray import Ray

    real = Ray("", 2, DEFAULT_SETTING, None)
    pending = pending_ray()
    return Costs(candidate_cost(real), pending)


def simulate(population: int, workers: int, seconds: np.ndarray, costs: Costs) -> dict[str, float]:
    """Run one search on simulated workers and return its figures."""
    task, number = search_task(), max(1000, 4 * population)
    searcher = registry.create(
        "searchers", f"mtf_pdns:population={population}", SearchProblem(task), np.random.default_rng(0)
    )
    with TemporaryDirectory() as folder:
        journal = Store(f"{folder}/store").journal("run", task.record(SPACE))
        site = SimulatedBackend(workers, seconds, costs)
        for _ in search(task, searcher, journal, number, executor=Pool(task, site)):
            pass
        site.clock.work()
    return {
        "population": population,
        "workers": workers,
        "candidates": number,
        "efficiency": site.taken / workers / site.clock.now,
        "own share": site.clock.worked / site.clock.now,
        "own ms each": 1e3 * site.clock.worked / number,
    }


def main() -> None:
    """Measure the costs, simulate the searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", choices=["ray", "processes"], default="ray", help="kind of real workers to measure")
    parser.add_argument(
        "--store",
        type=Path,
        help="store whose newest run is read; default: a new search",
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    seconds = candidate_seconds(given.store)
    spread = " ".join(f"{one:.3f}" for one in np.percentile(seconds, [0, 25, 50, 75, 100]))
    print(f"{len(seconds)} candidates: mean {seconds.mean():.3f} s; quartiles {spread}")
    costs = measured_costs(given.site)
    each, more = 1e3 * costs.candidate, 1e6 * costs.pending
    print(f"{given.site}: {each:.2f} ms per candidate, and {more:.1f} us per wait and pending answer\n")
    print("| population |", " | ".join(map(str, WORKERS)), "| searching process, ms per candidate, 1 to 512 workers |")
    print("| --- " * (2 + len(WORKERS)) + "|")
    found = []
    for population in POPULATIONS:
        rows = [simulate(population, workers, seconds, costs) for workers in WORKERS]
        cells = [f"{row['efficiency']:.0%} ({row['own share']:.0%})" for row in rows]
        own = f"{rows[0]['own ms each']:.2f} to {rows[-1]['own ms each']:.2f}"
        print(f"| {population} |", " | ".join(cells), f"| {own} |", flush=True)
        found += rows
    limit = seconds.mean() / (found[-1]["own ms each"] / 1e3)
    print(f"\nwith more than {limit:.0f} workers the searching process would be the bottleneck, even without batches")
    if given.json:
        result = {"seconds": seconds.tolist(), "costs": vars(costs), "rows": found}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
