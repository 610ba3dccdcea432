"""Choice of metrics and their directions by the known results of a few networks, and its certainty.

The rule: Spearman's rho of each metric on the labels is taken in both directions, with failed networks as worst in
either, and the better direction counts. Take the metric with the largest rho, then up to two more that repeat none of
the chosen (absolute rho below `REPEATED`) and reach `SHARE` of the first one's rho. The score is their log rank. Of the
first one, two or three, those are picked that do best on labels left out. `perf/few.py` judges the rule on benchmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nasctl.analysis.aggregate import ranks
from nasctl.analysis.correlate import BASELINES, REVERSED, KnownSample, looks_reversed, oriented_columns
from nasctl.analysis.labelled_networks import LabelledNetworks
from nasctl.analysis.rank_correlation import spearman
from nasctl.analysis.score import Scored
from nasctl.errors import NasctlError
from nasctl.evaluation.task import Task
from nasctl.problem.defaults import DEFAULT_COST, SIZES
from nasctl.problem.space import Genome

MOST = 3  # metrics of a pick
REPEATED = 0.9  # absolute rho between two metrics, from which one repeats the other
SHARE = 0.8  # of the first metric's rho, below which no further metric is taken
RESAMPLES = 200  # bootstrap samples of the labels
CERTAIN = 0.8  # share of the samples in which the pick has to beat the sizes
LEVEL = 0.95  # of the intervals
LEAST = 8  # labelled networks, below which nothing can be picked

Signs = Mapping[str, int]  # by metric: 1 for its own direction (of a size: larger), -1 for the other


@dataclass(frozen=True)
class FewLabelsPick:
    """The metrics that a few labels favour.

    Args:
        signs: Picked metrics with their signs, the best first.
        labels: Number of labelled networks.
        seen: Spearman's rho of the score on all labels, by which it was picked, so too high.
        unseen: Mean rho on the labels that a bootstrap sample leaves out, for the score picked on the sample, with the
            bounds of the middle 95% of the samples.
        sizes: The same for the sizes, by name.
        beats: Certainty that the score beats parameters and multiply-accumulates, 0 to 1: a share of bootstrap samples.
        size_signs: 1 for each size if the labels favour more of it, -1 if less. Sizes are compared in this direction.
        looks_reversed: True if the labels seem to be taken in the wrong direction, as losses taken for accuracies.
    """

    signs: Signs
    labels: int
    seen: float
    unseen: tuple[float, float, float]
    sizes: Mapping[str, tuple[float, float, float]]
    beats: float
    size_signs: Signs
    looks_reversed: bool

    @property
    def verdict(self) -> str:
        """What the labels say of the score against the sizes: "better", "worse" or "cannot tell".

        A score is better only if the interval of its rho on left-out labels is above 0. Random labels favour some
        metric by chance, and it beats sizes that order nothing either.
        """
        if self.beats >= CERTAIN and self.unseen[1] > 0:
            return "better"
        return "worse" if self.beats <= 1 - CERTAIN else "cannot tell"

    def specs(self, task: Task) -> list[str]:
        """Return the picked metrics as objectives, without sizes, which are costs of a search."""
        opposite = {"max": "min", "min": "max"}
        chosen = {name: sign for name, sign in self.signs.items() if _plain(name) not in SIZES}
        directions = {name: task.metrics[name].direction for name in chosen}
        return [name if sign > 0 else f"{opposite[directions[name]]}:{_plain(name)}" for name, sign in chosen.items()]

    def report(self, task: Task) -> dict[str, object]:
        """Return the pick as JSON has it."""
        return {**asdict(self), "verdict": self.verdict, "objectives": self.specs(task)}

    def sentences(self, task: Task) -> list[str]:
        """Return the pick, its certainty and the option to use, in lines for people."""
        names = [name if sign > 0 else f"{name} reversed" for name, sign in self.signs.items()]
        if not names:
            return ["no metric orders these networks at all; label other networks, which differ more"]
        sizes = {name: name if self.size_signs[name] > 0 else f"{name} reversed" for name in self.sizes}
        figures = [("the pick", self.unseen), *((sizes[name], rho) for name, rho in self.sizes.items())]
        lines = [
            f"pick: {', '.join(names)}; Spearman {self.seen:.2f} on the labels that it was picked by (too high)",
            "on labels left out: " + "; ".join(f"{n} {m:.2f} [{low:.2f}, {high:.2f}]" for n, (m, low, high) in figures),
        ]
        if self.looks_reversed:
            lines.append(REVERSED.format(column="these labels"))
        share = f"it beats params and macs in {self.beats:.0%} of {RESAMPLES} bootstrap samples, optimism deducted"
        if self.verdict == "worse":
            best = max(self.sizes, key=lambda size: self.sizes[size][0])
            rank = f"--score log_rank:{best}" if self.size_signs[best] > 0 else f"fewer {best} first"
            advice = "" if self.looks_reversed else f"; rank by it: {rank}"
            return [*lines, f"{share}: {sizes[best]} orders these networks better{advice}"]
        specs = self.specs(task)
        if not specs and self.unseen[1] > 0:
            return [*lines, "no metric adds to the size; rank networks by it"]
        named = dict(zip([name for name in self.signs if _plain(name) not in SIZES], specs, strict=True))
        option = f"use: -o {','.join([*specs, DEFAULT_COST])}"
        score_option = f"--score log_rank:{'+'.join(named.get(name, _plain(name)) for name in self.signs)}"
        if self.verdict == "better":
            condition = "if the direction is right, " if self.looks_reversed else ""
            return [*lines, f"{share}", f"{condition}{option}, and pareto show {score_option}"]
        if self.beats >= CERTAIN:
            share += ", but its own interval holds 0"
        return [*lines, f"{share}: cannot tell; label more networks, or keep the defaults of the space"]


def _plain(name: str) -> str:
    """Return the name of a metric without the direction of an objective such as "max:macs"."""
    return name.removeprefix("max:").removeprefix("min:")


def pick_metrics(networks: LabelledNetworks) -> dict[str, int]:
    """Return the picked metrics with their signs, the best first; none if no metric orders the labels at all.

    A metric that failed for half of the networks or more is left out, and so is a size of which less is better. Failed
    networks count as worst in both directions.

    Args:
        networks: The labelled networks.
    """
    names = [name for name, values in networks.values.items() if np.isfinite(values).mean() > 0.5]
    if not names or np.ptp(networks.truth) == 0:
        return {}
    oriented = [np.stack([sign * networks.values[name] for name in names]) for sign in (1, -1)]
    both = np.stack([_order(columns, networks.truth) for columns in oriented])  # (2, K)
    both[1, [_plain(name) in SIZES for name in names]] = -1  # a score counts larger sizes as better
    signs = np.where(both[0] >= both[1], 1, -1)
    rho, columns = both.max(axis=0), np.where(signs[:, None] > 0, *oriented)
    picked: list[int] = []
    for k in np.argsort(-rho, kind="stable").tolist():
        if rho[k] <= 0 or len(picked) == MOST or (picked and rho[k] < SHARE * rho[picked[0]]):
            break
        if all(abs(spearman(columns[k], columns[other])) < REPEATED for other in picked):
            picked.append(k)
    return {names[k]: int(signs[k]) for k in picked}


def score(networks: LabelledNetworks, signs: Signs) -> np.ndarray:
    """Return the log rank of metrics with their signs, (N,), higher is better."""
    total = np.sum([np.log(ranks(sign * networks.values[name])) for name, sign in signs.items()], axis=0)
    return np.asarray(np.round(total, 9))  # the last digit depends on the order of the sum and must not break ties


def _order(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return Spearman's rho of values, (..., N), with the truth, (N,); 0 where all are equal."""
    return np.asarray(np.nan_to_num(spearman(values, truth)))


