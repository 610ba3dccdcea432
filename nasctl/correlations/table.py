"""The shipped table of measured rank correlations, and the default metrics that were chosen by it.

`perf/evidence.py` writes the table, `measured.json`. All values are this project's own measurements; the table holds no
row of a benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from nasctl.candidates.reversed_objective import parse_direction
from nasctl.problem.searcher import Direction


@dataclass(frozen=True)
class DirectedCorrelation:
    """The rank correlation of a metric in one direction. A failed network counts as worst in either.

    Args:
        spearman: Spearman's rho; None if the metric takes all networks for equal.
        low: Lower end of the 95% bootstrap interval over networks.
        high: Upper end of the interval.
    """

    spearman: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MeasuredCorrelation:
    """The rank correlation of one metric with the true results of one scene.

    Args:
        direction: Direction in which values count as better: the metric's own, and "max" for a size.
        spearman: Spearman's rho; None if the metric takes all networks for equal. A failed network counts
            as worst.
        low: Lower end of the 95% bootstrap interval over networks.
        high: Upper end of the interval.
        kendall: Kendall's tau-b.
        failed: Number of networks without a value.
        seeds: Spearman's rho between two seeds of weights and examples; None where it was not measured.
        seeds_n: Number of networks behind `seeds`.
        opposite: The correlation in the other direction where networks failed; None where none failed, because it is
            then the negative, and in tables that did not measure it.
    """

    direction: Direction
    spearman: float | None
    low: float | None
    high: float | None
    kendall: float | None
    failed: int
    seeds: float | None = None
    seeds_n: int = 0
    opposite: DirectedCorrelation | None = None

    def towards(self, direction: Direction | None) -> DirectedCorrelation | None:
        """Return the correlation in a direction; None if it was not measured.

        A failed network is worst in both directions, so the two are negatives of one another only without failures.

        Args:
            direction: The direction; None for that of the table.
        """
        if direction in (None, self.direction):
            return DirectedCorrelation(self.spearman, self.low, self.high)
        if self.failed:
            return self.opposite
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return DirectedCorrelation(None if self.spearman is None else -self.spearman, low, high)


@dataclass(frozen=True)
class MeasuredScene:
    """Networks of one space with known results on one data set.

    Args:
        space: Spec of the space.
        family: Family of the space; see `nasctl.correlations.families`.
        task: What the networks were trained for.
        dataset: Data set and result of the networks, such as "CIFAR-10, test accuracy".
        truth: Public source of the results.
        licence: Licence of the source.
        data: Examples that metrics were computed on.
        fidelity: Fidelity of the metrics.
        networks: Number of networks.
        metrics: Correlations by metric.
        page: Page of the documentation that shows the correlations.
    """

    space: str
    family: str
    task: str
    dataset: str
    truth: str
    licence: str
    data: str
    fidelity: str
    networks: int
    metrics: Mapping[str, MeasuredCorrelation]
    page: str = "docs/metrics.md"

    @property
    def name(self) -> str:
        """The name of the space without its options."""
        return self.space.partition(":")[0]


@dataclass(frozen=True)
class HeldOutResult:
    """The mean Spearman's rho of a score on a space that it was not chosen on, or on other networks of its space.

    Args:
        space: Name of the space.
        score: Rho of the score.
        params: Rho of the parameters.
        macs: Rho of the multiply-accumulates.
        chosen: Metrics of the score that was chosen without the space; empty for other networks of the same space, on
            which several choices were judged.
    """

    space: str
    score: float
    params: float
    macs: float
    chosen: tuple[str, ...] = ()

    @property
    def lead(self) -> float:
        """The rho of the score less the rho of the better size."""
        return self.score - max(self.params, self.macs)


@dataclass(frozen=True)
class DefaultChoice:
    """The default metrics of a family of spaces and a task.

    Args:
        family: The family; "" for families that were not measured.
        kind: Kind of input: "images" or "tokens".
        task: The task.
        objectives: Specs of default objectives besides the cost, the best first.
        spare: Specs of further objectives, for spaces to which some of `objectives` do not apply.
        score: Metrics whose log rank is the default score of the spaces that were measured; of sizes, larger counts as
            better.
        elsewhere: The same for other spaces of the family.
        spaces: Names of the spaces that the choice rests on.
        other_networks: The score on networks of these spaces that it was not chosen on.
        other_spaces: The score on each of these spaces if it is chosen without it.
    """

    family: str
    kind: str
    task: str
    objectives: tuple[str, ...]
    spare: tuple[str, ...]
    score: tuple[str, ...]
    elsewhere: tuple[str, ...]
    spaces: tuple[str, ...]
    other_networks: tuple[HeldOutResult, ...] = ()
    other_spaces: tuple[HeldOutResult, ...] = ()


@dataclass(frozen=True)
class CorrelationsTable:
    """All scenes, and the choices that follow from them.

    Args:
        command: The command that wrote the table.
        versions: Versions of nasctl and of the libraries that values depend on, by name.
        scenes: The scenes.
        choices: The choices by family and task.
        earlier: Choices of earlier tables with other objectives, the newest first; runs that have them as defaults are
            found by them.
    """

    command: str
    versions: Mapping[str, str]
    scenes: Sequence[MeasuredScene]
    choices: Sequence[DefaultChoice]
    earlier: Sequence[DefaultChoice] = ()

    def of(self, family: str, task: str) -> list[MeasuredScene]:
        """Return the scenes of a family and a task."""
        return [scene for scene in self.scenes if (scene.family, scene.task) == (family, task)]

    def past_choices(self, family: str, kind: str, task: str) -> list[DefaultChoice]:
        """Return the choices of earlier tables for a family and a task, or else for families without their own."""
        for name in (family, ""):
            found = [one for one in self.earlier if (one.family, one.kind, one.task) == (name, kind, task)]
            if found:
                return found
        return []

    def choice(self, family: str, kind: str, task: str) -> DefaultChoice | None:
        """Return the choice for a family and a task, or None if there is none for this task and kind of input.

        Args:
            family: The family; "" for the choice of families without their own.
            kind: Kind of input.
            task: The task.
        """
        for name in (family, ""):
            for one in self.choices:
                if (one.family, one.kind, one.task) == (name, kind, task):
                    return one
        return None


@cache
def shipped() -> CorrelationsTable:
    """Return the table that nasctl ships."""
    import msgspec

    content = files("nasctl").joinpath("correlations", "measured.json").read_bytes()
    return msgspec.json.decode(content, type=CorrelationsTable)


def mean_correlation(scenes: Sequence[MeasuredScene], spec: str) -> float | None:
    """Return the mean rho of an objective: over the scenes of each space, then over spaces.

    None if no scene has it, or if a scene has it in the other direction alone: a mean over the others would not compare
    with that of the other direction.

    Args:
        scenes: The scenes.
        spec: A metric, such as "snip", whose direction is that of the table, or "min:snip".
    """
    direction, metric = parse_direction(spec)
    by_space: dict[str, list[float]] = {}
    for scene in scenes:
        if metric not in scene.metrics:
            continue
        found = scene.metrics[metric].towards(direction)
        if found is None:
            return None
        if found.spearman is not None:
            by_space.setdefault(scene.name, []).append(found.spearman)
    means = [sum(values) / len(values) for values in by_space.values()]
    return sum(means) / len(means) if means else None
