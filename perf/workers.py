"""Candidates per second with one worker and with several workers, for the same search.

    python perf/workers.py [--space nb201] [--workers 2] [--budget 200] [--rounds 3] [--json FILE]

Each search has a store of its own, and the searches alternate. Rates leave out the first generation, in which the
workers start. The first generation has a column of its own. Target: with two workers on two cores, at least 1.7 times
the rate of one worker.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from nasctl import registry
from nasctl.candidates.setting import Setting
from nasctl.problem.space import default_fidelity
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.workers import WorkerOptions, open_executor


def timed(run, crew, budget):
    """Return the seconds of the first generation, the candidates per second after it, and all evaluations."""
    found = []
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        with open_executor(crew, run.task) as executor:
            for visit in run.search(Store(Path(folder) / "store"), budget, executor=executor):
                found.append(visit.evaluation)
                if visit.generation == 0:
                    first, number = time.perf_counter() - start, len(found)
            rate = (len(found) - number) / (time.perf_counter() - start - first)
    return first, rate, found


def main():
    """Run the searches and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--space", default="nb201")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    setting = Setting(fidelity=default_fidelity(registry.create("spaces", given.space)))
    run = Run(given.space, ("synflow", "jacov", "snip", "macs"), setting=setting)
    figures, ratios = {}, []
    timed(run, WorkerOptions(), 20)  # the first search pays for the imports
    for _ in range(given.rounds):
        rates, results = [], []
        for number in (1, given.workers):
            first, rate, found = timed(run, WorkerOptions(number), given.budget)
            figures.setdefault(number, []).append((first, rate))
            rates.append(rate)
            results.append(found)
        assert results[0] == results[1]
        ratios.append(rates[1] / rates[0])
    print("workers  first generation, s  candidates/s after it")
    for number, rows in figures.items():
        first, rate = (median(column) for column in zip(*rows, strict=True))
        print(f"{number:7} {first:20.2f} {rate:22.2f}")
    print(f"speed-up over one worker: {median(ratios):.2f} (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    if given.json:
        given.json.write_text(json.dumps({"rates": figures, "ratios": ratios}) + "\n")


if __name__ == "__main__":  # workers import this file again
    main()