def pick_by_few_labels(networks: LabelledNetworks, seed: int = 0) -> FewLabelsPick:
    """Return the metrics that labels favour, with the certainty that they beat the sizes.

    In each bootstrap sample of the labels, the rule picks anew, and its pick is judged on the sample and on the labels
    that the sample leaves out, about a third. The mean difference is the optimism of choosing among many metrics. The
    certainty is the share of the samples in which the lead over the better size, less the optimism, is above 0. Picked
    metrics may be reversed, so each size is compared in the direction that all labels favour.

    References:
        Efron & Tibshirani, "An introduction to the bootstrap", 1993, section 17.6 (estimates of prediction error by the
        bootstrap, corrected for optimism).

    Args:
        networks: The labelled networks; their values have "params" and "macs".
        seed: Seed of the samples.
    """
    rng, count = np.random.default_rng(seed), len(networks.truth)
    size_signs = {name: 1 if _order(networks.values[name], networks.truth) >= 0 else -1 for name in BASELINES}
    inside, outside = [], []
    for _ in range(RESAMPLES):
        drawn = rng.integers(count, size=count)
        left = np.setdiff1d(np.arange(count), drawn)
        if len(left) < 3 or np.ptp(networks.truth[left]) == 0:
            continue
        sample, rest = networks.part(drawn), networks.part(left)
        picked = list(pick_metrics(sample).items())
        firsts = [dict(picked[: k + 1]) for k in range(MOST)]
        inside.append(_correlations(sample, firsts, size_signs))
        outside.append(_correlations(rest, firsts, size_signs))
    seen, unseen = (np.array(rows or [[0.0] * (MOST + 2)]) for rows in (inside, outside))
    taken = int(unseen[:, :MOST].mean(axis=0).argmax())
    leads = [rows[:, taken] - rows[:, MOST:].max(axis=1) for rows in (seen, unseen)]
    corrected = leads[0] - (leads[0].mean() - leads[1].mean())
    signs = dict(list(pick_metrics(networks).items())[: taken + 1])
    return FewLabelsPick(
        signs,
        count,
        float(_order(score(networks, signs), networks.truth)) if signs else 0.0,
        _interval(unseen[:, taken]),
        {size: _interval(unseen[:, MOST + k]) for k, size in enumerate(BASELINES)},
        float(np.mean((corrected > 0) + 0.5 * (corrected == 0))),
        size_signs,
        _looks_reversed(networks),
    )


