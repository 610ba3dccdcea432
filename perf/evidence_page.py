"""The page of evidence of a space with known results: docs/evidence-SPACE.md.

python perf/evidence_page.py --store evidence.db [--space mbconv]

The first table of the page is that of nasctl/correlations/measured.json, which perf/evidence.py measures. The second
one is measured here: the metrics that a search of the space optimises by default, in the setting that it has by
default, on the same networks. Published results are read from $NASCTL_DATA. Values in the store are not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import numpy as np
import torch
from evidence import drawn, interval, measured
from evidence_spaces import SPACES, KnownSpace, known_results

from nasctl import registry
from nasctl.analysis import score
from nasctl.analysis.correlate import oriented_values
from nasctl.analysis.rank_correlation import spearman
from nasctl.candidates.setting import make_setting
from nasctl.correlations.defaults import correlation_text, default_choice
from nasctl.correlations.table import MeasuredCorrelation, MeasuredScene, shipped
from nasctl.evaluation.task import Task
from nasctl.problem.defaults import DEFAULT_COST, SIZES
from nasctl.search.default_objectives import default_objectives, space_kind

DOCS = Path(__file__).parents[1] / "docs"
ORDERS = 10_000  # random orders, from which the interval of no correlation follows
RESAMPLES = 1000  # bootstrap samples of an interval
LINE = 120  # characters of a line
TENTH = 0.1  # share of the networks that a metric ranks highest
SPARE = 1  # further metrics of the family besides the default ones


@dataclass(frozen=True)
class DefaultResult:
    """How well one metric orders networks in the default setting.

    Attributes:
        spearman: Spearman's rho with the known results, and the ends of its 95% interval.
        beyond: Spearman's rho at equal MACs (partial correlation), and the ends of its 95% interval; NaN for MACs.
        best: Mean known result of the tenth of the networks that the metric ranks highest.
    """

    spearman: tuple[float, float, float]
    beyond: tuple[float, float, float]
    best: float


def partial(scores: np.ndarray, truth: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return Spearman's partial rho of scores and results at equal sizes, (..., N) each -> (...)."""
    own, of_scores, of_truth = spearman(scores, truth), spearman(scores, sizes), spearman(truth, sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (own - of_scores * of_truth) / np.sqrt((1 - of_scores**2) * (1 - of_truth**2))
    return np.where(1 - of_scores**2 > 1e-9, found, np.nan)


def default_results(known: KnownSpace, store: str) -> tuple[dict[str, DefaultResult], np.ndarray, str]:
    """Return the results of default metrics and sizes by metric, the known results, (N,), and the setting."""
    (result,) = known.results
    space = registry.create("spaces", known.spec)
    truths = known_results(known)[result.column]
    genomes = drawn(sorted(truths), known.networks)
    choice = default_choice(space_kind(known.spec, space))
    names = [*default_objectives(known.spec, space, "", with_device=False).objectives, *SIZES]
    names += choice.spare[:SPARE] if choice else ()
    metrics = score.make_metrics(dict.fromkeys(names), known.spec)
    task = Task(space, metrics, make_setting(space, "", None, seed=0))
    values = {
        name: oriented_values(metrics[name], column.tolist())
        for name, column in measured(known, task, genomes, store).items()
    }
    truth = (-1 if result.lower else 1) * np.array([truths[genome] for genome in genomes])
    found = {name: _result(name, column, truth, values[DEFAULT_COST]) for name, column in values.items()}
    return found, truth, str(task.setting)


def _result(name: str, scores: np.ndarray, truth: np.ndarray, sizes: np.ndarray) -> DefaultResult:
    rows = np.random.default_rng(0).integers(len(truth), size=(RESAMPLES, len(truth)))
    beyond = (float("nan"),) * 3
    if name != DEFAULT_COST:
        ends = np.nanpercentile(partial(scores[rows], truth[rows], sizes[rows]), [2.5, 97.5])
        beyond = (float(partial(scores, truth, sizes)), *map(float, ends))
    top = np.argsort(-scores, kind="stable")[: round(TENTH * len(truth))]
    return DefaultResult((float(spearman(scores, truth)), *interval(scores, truth)), beyond, float(truth[top].mean()))


def random_interval(networks: int) -> tuple[float, float]:
    """Return the 95% interval of Spearman's rho of random orders of some networks."""
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(networks, dtype=float), (ORDERS, 1)), axis=1)
    low, high = np.percentile(spearman(orders, np.broadcast_to(np.arange(networks), orders.shape)), [2.5, 97.5])
    return float(low), float(high)


def scene_table(scene: MeasuredScene) -> Iterator[str]:
    """Yield the lines of a table of all metrics of a scene, the best first, with sizes and random orders in bold."""
    yield "| | better | Spearman | 95% interval | Kendall | failed | between two seeds |"
    yield "| --- " * 7 + "|"
    rows = [(_value(one), _scene_row(name, one)) for name, one in scene.metrics.items()]
    low, high = random_interval(scene.networks)
    rows.append((0.0, f"| **random order** | | 0 | {_number(low)} to {_number(high)} | 0 | 0 | |"))
    yield from (row for _, row in sorted(rows, key=lambda pair: -pair[0]))


