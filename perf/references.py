"""Searches bounded by a reference network's own latency: python perf/references.py [--seeds 5] [--budget 150].

For each reference network and each seed, the script runs the default search with the constraint that a candidate is no
slower than the reference network on the device. It then compares the recommended network with the reference network by
the score that recommends it, a rank among the candidates of the run, and by latency. The last column says whether the
recommended network is at least as good in both. `--reference` chooses reference networks. `--without` gives the
searches that do not begin with the published networks, whose reference network is scored among the candidates all the
same. Searches share a store, and a call with the same store goes on with them.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the command line sets the same value

from nasctl import registry
from nasctl.analysis.recommendation import recommend
from nasctl.analysis.run_scores import scores_of_run, stored_sizes
from nasctl.architectures import ids
from nasctl.architectures.references import references
from nasctl.evaluation.measure import measure
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.search.run import Run
from nasctl.store.measurements import evaluation
from nasctl.store.store import Store


def main() -> None:
    """Run the searches and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--device", default="mobile")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--fidelity", default="")
    parser.add_argument("--without", action="store_true", help="search without the published networks")
    parser.add_argument("--reference", action="append", help="a reference network, repeatable; default: all")
    parser.add_argument("--store", default="references.db")
    args = parser.parse_args()
    heads = ("bound", "seed", "recommended", "score", "ms", "score of the reference", "its ms", "no worse in both")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
    named = references(registry.create("spaces", args.space))
    for name in args.reference or named:
        for seed in range(args.seeds):
            request = SearchRequest(
                args.space,
                (args.device,),
                constraints=(f"latency<={name}",),
                seed=seed,
                references=not args.without,
            )
            run = request.run(SettingOptions(args.fidelity))
            store = Store(args.store)
            for _ in run.search(store, args.budget):
                pass
            print(f"| {name} | {seed} | {row(run, store, named[name].genome)} |", flush=True)


def row(run: Run, store: Store, genome: Genome) -> str:
    """Return the cells of a search: the recommended network beside the reference network."""
    _, record = store.run(run.name)
    visited = store.evaluations(run.name)
    if all(one.genome != genome for one in visited):
        visited = [*visited, measured(run, genome)]
    found = recommend(store, run.name, record, visited)
    scored = scores_of_run(record, visited, None, stored_sizes(store, run.name, record))
    assert found is not None
    assert scored is not None
    (latency,) = (name for name in record.columns if name.startswith("latency@"))
    own = next(one for one in visited if one.genome == genome)
    best, scores = found.chosen, scored[1]
    no_worse = scores[best.genome] >= scores[genome] and best.values[latency] <= own.values[latency]
    cells = (
        ids.encode(run.space, run.task.space.genes, best.genome),
        f"{scores[best.genome]:.3f}",
        f"{best.values[latency]:.2f}",
        f"{scores[genome]:.3f}",
        f"{own.values[latency]:.2f}",
        "yes" if no_worse else "no",
    )
    return " | ".join(cells)


def measured(run: Run, genome: Genome) -> Evaluation:
    """Return the values of a genome that the run has not visited."""
    labels = {name: name for name in run.task.metrics}
    return evaluation(genome, labels, measure(run.task, genome, labels))


if __name__ == "__main__":
    main()