def _looks_reversed(networks: LabelledNetworks) -> bool:
    """Return whether sizes and most metrics are against the labels."""
    rho = {name: float(spearman(values, networks.truth)) for name, values in networks.values.items()}
    return looks_reversed({name: one for name, one in rho.items() if np.isfinite(one)}, SIZES)


def _correlations(networks: LabelledNetworks, picks: Sequence[Signs], sizes: Signs) -> list[float]:
    """Return Spearman's rho of the score of each pick and of each signed size; 0 for an empty pick."""
    none = np.zeros(len(networks.truth))
    scores = [score(networks, signs) if signs else none for signs in picks]
    columns = np.stack([*scores, *(sign * networks.values[name] for name, sign in sizes.items())])
    return [float(rho) for rho in _order(columns, networks.truth)]


def count_labels(asked: int, found: int, table: Path) -> list[str]:
    """Return a note if a table has fewer labelled networks than were asked for.

    Args:
        asked: Number of networks that were asked for.
        found: Number of different networks that were drawn from the table.
        table: The table of known values.

    Raises:
        NasctlError: There are too few networks to pick by.
    """
    if found < LEAST:
        raise NasctlError(
            f"cannot pick metrics by {found} different networks of {table} with every value: --few needs {LEAST};"
            " label more networks"
        )
    return [f"Warning: --few {asked} has {found} different networks of {table}"] if found < asked else []


def pick_for_columns(
    task: Task, known: KnownSample, rows: Mapping[Genome, Scored], lower_is_better: bool, seed: int
) -> dict[str, FewLabelsPick]:
    """Return the pick of each column of known values.

    Args:
        task: Space and metrics, with "params" and "macs" among them.
        known: Architectures with known values.
        rows: Scores by canonical genome.
        lower_is_better: True if lower known values are better.
        seed: Seed of the bootstrap.
    """
    values, sign = oriented_columns(task, known, rows), -1 if lower_is_better else 1
    labelled = {column: LabelledNetworks(values, sign * truth) for column, truth in known.columns.items()}
    return {column: pick_by_few_labels(networks, seed) for column, networks in labelled.items()}


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of values, (B,), and the bounds of their middle 95%."""
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(np.mean(values)), float(low), float(high)
