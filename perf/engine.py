"""Cost of the searchers themselves: python perf/engine.py [--searcher SPEC ...] [--evaluations 1000 10000 ...].

The script prints the milliseconds of ask and tell per evaluation, and the size of the archive. The losses come from a
cheap formula: sums of random weights over 20 genes of 5 choices, with different weights for each objective.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the command line sets the same value

import numpy as np

from nasctl import registry
from nasctl.pareto.archive import Archive
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Gene, Genome, Input

GENES, CHOICES = 20, 5
SEARCHERS = ("random", "mtf_pdns", "nsga2", "guided")


class Space:
    """A search space in which every genome is canonical."""

    input = Input((1,))
    genes = tuple(Gene(f"g{k}", tuple(range(CHOICES))) for k in range(GENES))

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome itself."""
        return genome


class Formula:
    """A problem whose losses are linear in the choices of the genes."""

    def __init__(self, objectives: int) -> None:
        rng = np.random.default_rng(0)
        self.space = Space()
        self.objectives = tuple(Goal(f"f{k}", "min", "identity", "module") for k in range(objectives))
        self.weights = rng.normal(size=(GENES, CHOICES, objectives))

    def losses(self, genomes: list[Genome]) -> np.ndarray:
        """Return the losses, (N, M)."""
        return np.asarray(self.weights[np.arange(GENES), np.array(genomes)].sum(axis=1))

    def cheap_losses(self, genomes: list[Genome]) -> np.ndarray:
        """Return NaN for every loss, (N, M): no objective is known without an evaluation."""
        return np.full((len(genomes), len(self.objectives)), np.nan)

    def violation(self, genomes: list[Genome]) -> np.ndarray:
        """Return zeros, (N,): there are no constraints."""
        return np.zeros(len(genomes))


def measure(searcher: str, problem: Formula, checkpoints: list[int]) -> list[tuple[float, int, float]]:
    """Measure a searcher at several numbers of evaluations.

    Returns:
        At each checkpoint: ms of ask and tell per evaluation so far, members of the archive of all evaluations,
        and ms per evaluation to update that archive.
    """
    made = registry.create("searchers", searcher, problem, np.random.default_rng(0))
    archive = Archive(len(problem.objectives))
    done, asking, updating, found = 0, 0.0, 0.0, []
    for checkpoint in checkpoints:
        while done < checkpoint:
            start = time.perf_counter()
            batch = made.ask()
            asking += time.perf_counter() - start
            losses = problem.losses(batch)
            start = time.perf_counter()
            made.tell(losses, np.zeros((len(batch), 0)))
            asking += time.perf_counter() - start
            start = time.perf_counter()
            for genome, row in zip(batch, losses, strict=True):
                archive.add(genome, row)
            updating += time.perf_counter() - start
            done += len(batch)
        found.append((1e3 * asking / done, len(archive), 1e3 * updating / done))
    return found


def main() -> None:
    """Measure the searchers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searcher", nargs="+", default=SEARCHERS)
    parser.add_argument("--evaluations", nargs="+", type=int, default=[1000, 10_000])
    parser.add_argument("--objectives", type=int, default=4)
    args = parser.parse_args()
    print(f"{args.objectives} objectives: ms per evaluation; members of the archive; ms per evaluation to update it")
    for searcher in args.searcher:
        found = measure(searcher, Formula(args.objectives), sorted(args.evaluations))
        cells = [
            f"{number}: {each:.3f}, {size}, {kept:.3f}"
            for number, (each, size, kept) in zip(sorted(args.evaluations), found, strict=True)
        ]
        print(f"{searcher:12}", *cells, sep="  ", flush=True)


if __name__ == "__main__":
    main()