def _value(one: MeasuredCorrelation) -> float:
    return -2.0 if one.spearman is None else one.spearman


def _scene_row(name: str, one: MeasuredCorrelation) -> str:
    shown = f"**{name}**" if name in (*SIZES, "memory") else f"`{name}`"
    better = "larger" if one.direction == "max" else "smaller"
    ends = "-" if one.low is None or one.high is None else f"{_number(one.low)} to {_number(one.high)}"
    seeds = "" if one.seeds is None else _number(one.seeds)
    cells = (shown, better, _number(one.spearman), ends, _number(one.kendall), str(one.failed), seeds)
    return f"| {' | '.join(cells)} |"


def defaults_table(results: Mapping[str, DefaultResult]) -> Iterator[str]:
    """Yield the lines of the table of default metrics, the best first."""
    yield "| | Spearman | at equal MACs | mean result of its best tenth |"
    yield "| --- " * 4 + "|"
    for name, one in sorted(results.items(), key=lambda pair: -pair[1].spearman[0]):
        shown = f"**{name}**" if name in SIZES else f"`{name}`"
        cells = [
            "" if np.isnan(value) else f"{_number(value)} [{_number(low)}, {_number(high)}]"
            for value, low, high in (one.spearman, one.beyond)
        ]
        yield f"| {shown} | {cells[0]} | {cells[1]} | {one.best:.2f} |"


def _number(value: float | None) -> str:
    return correlation_text(value)


def scene_section(scene: MeasuredScene) -> Iterator[str]:
    """Yield the lines of the section that needs no data: the table of measured.json."""
    yield f"## Every metric on {scene.networks} networks"
    yield ""
    yield from scene_table(scene)
    yield ""


def page(known: KnownSpace, store: str) -> Iterator[str]:
    """Yield the lines of the page of a space."""
    name = known.spec.partition(":")[0]
    (scene,) = (one for one in shipped().scenes if one.space == known.spec)
    results, truth, setting = default_results(known, store)
    best, count = float(np.sort(truth)[-round(TENTH * len(truth)) :].mean()), len(truth)
    held_out = default_choice(space_kind(known.spec, registry.create("spaces", known.spec)))
    yield from (f"# Do the metrics order networks of {name}?", "")
    yield from paragraph(
        f"This page is for readers who want to know whether a search on `{name}` finds better networks. It compares"
        f" every metric with known results: {scene.dataset}, of {scene.networks} random networks of `{scene.space}`."
        f" Source: {scene.truth}, {scene.licence}."
    )
    yield from (f"    python perf/evidence_page.py --space {name} --store evidence.db", "")
    yield from paragraph(
        "The command writes this page. Spearman's rho is 1 if a metric puts the networks into the order of their"
        " results, and 0 if it says nothing about it. A network on which a metric failed counts as worst. Intervals are"
        " 95% bootstrap intervals over the networks. Sizes of the network are in bold: a metric is worth its time only"
        " if it orders networks better than they do."
    )
    yield from scene_section(scene)
    yield from paragraph(
        f'Examples: `{scene.data}`, fidelity `{scene.fidelity}`. Made by `{shipped().command}`. "Between two seeds" is'
        " rho between values with two seeds of weights and examples, where it was measured. Of random orders, 95 of 100"
        " stay within the interval of their row."
    )
    yield from ("## The default metrics in the default setting", "")
    yield from paragraph(
        f"A search that is told nothing else measures in the setting `{setting}`. On the same {count} networks:"
    )
    yield from (*defaults_table(results), "")
    yield from paragraph(
        '"At equal MACs" is the partial correlation: what a metric says about results beyond what MACs say. The mean'
        f" result of all networks is {truth.mean():.2f}, and that of the truly best tenth {best:.2f}."
    )
    for one in held_out.other_networks if held_out else ():
        if one.space == name:
            yield from paragraph(
                f"The default score was chosen on these networks. On halves of them on which it was not chosen, a score"
                f" that is chosen by the same rule has Spearman {_number(one.score)} on the mean, parameters have"
                f" {_number(one.params)} and MACs {_number(one.macs)}"
                " ([metrics.md](metrics.md#defaults-by-measurements))."
            )


def paragraph(text: str) -> Iterator[str]:
    """Yield the lines of a paragraph, and an empty line."""
    yield from wrap(text, LINE, break_on_hyphens=False, break_long_words=False)
    yield ""


LIMITS = {
    "mbconv": """## Limits

- The accuracies are those of subnets with the shared weights of Once-for-All, without training of their own. Networks
  that are trained alone may have another order.
- All networks have width 1.0 and 224 pixels. `mbconv` has width 1.2 by default.
- The networks are random, so few of them are near the best. Networks of equal cost are harder to order: see the column
  at equal MACs.
""",
}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="evidence.db")
    parser.add_argument("--space", default="mbconv", help="name of a space with one known result")
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = next(one for one in SPACES if one.spec.partition(":")[0] == options.space)
    lines = "\n".join(page(known, options.store)) + "\n" + LIMITS.get(options.space, "")
    (DOCS / f"evidence-{options.space}.md").write_text(lines.strip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
