"""The table of measured rank correlations, and the default metrics and scores that follow from it.

python perf/evidence.py --store evidence.db [--networks 40] [--seeds 12]

The script measures every metric on random networks of each space whose results are published, compares the values with
the results, and writes nasctl/correlations/measured.json. It prints the tables of docs/metrics.md. Published files are
read from the folder that NASCTL_DATA names. Values in the store are not computed again, so a
stopped script goes on where it was. Values of NAS-Bench-201 and NAS-Bench-Macro are those that nasctl ships.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from evidence_choice import choices
from evidence_sets import RankedNetworks
from evidence_spaces import IMAGES, SLOW, SPACES, KnownSpace, known_results
from scipy.stats import spearmanr

from nasctl import registry
from nasctl.analysis import score
from nasctl.analysis.correlate import is_size, oriented_values
from nasctl.analysis.rank_correlation import agreement, spearman
from nasctl.bench.listed import shipped_scores
from nasctl.bench.published import published_path
from nasctl.candidates.objective import Objective
from nasctl.candidates.setting import Setting
from nasctl.correlations.families import family_of
from nasctl.correlations.table import (
    CorrelationsTable,
    DefaultChoice,
    DirectedCorrelation,
    HeldOutResult,
    MeasuredCorrelation,
    MeasuredScene,
    mean_correlation,
    shipped,
)
from nasctl.data import source
from nasctl.evaluation.task import Task
from nasctl.problem.searcher import Direction
from nasctl.problem.space import Genome, default_fidelity
from nasctl.registry.version import __version__
from nasctl.search.applicability import inapplicable_reasons
from nasctl.store.store import Store
from nasctl.system.terminal import counted

OUTPUT = Path(__file__).parents[1] / "nasctl" / "correlations" / "measured.json"
# lga trains, and takes as long as all other metrics together. size orders networks as params does.
LEFT_OUT = ("lga", "size")
TABULATED = 500  # networks of a space whose values nasctl ships
RESAMPLES = 1000  # bootstrap samples of an interval
CLOSE = 0.9  # rho between two seeds, from which it is not printed
DIGITS = 4  # of the numbers in the table

Values = dict[str, np.ndarray]  # by metric, (N,), as measured; NaN where a metric failed


def space_task(known: KnownSpace, seed: int) -> Task:
    """Return the task that measures every metric that applies to a space, at its default fidelity."""
    space = registry.create("spaces", known.spec)
    left_out = {*LEFT_OUT, *known.left_out}
    metrics = score.make_metrics([one for one in score.expand_specs(["all"]) if one not in left_out], known.spec)
    inapplicable = inapplicable_reasons(space, metrics)
    metrics = {name: metric for name, metric in metrics.items() if name not in inapplicable}
    data = source(str(published_path(IMAGES)) if space.input.kind == "images" else "tokens")
    return Task(space, metrics, Setting(data, default_fidelity(space), seed))


def drawn(genomes: Sequence[Genome], number: int) -> list[Genome]:
    """Return a random sample of genomes; a smaller sample is part of a larger one."""
    return [genomes[k] for k in np.random.default_rng(0).permutation(len(genomes))[:number]]


def measured(known: KnownSpace, task: Task, genomes: Sequence[Genome], store: str) -> Values:
    """Return the values of every metric for genomes, which are measured where the store lacks them."""
    canonical = [task.space.canonical(genome) for genome in genomes]
    rows = counted(score.score_genomes(task, known.spec, canonical, Store(store)), len(canonical), known.spec)
    found = [row.evaluation.values for row in rows]
    return {name: np.array([one.get(name, np.nan) for one in found], dtype=float) for name in task.metrics}


def seed_correlations(known: KnownSpace, genomes: Sequence[Genome], first: Values, store: str) -> dict[str, float]:
    """Return Spearman's rho of each metric but slow ones between seeds 0 and 1 of weights and examples.

    Args:
        known: The space.
        genomes: Genomes, of which `first` has values.
        first: Values with seed 0.
        store: Path of the store.
    """
    task = space_task(known, 1)
    quick = {name: metric for name, metric in task.metrics.items() if name not in SLOW}
    second = measured(known, replace(task, metrics=quick), genomes, store)
    return {name: _rho(first[name][: len(genomes)], values) for name, values in second.items() if name in first}


def _rho(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rho over the networks that have both values; NaN below three of them or where all are equal."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3 or np.ptp(one[both]) == 0 or np.ptp(other[both]) == 0:
        return float("nan")
    return float(spearmanr(one[both], other[both]).statistic)


def measure_space(
    known: KnownSpace, networks: int, seeds: int, store: str
) -> tuple[list[MeasuredScene], list[RankedNetworks]]:
    """Return the scenes of a space, and the values and results behind each."""
    results = known_results(known)
    genomes = sorted(set.intersection(*(set(column) for column in results.values())))
    task = space_task(known, 0)
    if known.tabulated:
        chosen, scores = drawn(genomes, TABULATED), shipped_scores(known.spec, task.space)
        canonical = [task.space.canonical(genome) for genome in chosen]
        values = {name: np.array([scores[name][one] for one in canonical]) for name in task.metrics if name in scores}
    else:
        chosen = drawn(genomes, known.networks or networks)
        values = measured(known, task, chosen, store)
    repeated = seed_correlations(known, chosen[:seeds], values, store) if seeds else {}
    oriented = {name: oriented_values(task.metrics[name], values[name].tolist()) for name in values}
    family = family_of(task.space, task.space.network(chosen[0]))
    scenes, labelled = [], []
    for result in known.results:
        sign = -1 if result.lower else 1
        truth = sign * np.array([results[result.column][genome] for genome in chosen])
        correlations = {
            name: _correlation(metric, oriented[name], truth, None if is_size(metric) else repeated.get(name), seeds)
            for name, metric in task.metrics.items()
            if name in oriented
        }
        about = (known.spec, family, result.task, result.dataset, known.source, known.licence)
        scenes.append(
            MeasuredScene(
                *about, str(task.setting.data), str(task.setting.fidelity), len(chosen), correlations, known.page
            )
        )
        labelled.append(RankedNetworks(oriented, truth))
    return scenes, labelled


def _correlation(
    metric: Objective, scores: np.ndarray, truth: np.ndarray, seeds: float | None, seeds_n: int
) -> MeasuredCorrelation:
    """Return the correlation of one metric with true results."""
    found = agreement(scores, truth, resamples=0)
    tau = None if found.kendall is None else round(found.kendall.value, DIGITS)
    one = directed(scores, truth)
    opposite = directed(-scores, truth) if found.failed else None
    repeated = None if seeds is None or np.isnan(seeds) else round(seeds, DIGITS)
    direction: Direction = "max" if is_size(metric) else metric.direction
    counted_seeds = 0 if repeated is None else seeds_n
    return MeasuredCorrelation(
        direction, one.spearman, one.low, one.high, tau, found.failed, repeated, counted_seeds, opposite
    )


def directed(scores: np.ndarray, truth: np.ndarray) -> DirectedCorrelation:
    """Return the correlation of scores, (N,), higher is better, with true results; a failed network counts as worst."""
    rho = float(spearman(scores, truth))
    if np.isnan(rho):
        return DirectedCorrelation(None, None, None)
    return DirectedCorrelation(round(rho, DIGITS), *interval(scores, truth))


def interval(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the 95% percentile interval of Spearman's rho over bootstrap samples of the networks.

    `agreement` gives the same interval; this one leaves out Kendall's tau, which takes most of its time.
    """
    drawn_networks = np.random.default_rng(0).integers(len(truth), size=(RESAMPLES, len(truth)))
    rhos = spearman(scores[drawn_networks], truth[drawn_networks])
    value = float(spearman(scores, truth))  # among the samples, so that it lies within its interval
    low, high = np.nanpercentile([*rhos, value], [2.5, 97.5])
    return round(min(low, value), DIGITS), round(max(high, value), DIGITS)


