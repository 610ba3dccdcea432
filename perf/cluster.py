"""How many workers a search keeps busy: python perf/cluster.py [--store FILE] [--site ray|processes] [--json FILE].

Search, searcher, store and pool are the real ones; the workers are simulated. A candidate takes as long as one of a
real search did, drawn at random, on a clock of its own. That clock also moves while this process works, by its
processor time, and with every message by what one costs with real workers, measured before on two of them.
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
POPULATIONS = (20, 100, 512, 2048)
WORKERS = tuple(2**k for k in range(10))
MESSAGES = 300  # to two real workers
PENDING = 512  # answers that are waited for at once


class Toy:
    """Stands for a metric that needs a module, and takes no time in a real worker."""

    unit, direction, transform, version = "", "max", "identity", "1"
    needs = frozenset({"module"})

    def __call__(self, candidate: Candidate) -> float:
        return float(sum(candidate.genome))


@dataclass(frozen=True)
class Costs:
    """Processor time of this process, in seconds."""

    candidate: float  # to send one to a worker and to receive what it has measured
    pending: float  # beside that, for each worker that an answer is awaited of


class Clock:
    """Time in the simulation; it moves with this process's processor time, but for what is spent on simulating."""

    def __init__(self) -> None:
        self.now = self.worked = 0.0
        self._mark = time.process_time()

    def work(self, more: float = 0.0) -> None:
        """Add what this process has done since it simulated something, and what it would have done."""
        spent = time.process_time() - self._mark + more
        self.now, self.worked = self.now + spent, self.worked + spent

    def go_on(self) -> None:
        """Let this process work again."""
        self._mark = time.process_time()


class Simulated:
    """Workers that take their time on a clock, and are ready at once."""

    def __init__(self, workers: int, seconds: np.ndarray, costs: Costs) -> None:
        self.places = [""] * workers
        self.clock, self.taken = Clock(), 0.0
        self._seconds, self._costs, self._rng = seconds, costs, np.random.default_rng(0)

    def hire(self, place: str) -> WorkerHandle:
        """One that has nothing to do."""
        return Busy(self)

    def wait(self, workers: Sequence[Busy], seconds: float | None) -> list[tuple[Busy, Answer]]:
        """Those that are done, or the first that will be."""
        self.clock.work(self._costs.pending * len(workers))
        self.clock.now = max(self.clock.now, min(one.done for one in workers))
        found = [(one, one.answer) for one in workers if one.done <= self.clock.now]
        self.clock.go_on()
        return found

    def begin(self, worker: Busy, message: Message) -> None:
        """Give a worker something to do."""
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
        """Nothing is held."""


class Busy:
    """One of them."""

    def __init__(self, site: Simulated) -> None:
        self._site, self.done, self.answer = site, 0.0, None

    def send(self, message: Message) -> None:
        self._site.begin(self, message)

    def kill(self) -> None:
        pass


def posed() -> Task:
    """What is searched."""
    metrics = dict(make_objective(spec, SPACE) for spec in ("macs", "latency@gpu"))
    return Task(registry.create("spaces", SPACE), {"toy": Toy(), **metrics})


def candidates(path: Path | None) -> np.ndarray:
    """Seconds that candidates of a real search took: of the newest run of a store, or of one that is made now."""
    with TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "store"
            words = ["--space", SPACE, "--device", "gpu", "--budget", "60", "--store", str(path)]
            subprocess.run([sys.executable, "-m", "nasctl", "search", *words], check=True, stderr=subprocess.DEVNULL)
        store = Store.reading(path)
        return np.array([seconds for _, seconds in store.visits(store.run()[0])])


def candidate_cost(site: Backend) -> float:
    """Seconds of this process's time for each message to real workers and its answer."""
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

    task = posed()
    pool = Pool(task, site)
    genomes = unseen(task.space, np.random.default_rng(0), MESSAGES + len(site.places))
    for k, genome in enumerate(genomes):
        if pool.full:
            pool.result()
        if k == len(site.places):  # all have begun
            spent, site.wait = 0.0, timed(site.wait)
            for seat in pool._seats:
                seat.worker.send = timed(seat.worker.send)
        pool.submit(genome, {"toy": "toy"})
    pool.close()
    return spent / MESSAGES


def pending_pipe() -> float:
    """Seconds that each further pipe costs which an answer may come from."""
    pipes = [Pipe() for _ in range(PENDING)]
    pipes[-1][1].send(None)
    begun = time.process_time()
    for _ in range(20):
        connection.wait([ours for ours, _ in pipes])
    return (time.process_time() - begun) / 20 / PENDING


def pending_ray() -> float:
    """Seconds that each further answer costs which Ray is to look for."""
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


def measured(site: str) -> Costs:
    """What real workers cost this process."""
    if site == "processes":
        return Costs(candidate_cost(Processes(["", ""], None)), pending_pipe())
    from nasctl.workers.ray import Ray

    real = Ray("", 2, DEFAULT_SETTING, None)
    pending = pending_ray()
    return Costs(candidate_cost(real), pending)


def simulated(population: int, workers: int, seconds: np.ndarray, costs: Costs) -> dict[str, float]:
    """One search on simulated workers."""
    task, number = posed(), max(1000, 4 * population)
    searcher = registry.create(
        "searchers", f"mtf_pdns:population={population}", SearchProblem(task), np.random.default_rng(0)
    )
    with TemporaryDirectory() as folder:
        journal = Store(f"{folder}/store").journal("run", task.record(SPACE))
        site = Simulated(workers, seconds, costs)
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
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", choices=["ray", "processes"], default="ray")
    parser.add_argument("--store", type=Path, help="draw from the seconds of its newest run, not of a search made now")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seconds = candidates(given.store)
    spread = " ".join(f"{one:.3f}" for one in np.percentile(seconds, [0, 25, 50, 75, 100]))
    print(f"{len(seconds)} candidates: mean {seconds.mean():.3f} s; quartiles {spread}")
    costs = measured(given.site)
    each, more = 1e3 * costs.candidate, 1e6 * costs.pending
    print(f"{given.site}: {each:.2f} ms for a candidate, and {more:.1f} us for every other that is awaited meanwhile\n")
    print("| population |", " | ".join(map(str, WORKERS)), "| own ms a candidate, 1 to 512 workers |")
    print("| --- " * (2 + len(WORKERS)) + "|")
    found = []
    for population in POPULATIONS:
        rows = [simulated(population, workers, seconds, costs) for workers in WORKERS]
        cells = [f"{row['efficiency']:.0%} ({row['own share']:.0%})" for row in rows]
        own = f"{rows[0]['own ms each']:.2f} to {rows[-1]['own ms each']:.2f}"
        print(f"| {population} |", " | ".join(cells), f"| {own} |", flush=True)
        found += rows
    most = seconds.mean() / (found[-1]["own ms each"] / 1e3)
    print(f"\nwith more than {most:.0f} workers this process would be what all wait for, were there no batches")
    if given.json:
        result = {"seconds": seconds.tolist(), "costs": vars(costs), "rows": found}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
