"""The one network of a run that nasctl recommends, and the reason.

With an upper bound on a cost, such as a latency, the network with the best quality within the bound is recommended. The
network closest to the best of every objective would leave a part of the bound unused: it weighs a cost below the bound
against quality, though the user has said that the cost up to the bound does not matter. Without an upper bound, the
network closest to the best of every objective is recommended.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nasctl import registry
from nasctl.analysis.percentiles import CANDIDATES, RANDOM, Percentiles, Rank
from nasctl.analysis.quality import Quality, score_quality, trained_goal, trained_quality
from nasctl.analysis.run_scores import scored_by_size
from nasctl.architectures import ids
from nasctl.architectures.references import reference_names
from nasctl.pareto.archive import closest_to_ideal
from nasctl.pareto.losses import feasible_losses, front, losses, violations
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.problem.space import SearchSpace
from nasctl.store.run_record import RunRecord
from nasctl.store.store import Store
from nasctl.system.terminal import quantity
from nasctl.system.wording import listed, plural

MOST = 0.5  # share of random networks from which on it is said that they cost more

MEDIAN = 0.5  # share of networks below which a sentence says why the quality of the recommended one is no better

ONLY = "the only network on the front"
BEST_IN = "best in"
BEST_OF_ALL = f"{BEST_IN} every objective"
CLOSEST = "closest to the best of every objective"
BEST = "the best"
LARGEST = "the largest"  # for the score of a run that is a size


@dataclass(frozen=True)
class Recommendation:
    """The recommended network of a run.

    Attributes:
        chosen: Its evaluation.
        front: Number of networks that it was chosen from: those on the front, or trained ones on their own front.
        why: The reason, a part of a sentence that follows "recommended: ID, ".
        standing: Standing of its quality among others, such as "better than 97% of 1,000 random networks of the space";
            "" if it has none.
        costs: Its costs, such as "costs 25.5 ms"; "" for a run without costs.
        id: Its id.
        percentiles: Standing of each of its values, by column.
        called: Its name if it is a published network of the space; "" otherwise.
        best_trained: The trained network of the best result, in words; "" if it is the recommended one.
    """

    chosen: Evaluation
    front: int
    why: str
    standing: str = ""
    costs: str = ""
    id: str = ""
    percentiles: Mapping[str, Rank] = field(default_factory=dict)
    called: str = ""
    best_trained: str = ""

    @property
    def reason(self) -> str:
        """The reason, the standing and the costs: the part of `sentence` after the id."""
        facts = ", ".join(filter(None, (self.standing, self.costs)))
        return "; ".join(filter(None, (self.why, facts, self.best_trained)))

    @property
    def sentence(self) -> str:
        """The recommendation and its reason in one sentence without a full stop."""
        return f"recommended: {self.id}{f' ({self.called})' if self.called else ''}, {self.reason}"


def recommend(
    store: Store,
    run: str,
    record: RunRecord,
    visited: Sequence[Evaluation],
    scored: str | None = None,
    under: Sequence[Constraint] = (),
) -> Recommendation | None:
    """Return the recommended network of a run; None if no candidate satisfies the constraints.

    Args:
        store: The store of the run.
        run: Name of the run.
        record: Record of the run.
        visited: Evaluations of the run's candidates.
        scored: Score as `Score.parse` reads it; by default true accuracy if networks of the run are trained, and the
            score of the run otherwise.
        under: Further constraints, on columns of the run.

    Raises:
        NasctlError: There is no such score.
    """
    constraints = tuple(dict.fromkeys((*record.constraints, *under)))
    trained = None if scored else trained_quality(store, record, visited)
    pool = _trained_pool(record, visited, trained, constraints) if trained else []
    goals, quality = record.goals, trained
    if trained and pool:
        goals = (trained_goal(trained), *(goal for goal in record.goals if goal.cost == "network"))
        found = front(pool, goals)
    else:
        quality = score_quality(store, run, record, visited, scored)
        found = front(visited, goals, constraints)
    if not found:
        return None
    bounds = " and ".join(map(record.bound_text, _tightest(constraints)))
    rows = feasible_losses(pool or visited, goals, constraints)
    several = int((~np.isnan(rows).any(axis=1)).sum())
    bounded = {constraint.name for constraint in constraints if constraint.upper}
    chosen, why = _choose(found, goals, quality, bounded, several > 1)
    why += f" within {bounds}" if bounds else ""
    if pool or why.startswith(BEST_IN):
        why += f", of {len(pool)} trained networks" if pool else f", of {plural(several, 'candidate')}"
    percentiles = Percentiles(record, visited)
    if quality and quality.score and why.startswith(BEST) and percentiles.is_size(quality.score):
        why = f"{LARGEST}{why.removeprefix(BEST).replace(' score', '', 1)}"
        why += "" if scored or not scored_by_size(record) else ", because no metric was seen to beat size"
    space: SearchSpace = registry.create("spaces", record.space)
    return Recommendation(
        _visited(chosen, visited) if pool else chosen,
        len(found),
        why,
        _standing(percentiles, quality, chosen, why),
        _costs(record, chosen, constraints),
        ids.encode(record.space, space.genes, chosen.genome),
        percentiles.standings(chosen),
        reference_names(space).get(chosen.genome, ""),
        _best_trained(record, space, found, quality, chosen, constraints) if pool else "",
    )


def _choose(
    found: Sequence[Evaluation], goals: Sequence[Goal], quality: Quality | None, bounded: Collection[str], several: bool
) -> tuple[Evaluation, str]:
    """Return the chosen network of a front that is not empty, and the reason.

    Args:
        found: The front.
        goals: Its objectives, (M,).
        quality: Quality of the networks; None if the run has only costs.
        bounded: Names of what has an upper bound.
        several: Whether there are other candidates that satisfy the constraints.
    """
    free = [goal for goal in goals if goal.name not in bounded]
    rows = losses(found, goals)
    if bounded and quality and any(one.genome in quality.values for one in found):
        # Of networks with equal quality, the one closest to the best of every objective.
        values = np.array([quality.values.get(one.genome, -np.inf) for one in found])
        best = np.flatnonzero(values == values.max())
        chosen = found[best[closest_to_ideal(rows[best])]]
        said = f" ({text})" if (text := quality.text(chosen.genome)) else ""
        return chosen, f"{BEST} {quality.name}{said}"
    if bounded and not quality and free:  # a run of costs alone
        best_word = "least" if free[0].direction == "min" else "largest"
        return found[int(rows[:, goals.index(free[0])].argmin())], f"the {best_word} {free[0].name}"
    place = closest_to_ideal(rows)
    if (rows[place] > rows.min(axis=0)).any():
        return found[place], CLOSEST
    return found[place], (BEST_OF_ALL if len(goals) > 1 else f"{BEST_IN} {goals[0].name}") if several else ONLY


def _best_trained(
    record: RunRecord,
    space: SearchSpace,
    found: Sequence[Evaluation],
    quality: Quality | None,
    chosen: Evaluation,
    constraints: Sequence[Constraint],
) -> str:
    """Return the trained network of the best result in words; "" if it is the chosen one.

    Args:
        record: Record of the run.
        space: Its space.
        found: The trained networks on their front.
        quality: Their results.
        chosen: The recommended network.
        constraints: All constraints.
    """
    assert quality is not None
    best = max(found, key=lambda one: quality.values[one.genome])
    if quality.values[best.genome] == quality.values[chosen.genome]:
        return ""
    named = ids.encode(record.space, space.genes, best.genome)
    own, costs = quality.text(chosen.genome), _costs(record, best, constraints)
    result = f"the best {quality.name} has {named} ({quality.text(best.genome)}, here {own})"
    return f"{result}, which {costs}" if costs else result


def _tightest(constraints: Sequence[Constraint]) -> list[Constraint]:
    """Return constraints without those that another one on the same side of the same column implies."""
    found: dict[tuple[str, bool], Constraint] = {}
    for one in constraints:
        other = found.get((one.name, one.upper), one)
        tighter = one.bound <= other.bound if one.upper else one.bound >= other.bound
        found[one.name, one.upper] = one if tighter else other
    return list(found.values())


def _standing(percentiles: Percentiles, quality: Quality | None, chosen: Evaluation, why: str) -> str:
    """Return the standing of a network's score in words; "" for true accuracies, sizes, and networks without a score.

    Args:
        percentiles: The standings of the run.
        quality: The quality of the run's networks.
        chosen: The network.
        why: The reason for the choice, which may have named the score before.
    """
    if quality is None or quality.score is None or chosen.genome not in quality.values:
        return ""
    own = quality.values[chosen.genome]
    values = np.fromiter(quality.values.values(), float)
    among_candidates = Rank(int((values < own).sum()), int((values > own).sum()), len(values) - 1, CANDIDATES)
    found = percentiles.score_standing(quality.score, chosen) or among_candidates
    said = f"{found}{_dearer(percentiles, chosen)}" if found.among == RANDOM else str(found)
    if why.startswith((BEST, LARGEST)):
        return said
    if percentiles.is_size(quality.score):  # the costs are named anyway, and more of them is no standing
        return ""
    # The network closest to the best of every objective may be a cheap one of little quality.
    costs = [one.name for one in percentiles.record.goals if one.cost == "network"]
    is_traded = why.startswith(CLOSEST) and costs and found.share < MEDIAN
    return f"its {quality.name} is {said}{f', because it trades quality for {listed(costs)}' if is_traded else ''}"


def _dearer(percentiles: Percentiles, chosen: Evaluation) -> str:
    """Return how many random networks cost more than a network in a bounded cost, if most do; "" otherwise.

    A network within a tight bound is compared with networks that could not be chosen.
    """
    bounded = {one.name for one in percentiles.record.constraints if one.upper}
    ranks = [rank for name in bounded if (rank := percentiles.standing(name, chosen)) and rank.among == RANDOM]
    share = max((rank.share for rank in ranks), default=0.0)
    if share < MOST:
        return ""
    return f", {'all' if share == 1 else f'{math.floor(100 * share)}%'} of which cost more"


def _costs(record: RunRecord, chosen: Evaluation, constraints: Sequence[Constraint]) -> str:
    """Return the costs of a network in words: those that are minimised, and those that are bounded."""
    bounded = {constraint.name for constraint in constraints if constraint.upper}
    names = [
        name
        for name, column in record.columns.items()
        if column.cost == "network" and (name in bounded or (column.goal and column.goal.direction == "min"))
    ]
    devices = len({name for name in names if "@" in name})
    texts = [
        _cost(chosen.values[name], record.columns[name].unit)
        + (f" on {name.partition('@')[2]}" if devices > 1 and "@" in name else "")
        for name in names
        if name in chosen.values
    ]
    return f"costs {' and '.join(texts)}" if texts else ""


def _cost(value: float, unit: str) -> str:
    """Return a cost with its unit: "25.5 ms", "308 M MACs"."""
    unit, _, batch = unit.partition(", ")
    word = f" {unit}" if unit in ("MACs", "parameters") else ""
    return f"{quantity(value, unit)}{word}{f' ({batch})' if batch not in ('', 'batch 1') else ''}"


def _trained_pool(
    record: RunRecord, visited: Sequence[Evaluation], quality: Quality, constraints: Sequence[Constraint]
) -> list[Evaluation]:
    """Return the trained networks that satisfy the constraints, with their results as one more value."""
    found = [one for one in visited if one.genome in quality.values]
    broken = violations(found, constraints).any(axis=1)
    name = trained_goal(quality).name
    return [
        replace(found[k], values={**found[k].values, name: quality.sign * quality.values[found[k].genome]})
        for k in np.flatnonzero(~broken).tolist()
    ]


def _visited(chosen: Evaluation, visited: Sequence[Evaluation]) -> Evaluation:
    """Return the evaluation of a network as the run has it."""
    return next(one for one in visited if one.genome == chosen.genome)
