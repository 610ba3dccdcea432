"""Compare ways to choose a shortlist from the front of a run, on tables of trained networks.

    python perf/shortlist.py [--top 16] [--seeds 10] [--evaluations 300] [BENCHMARK ...]

A search on the default metrics of the benchmark's space and its MACs is replayed for each seed. From its front, `top`
networks are chosen in each way. Each line has the mean and the standard error, over seeds, of the best test result
among these networks, and of their hypervolume in test error and MACs (reference 1.05 in each).
"""

import argparse

import numpy as np

from nasctl import registry
from nasctl.analysis.run_scores import scores_of_run
from nasctl.analysis.shortlist import shortlist
from nasctl.bench.problem import BenchmarkProblem
from nasctl.bench.replay import replay
from nasctl.correlations.defaults import default_choice
from nasctl.pareto.crowding import spread
from nasctl.pareto.hypervolume import hypervolume
from nasctl.pareto.losses import front, losses
from nasctl.problem.searcher import Evaluation
from nasctl.search.default_objectives import space_kind
from nasctl.store.run_record import Column, RunRecord

BENCHMARKS = ("nb201", "nbmacro", "tnb101_micro")


def objectives(benchmark, spec):
    """Return the names of the default metrics of the space that the benchmark has, and of its MACs."""
    choice = default_choice(space_kind(spec, registry.create("spaces", spec), ""))
    return [*(name for name in choice.objectives if name in benchmark.names), benchmark.default_objectives[-1]]


def run(benchmark, spec, names, seed, evaluations):
    """Return the record of a replayed run, and the evaluations of its candidates."""
    columns = {name: benchmark.column(name) for name in names}
    goals = {name: Column(name, "", one.goal.cost, one.goal) for name, one in columns.items()}
    places = dict.fromkeys(replay(BenchmarkProblem(benchmark, names), "guided", seed, evaluations).places.tolist())
    visited = []
    for place in places:
        values = {name: float(one.values[place]) for name, one in columns.items() if np.isfinite(one.values[place])}
        visited.append(Evaluation(benchmark.genomes[place], values))
    return RunRecord(spec, goals), visited


def choices(record, visited, top, seed):
    """Return the genomes that each way chooses, by its name."""
    found = front(visited, record.goals)
    _, scores = scores_of_run(record, visited, None, {})
    ranked = sorted(found, key=lambda one: (-scores[one.genome], one.genome))
    ways = {
        "shortlist": shortlist(record, visited, top, {}).candidates,
        "best scores": ranked[:top],
        "crowding distance": [found[k] for k in spread(losses(found, record.goals), top)],
        "at random": [found[k] for k in np.random.default_rng(seed).permutation(len(found))[:top]],
        "whole front": found,
    }
    return {way: [one.genome for one in chosen] for way, chosen in ways.items()}


def main():
    """Print a line for each scene and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--top", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("benchmarks", nargs="*", default=BENCHMARKS)
    options = parser.parse_args()
    for name in options.benchmarks:
        benchmark, spec = registry.create("benchmarks", name), registry.spelled_out("spaces", name)
        names, figures = objectives(benchmark, spec), {}
        places = {genome: place for place, genome in enumerate(benchmark.genomes)}
        for seed in range(options.seeds):
            record, visited = run(benchmark, spec, names, seed, options.evaluations)
            for way, genomes in choices(record, visited, options.top, seed).items():
                rows = [places[genome] for genome in genomes]
                for scene, one in benchmark.scenes.items():
                    volume = hypervolume(np.column_stack([one.error[rows], one.cost[rows]]))
                    figures.setdefault((scene, way), []).append((one.accuracy[rows].max(), volume, len(rows)))
        print(f"{name}, {options.evaluations} evaluations of {', '.join(names)}")
        for (scene, way), values in sorted(figures.items(), key=lambda item: item[0][0]):
            (best, volume, number), error = np.mean(values, 0), np.std(values, 0, ddof=1) / len(values) ** 0.5
            print(
                f"  {scene:15} {way:18} {number:4.0f} networks  best {best:.3f} ± {error[0]:.3f}"
                f"  hypervolume {volume:.4f} ± {error[1]:.4f}"
            )


if __name__ == "__main__":
    main()