def report(scenes: Sequence[MeasuredScene]) -> Iterator[str]:
    """Yield the lines of a Markdown table: the mean rho of a metric by space and task, and rho between seeds below .9.

    Args:
        scenes: The scenes.
    """
    groups: dict[tuple[str, str], list[MeasuredScene]] = {}
    for scene in scenes:
        groups.setdefault((scene.name, scene.task), []).append(scene)
    yield "| | " + " | ".join(f"{space}, {task}" for space, task in groups) + " |"
    yield "| --- " * (1 + len(groups)) + "|"
    yield "| networks | " + " | ".join(str(found[0].networks) for found in groups.values()) + " |"
    for name in sorted({name for scene in scenes for name in scene.metrics}):
        cells = []
        for found in groups.values():
            rho = mean_correlation(found, name)
            seeds = None if rho is None else found[0].metrics[name].seeds
            cells.append("" if rho is None else f"{rho:.2f}" + (f" ({seeds:.2f})" if seeds and seeds < CLOSE else ""))
        yield f"| `{name}` | " + " | ".join(cells) + " |"


def choices_report(choices: Sequence[DefaultChoice]) -> Iterator[str]:
    """Yield the lines of a Markdown table of choices. A result has rho of the score, of params and of MACs."""
    columns = ("family", "task", "objectives", "score", "score elsewhere", "on other networks", "on other spaces")
    yield "| " + " | ".join(columns) + " |"
    yield "| --- " * len(columns) + "|"
    for one in choices:
        lists = (one.objectives, one.score, one.elsewhere)
        results = ["; ".join(map(_result, held)) for held in (one.other_networks, one.other_spaces)]
        cells = [one.family or f"other {one.kind}", one.task, *(", ".join(names) for names in lists), *results]
        yield "| " + " | ".join(cells) + " |"


