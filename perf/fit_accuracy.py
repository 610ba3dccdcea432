"""Accuracy predictors, judged on benchmarks: python perf/fit_accuracy.py --seeds 3 > table.md.

From each benchmark some networks are drawn, and predictors are fitted to their results alone. Each figure is Kendall's
tau with the results of up to 4,000 networks that gave no label, the mean over the seeds with the deviation over seeds.
Networks are drawn from all rows of the benchmark, so an isomorph of a judged network may have given a label, as in
published comparisons; "distinct" leaves such networks out. Metrics are the columns that nasctl ships (for DARTS those
of NASLib), structure and genes are computed. "objective fit" is the predictor of the command, whose model is chosen by
cross-validation on the labels. "extra-trees" and "GP" see the metric columns alone, unscaled and scaled. "log rank" is
that of the space's default score. NASCTL_DATA names the folder of the published tables.

The features, models and the default mean were chosen on nb201 cifar100 and darts with seeds 100 to 103. All other tasks
and the seeds of this table took no part in the choice.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau
from sklearn.ensemble import ExtraTreesRegressor

from nasctl import registry
from nasctl.analysis.aggregate import log_rank
from nasctl.analysis.correlate import oriented_values
from nasctl.bench.listed import shipped_scores
from nasctl.benchmarks.darts import DARTSBenchmark
from nasctl.benchmarks.nb201 import NB201Benchmark
from nasctl.benchmarks.nbmacro import NBMacroBenchmark
from nasctl.benchmarks.tnb101_micro import TNB101MicroBenchmark
from nasctl.correlations.defaults import default_choice, default_score
from nasctl.prediction.feature_scale import METRICS
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.predictor import AccuracyPredictor
from nasctl.problem.space import Genome, SearchSpace
from nasctl.search.default_objectives import space_kind

SPACES = ("nb201", "nbmacro", "tnb101_micro", "darts")
DARTS = "darts:channels=32,cells=8"  # the space of the networks in NASLib's table
JUDGED = 4000  # largest number of networks that a prediction is judged on
METHODS = ("objective fit", "distinct", "extra-trees", "extra-trees, distinct", "GP", "log rank", "params", "macs")


@dataclass
class Rows:
    """The networks of a benchmark.

    Args:
        builder: Builder of the features.
        features: Features of the canonical networks, (C, F).
        oriented: Values of each metric by name, (C,), higher is better, larger for sizes.
        usual: Metrics of the space's default score.
        place: Place of each row's canonical network, (N,).
        truth: Results of the rows by task, (N,) each, higher is better.
    """

    builder: FeatureBuilder
    features: np.ndarray
    oriented: dict[str, np.ndarray]
    usual: list[str]
    place: np.ndarray
    truth: dict[str, np.ndarray]


def load(name: str) -> Rows:
    """Return the networks of a benchmark with their features."""
    if name == "darts":
        benchmark = DARTSBenchmark()
        space: SearchSpace = registry.create("spaces", DARTS)
        columns = {
            column: dict(zip(benchmark.genomes, benchmark.column(column).values, strict=True))
            for column in benchmark.names
        }
        canonical: Callable[[Genome], Genome] = tuple
    else:
        kinds = {"nb201": NB201Benchmark, "nbmacro": NBMacroBenchmark, "tnb101_micro": TNB101MicroBenchmark}
        benchmark = kinds[name](canonical=name == "nbmacro")
        space = registry.create("spaces", name)
        columns, canonical = shipped_scores(name, space), space.canonical
    of_rows = [canonical(genome) for genome in benchmark.genomes]
    genomes = sorted(set(of_rows))
    values = [{metric: column[genome] for metric, column in columns.items()} for genome in genomes]
    builder = FeatureBuilder.of(space, tuple(columns), genomes)
    metrics = {metric: registry.create("objectives", metric) for metric in columns}
    oriented = {name: oriented_values(one, [row[name] for row in values]) for name, one in metrics.items()}
    asked = space_kind(DARTS if name == "darts" else name, space)
    choice = default_choice(asked)
    usual = [metric for metric in (default_score(asked, choice) if choice else ()) if metric in columns]
    places = {genome: place for place, genome in enumerate(genomes)}
    truth = {task: scene.accuracy for task, scene in benchmark.scenes.items()}
    place = np.array([places[genome] for genome in of_rows])
    return Rows(builder, builder.features(genomes, values), oriented, usual, place, truth)


def tau(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return Kendall's tau; 0 where all predictions are equal."""
    return float(np.nan_to_num(kendalltau(np.nan_to_num(predicted, neginf=-1e300), truth).statistic))


