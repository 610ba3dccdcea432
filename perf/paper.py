"""Reproduction of the MTF-PDNS paper on NAS-Bench-201: python perf/paper.py [--seeds 30].

The methods search all 15,625 cells on CIFAR-10, and their archives are judged on three data sets. The tables also have
random search, the exhaustive front of the objectives, corrected NSGA-II, and MTF-PDNS with duplicates mutated again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import Benchmark
from nasctl.bench.problem import BenchmarkProblem
from nasctl.bench.replay import Indicators, exhaustive_front, indicators, replay

OFFICIAL = "nsga2:published=on"  # NSGA-II of the paper's repository
NOVEL = "mtf_pdns:published=on"  # MTF-PDNS as published
EVALUATIONS = {OFFICIAL: 1000}  # its 50 generations of 20 include the initial population
BUDGET = 1020  # the initial population and 50 generations of 20
FORMS = {  # the paper's names of NSGA-II and of MTF-PDNS, by the objectives
    ("val_acc_12", "flops"): ("MOENAS", "PDNS"),
    ("synflow", "flops"): ("TF-MOENAS, synflow", "TF-PDNS, synflow"),
    ("jacov", "flops"): ("TF-MOENAS, jacov", "TF-PDNS, jacov"),
    ("snip", "flops"): ("TF-MOENAS, snip", "TF-PDNS, snip"),
    ("synflow", "jacov", "snip", "flops"): ("MTF-MOENAS", "MTF-PDNS"),
}


def row(name: str, number: str, scores: dict[str, Sequence[Indicators]]) -> str:
    """Format a line of the table.

    Args:
        name: Name of the method.
        number: Mean numbers of distinct networks and of archive members, as text.
        scores: Results of each run, by data set.
    """
    cells = [name, number]
    for found in scores.values():
        igd, plus, volume = (np.array([getattr(one, part) for one in found]) for part in ("igd", "igd_plus", "hv"))
        spread = f" ± {volume.std(ddof=1):.4f}" if len(volume) > 1 else ""
        cells.append(f"{igd.mean():.4f} / {plus.mean():.4f} / {volume.mean():.4f}{spread}")
    cells.append(" / ".join(f"{np.mean([one.best for one in found]):.2f}" for found in scores.values()))
    return f"| {' | '.join(cells)} |"


def form(benchmark: Benchmark, objectives: tuple[str, ...], seeds: int) -> None:
    """Run the methods on one choice of objectives and print their lines."""
    problem = BenchmarkProblem(benchmark, objectives)
    official, novel = FORMS[objectives]
    methods = {
        f"{official}, as released": OFFICIAL,
        "NSGA-II, corrected": "nsga2",
        f"{novel}, as published": NOVEL,
        f"{novel}, duplicates mutated again": "mtf_pdns",
        "random": "random",
    }
    for name, searcher in methods.items():
        runs = [replay(problem, searcher, seed, EVALUATIONS.get(searcher, BUDGET)) for seed in range(seeds)]
        sizes = (
            f"{np.mean([run.distinct for run in runs]):.0f} / {np.mean([len(run.archives[-1]) for run in runs]):.0f}"
        )
        scenes = benchmark.scenes.items()
        print(row(name, sizes, {key: [indicators(scene, run.archives[-1]) for run in runs] for key, scene in scenes}))
    front = exhaustive_front(problem)
    top = {key: [indicators(scene, front)] for key, scene in benchmark.scenes.items()}
    print(row("exhaustive front of the objectives", f"{len(benchmark.genomes)} / {len(front)}", top), flush=True)


def main() -> None:
    """Run all searches and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default=30, type=int)
    seeds = parser.parse_args().seeds
    benchmark = registry.create("benchmarks", "nb201:canonical=off")
    names = [f"{name} IGD / IGD+ / HV" for name in benchmark.scenes]
    for objectives in FORMS:
        print(f"\n({', '.join(objectives)}), {seeds} seeds\n")
        print(f"| method | distinct / archive | {' | '.join(names)} | best |\n|{' --- |' * (len(names) + 3)}")
        form(benchmark, objectives, seeds)


if __name__ == "__main__":
    main()
