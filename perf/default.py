"""Comparison of the default searcher with others: python perf/default.py [--seeds 30] [--evaluations 1020].

The script runs the default searcher, MTF-PDNS with duplicates mutated again, and corrected NSGA-II on three benchmarks,
with four objectives and with three. The indicators of a run are means over the scenes of the benchmark, so each
benchmark has one test per indicator: the two-sided rank-sum test over the seeds, and Cohen's d, which is above 0 if the
default searcher is better. The script needs NASCTL_DATA.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the command line sets the same value

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import Benchmark
from nasctl.bench.compare import INDICATORS, rank_sum
from nasctl.bench.problem import BenchmarkProblem
from nasctl.bench.replay import indicators, replay

BENCHMARKS = ("nb201", "nbmacro", "tnb101_micro")  # with four default objectives, which darts does not have
DEFAULT, OTHERS = "guided", ("mtf_pdns", "nsga2")


def seed_indicators(
    benchmark: Benchmark, names: tuple[str, ...], searcher: str, seeds: int, evaluations: int
) -> np.ndarray:
    """Return the indicators of each seed, means over the scenes, (seeds, INDICATORS)."""
    posed = BenchmarkProblem(benchmark, names)
    found = []
    for seed in range(seeds):
        members = replay(posed, searcher, seed, evaluations).archives[-1]
        scores = [indicators(scene, members) for scene in benchmark.scenes.values()]
        found.append([np.mean([getattr(one, name) for one in scores]) for name in INDICATORS])
    return np.array(found)


def main() -> None:
    """Run the searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--evaluations", type=int, default=1020)
    args = parser.parse_args()
    print(
        "| benchmark | objectives | indicator",
        *OTHERS,
        DEFAULT,
        *(f"p, d against {other}" for other in OTHERS),
        sep=" | ",
        end=" |\n",
    )
    for name in BENCHMARKS:
        benchmark = registry.create("benchmarks", name)
        synflow, jacov, snip, cost = benchmark.default_objectives
        for objectives in ((synflow, jacov, snip, cost), (synflow, jacov, cost)):
            every = {
                searcher: seed_indicators(benchmark, objectives, searcher, args.seeds, args.evaluations)
                for searcher in (*OTHERS, DEFAULT)
            }
            for k, (indicator, sign) in enumerate(INDICATORS.items()):
                mine = every[DEFAULT][:, k]
                cells = [f"{each[:, k].mean():.4f} ± {each[:, k].std(ddof=1):.4f}" for each in every.values()]
                for other in OTHERS:
                    theirs = every[other][:, k]
                    gain = sign * (mine.mean() - theirs.mean()) / np.sqrt((mine.var(ddof=1) + theirs.var(ddof=1)) / 2)
                    cells.append(f"{rank_sum(mine, theirs):.2g}, {gain:+.2f}")
                print(f"| {name} | {', '.join(objectives)} | {indicator}", *cells, sep=" | ", end=" |\n", flush=True)


if __name__ == "__main__":
    main()