def judged(rows: Rows, task: str, labels: int, seed: int) -> Iterator[tuple[str, float]]:
    """Yield Kendall's tau of each method for one draw of labels.

    Args:
        rows: The networks.
        task: The task.
        labels: Number of labelled rows.
        seed: Seed of the draw and of the models.
    """
    truth = rows.truth[task]
    drawn = np.random.default_rng(seed).permutation(len(truth))
    labelled, rest = drawn[:labels], drawn[labels:]
    networks, inverse = np.unique(rows.place[labelled], return_inverse=True)  # isomorphs give one label, their mean
    results = np.bincount(inverse, truth[labelled]) / np.bincount(inverse)
    others, distinct = rest[:JUDGED], rest[~np.isin(rows.place[rest], networks)][:JUDGED]
    features = rows.features

    def predictions(method: str) -> np.ndarray:
        metrics = np.array([group == METRICS for group in rows.builder.groups])
        if method == "extra-trees":
            known = features[:, metrics]
            filled = np.where(np.isfinite(known), known, np.nanmin(np.where(np.isfinite(known), known, np.nan)) - 1)
            forest = ExtraTreesRegressor(300, random_state=seed).fit(filled[networks], results)
            return np.asarray(forest.predict(filled))
        columns = metrics if method == "GP" else np.ones(len(metrics), dtype=bool)
        groups = tuple(group for group, used in zip(rows.builder.groups, columns, strict=True) if used)
        model = "gaussian_process" if method == "GP" else "choose"
        settings = AccuracyPredictor(groups, model, features[:, columns], seed)
        return settings.fit(features[networks][:, columns], results).predict(features[:, columns])[0]

    for method in ("objective fit", "extra-trees", "GP"):
        found = predictions(method)
        yield method, tau(found[rows.place[others]], truth[others])
        if method != "GP":
            name = "distinct" if method == "objective fit" else f"{method}, distinct"
            yield name, tau(found[rows.place[distinct]], truth[distinct])
    simple = {one: rows.oriented[one] for one in ("params", "macs")}
    if rows.usual:
        simple["log rank"] = log_rank(np.stack([rows.oriented[name] for name in rows.usual]))
    for name, values in simple.items():
        yield name, tau(values[rows.place[others]], truth[others])


def row(cells: Sequence[object]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Judge predictors and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", default=",".join(SPACES))
    parser.add_argument("--tasks", default="", help="names of tasks; all without it")
    parser.add_argument("--labels", default="32,128,400")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(row(["space: task", "labels", *METHODS, "s to fit"]), row(["---"] * (len(METHODS) + 3)), sep="\n", flush=True)
    for space in options.spaces.split(","):
        rows = load(space)
        tasks = [task for task in rows.truth if not options.tasks or task in options.tasks.split(",")]
        for task in tasks:
            for labels in map(int, options.labels.split(",")):
                if labels > len(rows.place) - 100:
                    continue
                found = defaultdict(list)
                start = time.perf_counter()
                for seed in range(options.seeds):
                    for method, value in judged(rows, task, labels, seed):
                        found[method].append(value)
                seconds = (time.perf_counter() - start) / options.seeds
                cells = [f"{np.mean(found[m]):.3f} ±{np.std(found[m]):.3f}" if m in found else "-" for m in METHODS]
                print(row([f"{space}: {task}", labels, *cells, f"{seconds:.0f}"]), flush=True)


if __name__ == "__main__":
    main()
