"""Selection of the best sets of metrics on two search spaces, tested on held-out cells.

python perf/combine.py --store combine.db

The script ranks every set of up to four metrics by Kendall's tau between its log rank and accuracies. Metrics that are
sizes or that train are excluded. On 400 random cells of NAS-Bench-201 the accuracies are validation accuracies (the
mean of tau over its three data sets). On 100 random networks of Once-for-All's MobileNetV3 they are ImageNet accuracies
with shared weights. The script prints the best sets by NAS-Bench-201 alone, the best sets by the mean of both, and the
sets of the literature. For each set it also prints tau with the test accuracy over all other cells of NAS-Bench-201. A
failed candidate ranks last.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gzip
from collections.abc import Sequence
from importlib.resources import files
from itertools import chain, combinations

import numpy as np
import torch
from scipy.stats import kendalltau

from nasctl import registry
from nasctl.analysis import score
from nasctl.analysis.aggregate import log_rank, orient
from nasctl.bench.published import published_path
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome, SearchSpace, default_fidelity
from nasctl.store.store import Store
from nasctl.system.terminal import counted

SIZES = ("params", "macs", "depth", "memory")
# lga trains. expected_synflow replaces synflow as a filter and has a different form for each space.
LEFT_OUT = ("lga", "expected_synflow")
AZ = ("expressivity", "progressivity", "trainability", "macs")  # AZ-NAS: Lee & Ham, CVPR 2024, arXiv:2403.19232
PUBLISHED = (AZ, ("synflow", "jacov"), (*AZ, "synflow", "jacov"))
PRINTED = 3  # sets printed for each of the two rules
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
MOBILE = "mbconv:width=1.0"
RUNS = ("evounsga3_acc_macs_params", "linasnsga2_acc_macs")  # published runs; the first 50 networks of each are random

Values = dict[str, np.ndarray]  # by metric name, (N,); higher is better


def cells(rows: list[dict[str, str]]) -> Values:
    """Return the shipped values of cells; a larger size counts as better.

    Args:
        rows: Rows of the published table, (N,).
    """
    space = registry.create("spaces", "nb201")
    text = gzip.decompress(files("nasctl").joinpath("benchmarks", "nb201.csv.gz").read_bytes()).decode()
    table = {row["arch"]: row for row in csv.DictReader(text.splitlines())}
    found = [table[space.spell(space.canonical(space.parse(row["arch_str"])))] for row in rows]
    return {
        name: oriented(name, [float(row[name]) if row[name] else None for row in found])
        for name in found[0]
        if name != "arch"
    }


def networks(store: str, names: Sequence[str]) -> tuple[Values, np.ndarray]:
    """Return the metrics of random networks of Once-for-All, and their accuracies in %, (N,)."""
    space, accuracies = registry.create("spaces", MOBILE), dict[Genome, float]()
    for run in RUNS:
        with open(published_path(f"ofa-latency/dynast_mbnv3w10_{run}.csv"), encoding="utf-8", newline="") as file:
            for row in list(csv.DictReader(file))[:50]:
                accuracies[genome(ast.literal_eval(row["Sub-network"]), space)] = float(row["Top-1 Acc (%)"])
    setting = Setting(source(str(published_path("images/cifar10_train_12000.zip"))), default_fidelity(space))
    task = Task(space, score.make_metrics(names, MOBILE), setting)
    rows = counted(score.score_genomes(task, MOBILE, list(accuracies), Store(store)), len(accuracies), "scored")
    found = [row.evaluation.values for row in rows]
    values = {name: oriented(name, [one.get(name) for one in found]) for name in names}
    return values, np.array(list(accuracies.values()))


def genome(network: dict[str, list[int]], space: SearchSpace) -> Genome:
    """Return the genome of a network in the notation of Once-for-All.

    The notation has kernels and expansions for four blocks of every stage, whatever its depth.
    """
    choices, wanted = iter(space.genes), []
    for stage, depth in enumerate(network["d"]):
        wanted.append(depth)
        for block in range(4 * stage, 4 * stage + 4):
            wanted += [network["ks"][block], network["e"][block]]
    return space.canonical(tuple(next(choices).choices.index(value) for value in wanted))


def oriented(name: str, values: Sequence[float | None]) -> np.ndarray:
    """Return the values of a metric, (N,), with the sign for which higher is better; NaN for a failed candidate."""
    numbers = np.array([np.nan if value is None else value for value in values])
    return orient(numbers, "max" if name in SIZES else registry.load("objectives", name).direction)


def tau(values: Values, metrics: tuple[str, ...], truth: np.ndarray) -> float:
    """Return Kendall's tau between the log rank of some metrics and the true accuracies, (N,)."""
    return float(kendalltau(log_rank(np.stack([values[name] for name in metrics])), truth).statistic)


def main() -> None:
    """Select the sets and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="nasctl.db", help="store for the metrics of mbconv")
    parser.add_argument("--sample", type=int, default=400, help="number of cells to select by")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with gzip.open(published_path("nb201/nb201_table.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    drawn = np.random.default_rng(0).permutation(len(rows))
    some, others = ([rows[k] for k in part] for part in (drawn[: options.sample], drawn[options.sample :]))
    known, judged = cells(some), cells(others)
    mobile, accuracies = networks(options.store, [name for name in known if name not in LEFT_OUT])
    free = [name for name in mobile if name not in SIZES and np.isfinite(mobile[name]).any()]
    validation = [np.array([float(row[f"val_acc_200_{data}"]) for row in some]) for data in DATASETS]
    test = [np.array([float(row[f"test_acc_200_{data}"]) for row in others]) for data in DATASETS]

    def selection_tau(metrics: tuple[str, ...]) -> tuple[float, float]:
        of_cells = float(np.mean([tau(known, metrics, truth) for truth in validation]))
        return of_cells, tau(mobile, metrics, accuracies)

    sets = chain.from_iterable(combinations(free, size) for size in range(1, 5))
    figures = {metrics: selection_tau(metrics) for metrics in sets}
    rules = [sorted(figures, key=lambda metrics: -sum(figures[metrics][:parts]))[:PRINTED] for parts in (1, 2)]
    print(f"tau over {len(some)} cells, {len(accuracies)} networks | tau with test accuracies over {len(others)} cells")
    for metrics in (*chain(*rules), *PUBLISHED):
        pairs = selection_tau(metrics), [tau(judged, metrics, truth) for truth in test]
        print(" | ".join(" ".join(f"{figure:.3f}" for figure in part) for part in pairs), "+".join(metrics))


if __name__ == "__main__":
    main()
