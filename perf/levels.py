"""Table of docs/spaces.md: how well the levels of fidelity of every space keep the order of metrics.

python perf/levels.py --store levels.db [--space NAME ...] [--form BOUNDS ...]

For each space the script measures what `nasctl objective calibrate` measures, with a sample that fits the cost of its
networks. Values in the store are not computed again, so an interrupted run can be resumed, and a further fidelity costs
only its own measurements. "work" is the share of the full form's multiply-accumulates of one pass over all examples,
which does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from nasctl import registry
from nasctl.analysis import score
from nasctl.analysis.fidelities import FidelityResult, compare_fidelities
from nasctl.candidates.setting import make_setting
from nasctl.evaluation.ranges import sample
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome, SearchSpace, levels
from nasctl.search import applicability
from nasctl.store.store import Store

# The first five are the metrics of `nasctl objective calibrate`. The last two are default metrics of token spaces.
METRICS = ("synflow", "snip", "grad_norm", "jacov", "naswot", "hidden_covariance", "head_confidence")
TOLERANCE = 0.1  # how much less of an order than another seed a level may keep
# Networks to measure, by the mean multiply-accumulates of a full batch, up to which the number holds.
SAMPLES = {24: 4e9, 8: float("inf")}


def work(space: SearchSpace, fidelity: Fidelity, genomes: Sequence[Genome]) -> float:
    """Return the mean multiply-accumulates of one pass over all examples of a fidelity."""
    reduced = space.reduced(fidelity)
    return float(np.mean([reduced.network(one).macs for one in genomes])) * fidelity.batch * fidelity.repeats


def sample_size(space: SearchSpace) -> int:
    """Return the number of networks to measure, which depends on the cost of the full form."""
    full = work(space, levels(space)["full"], sample(space, max(SAMPLES)))
    return next(number for number, limit in SAMPLES.items() if full <= limit)


def calibrated(
    name: str, forms: Sequence[str], number: int | None, store: Store
) -> tuple[list[float], int, list[FidelityResult]]:
    """Compare the levels of a space with its full form.

    Returns:
        The work of each level as a share of the full form's, the number of networks, and the comparison of each level.
    """
    space = registry.create("spaces", name)
    made = score.make_metrics(METRICS, name)
    inapplicable = applicability.inapplicable_reasons(space, made)
    metrics = {metric: one for metric, one in made.items() if metric not in inapplicable}
    named = levels(space)
    asked = named | {form: Fidelity.parse(form, named) for form in forms}
    genomes = sample(space, number or sample_size(space))
    task = Task(space, metrics, make_setting(space, "full", None, seed=0))
    found = list(compare_fidelities(task, name, asked, genomes, store))
    costs = [work(space, row.fidelity, genomes) for row in found]
    return [cost / costs[0] for cost in costs], len(genomes), found


def kept(row: FidelityResult, other_seed: FidelityResult) -> tuple[int, int]:
    """Return how many metrics keep their order as well as another seed does, less the tolerance, and of how many."""
    compared = [
        (row.tau[metric] or 0.0) >= limit - TOLERANCE for metric, limit in other_seed.tau.items() if limit is not None
    ]
    return sum(compared), len(compared)


def lines(name: str, number: int, costs: Sequence[float], rows: Sequence[FidelityResult]) -> list[str]:
    """Format the comparison of a space as lines of a Markdown table."""
    found = []
    other_seed = rows[-1]
    for cost, row in zip(costs[1:], rows[1:], strict=True):
        texts = []
        for metric in METRICS:
            tau = row.tau.get(metric)
            failed = f" ({row.failed[metric]} failed)" if row.failed.get(metric) else ""
            texts.append("" if metric not in row.tau else ("-" if tau is None else f"{tau:.2f}") + failed)
        score_of = "" if row is other_seed else "{} of {}".format(*kept(row, other_seed))
        cells = [
            name,
            str(number),
            row.name.removeprefix("full, "),
            str(row.fidelity).removesuffix(",repeats=1"),
            f"{100 * cost:.1f}%",
            *texts,
            score_of,
        ]
        found.append(f"| {' | '.join(cells)} |")
        name = ""
    return found


def main() -> None:
    """Measure the spaces, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", nargs="+", default=registry.names_without_options("spaces"), metavar="NAME")
    parser.add_argument("--form", nargs="+", default=[], metavar="BOUNDS", help="further fidelities to measure")
    parser.add_argument("--sample", type=int, help="networks of each space; by the cost of the networks if left out")
    parser.add_argument("--store", default="levels.db", help="database of the measured values")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    given = parser.parse_args()
    heads = ["space", "networks", "level", "fidelity", "work", *METRICS, "kept"]
    table = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    print(*table, sep="\n", flush=True)
    results = {}
    store = Store(given.store)
    for name in given.space:
        costs, number, rows = calibrated(name, given.form, given.sample, store)
        table += lines(name, number, costs, rows)
        print(*table[-(len(rows) - 1) :], sep="\n", flush=True)
        results[name] = {"networks": number, "work": costs, "levels": [asdict(row) for row in rows]}
    if given.markdown:
        given.markdown.write_text("\n".join(table) + "\n")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
