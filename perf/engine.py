"""What searchers themselves cost: python perf/engine.py [--searcher SPEC ...] [--evaluations 1000 10000 ...].

Milliseconds of ask and tell for each evaluation, whose losses come from a formula that costs next to nothing: sums of
random worths of 20 genes of 5 choices, of which each objective weighs other genes. Beside them the size of the archive.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line has it

import numpy as np

from nasctl import registry
from nasctl.pareto.archive import Archive
from nasctl.problem.searcher import Goal
from nasctl.problem.space import Gene, Genome, Input

GENES, CHOICES = 20, 5
SEARCHERS = ("random", "mtf_pdns", "nsga2", "guided")


class Space:
    """Every genome is canonical."""

    input = Input((1,))
    genes = tuple(Gene(f"g{k}", tuple(range(CHOICES))) for k in range(GENES))

    def canonical(self, genome: Genome) -> Genome:
        """The genome itself."""
        return genome


class Formula:
    """A problem of some objectives."""

    def __init__(self, objectives: int) -> None:
        rng = np.random.default_rng(0)
        self.space = Space()
        self.objectives = tuple(Goal(f"f{k}", "min", "identity", "module") for k in range(objectives))
        self.worths = rng.normal(size=(GENES, CHOICES, objectives))

    def losses(self, genomes: list[Genome]) -> np.ndarray:
        """(N, M)."""
        return np.asarray(self.worths[np.arange(GENES), np.array(genomes)].sum(axis=1))

    def cheap_losses(self, genomes: list[Genome]) -> np.ndarray:
        """Nothing is known for free."""
        return np.full((len(genomes), len(self.objectives)), np.nan)

    def violation(self, genomes: list[Genome]) -> np.ndarray:
        """There are no constraints."""
        return np.zeros(len(genomes))


def spent(searcher: str, problem: Formula, looks: list[int]) -> list[tuple[float, int, float]]:
    """At each number of evaluations: ms for each so far, members of an archive of all, and ms to keep that."""
    made = registry.create("searchers", searcher, problem, np.random.default_rng(0))
    archive = Archive(len(problem.objectives))
    done, asking, keeping, found = 0, 0.0, 0.0, []
    for look in looks:
        while done < look:
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
            keeping += time.perf_counter() - start
            done += len(batch)
        found.append((1e3 * asking / done, len(archive), 1e3 * keeping / done))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searcher", nargs="+", default=SEARCHERS)
    parser.add_argument("--evaluations", nargs="+", type=int, default=[1000, 10_000])
    parser.add_argument("--objectives", type=int, default=4)
    args = parser.parse_args()
    print(f"{args.objectives} objectives: ms for each evaluation; members of the archive, ms to keep it")
    for searcher in args.searcher:
        found = spent(searcher, Formula(args.objectives), sorted(args.evaluations))
        cells = [
            f"{number}: {each:.3f}, {size}, {kept:.3f}"
            for number, (each, size, kept) in zip(sorted(args.evaluations), found, strict=True)
        ]
        print(f"{searcher:12}", *cells, sep="  ", flush=True)


if __name__ == "__main__":
    main()