def _result(one: HeldOutResult) -> str:
    chosen = f" ({', '.join(one.chosen)})" if one.chosen else ""
    return f"{one.space}{chosen} {one.score:.2f}, {one.params:.2f}, {one.macs:.2f}"


def earlier(chosen: Sequence[DefaultChoice]) -> list[DefaultChoice]:
    """Return the choices of the shipped table that differ from new ones in their objectives, and those before it."""
    now = {(one.family, one.kind, one.task): (one.objectives, one.spare) for one in chosen}
    past = [
        one for one in shipped().choices if now.get((one.family, one.kind, one.task)) != (one.objectives, one.spare)
    ]
    return [*(replace(one, other_networks=(), other_spaces=()) for one in past), *shipped().earlier]


def written(table: CorrelationsTable) -> str:
    """Return the table as JSON with a line for each metric and each choice."""

    def lines(items: Mapping[str, dict[str, object]]) -> str:
        for one in items.values():
            if one["opposite"] is None:
                del one["opposite"]  # of most metrics
        return ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in items.items())

    scenes = []
    for scene in table.scenes:
        plain = asdict(scene)
        metrics = plain.pop("metrics")
        if plain["page"] == MeasuredScene.page:
            del plain["page"]  # of most scenes
        scenes.append(f'  {json.dumps(plain)[:-1]}, "metrics": {{\n{lines(metrics)}}}}}')
    chosen = ",\n".join(f"  {json.dumps(asdict(one))}" for one in table.choices)
    past = ",\n".join(f"  {json.dumps(asdict(one))}" for one in table.earlier)
    head = f'"command": {json.dumps(table.command)},\n "versions": {json.dumps(dict(table.versions))}'
    joined = ",\n".join(scenes)
    return f'{{{head},\n "scenes": [\n{joined}],\n "choices": [\n{chosen}],\n "earlier": [\n{past}]}}\n'


def main() -> None:
    """Measure, choose, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="evidence.db")
    parser.add_argument("--networks", type=int, default=40, help="networks of each space without shipped values")
    parser.add_argument("--seeds", type=int, default=12, help="networks that are measured with a second seed")
    parser.add_argument("--without", default="", help="names of spaces to leave out, separated by commas")
    parser.add_argument(
        "--drop-earlier",
        action="store_true",
        help="forget the defaults of the table that is overwritten and of older ones",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    scenes, labelled = [], dict[str, list[tuple[MeasuredScene, RankedNetworks]]]()
    left_out = set(filter(None, options.without.split(",")))
    for known in (one for one in SPACES if one.spec.partition(":")[0] not in left_out):
        found, behind = measure_space(known, options.networks, options.seeds, options.store)
        scenes += found
        labelled[known.spec.partition(":")[0]] = list(zip(found, behind, strict=True))
    versions = {"nasctl": __version__, **{name: version(name) for name in ("numpy", "torch")}}
    command = f"python perf/evidence.py --networks {options.networks} --seeds {options.seeds}"
    command += f" --without {options.without}" if options.without else ""
    chosen = choices(labelled)
    table = CorrelationsTable(command, versions, scenes, chosen, [] if options.drop_earlier else earlier(chosen))
    options.output.write_text(written(table), encoding="utf-8")
    print(*report(scenes), "", sep="\n")
    print(*choices_report(table.choices), sep="\n")
    print(f"{options.output} has {len(scenes)} scenes and {len(table.choices)} choices", file=sys.stderr)


if __name__ == "__main__":
    main()
