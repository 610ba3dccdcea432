"""Choice of default metrics and scores by measured correlations, for perf/evidence.py.

The rule, for each family of spaces and each task:

1. A metric is a candidate if its mean rho is above 0 on every measured space of the family, if its 95% interval lies
   above 0 for a result at least, and if its rho between two seeds was measured on each space and is at least .5.
2. The score is the smallest set of up to three of the ten best candidates and the sizes whose log rank has a mean rho
   within .01 of the best.
3. On the measured spaces the score is used if it beats parameters and MACs by .01 on networks that it was not chosen on
   (the mean over five random halves). On other spaces of the family it is used if it beats both on spaces
   that it was not chosen on (the mean over the spaces, each left out in turn). Otherwise the score is the best size.
4. The objectives are the metrics of the set that are no sizes, filled up to two with the best candidates that repeat
   none of them (rho between the two below .9 on the mean). A size is no objective, because it opposes the cost.
5. Families without measurements have a size as score, and as objectives the depth, which is maximised, and the first
   two metrics that rule 4 gives for all measured spaces of images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from evidence_sets import MetricSet, RankedNetworks, choose_set, ordering_metrics
from scipy.stats import spearmanr

from nasctl.correlations.table import DefaultChoice, HeldOutResult, MeasuredScene
from nasctl.problem.defaults import SIZES, TASKS

STABLE = 0.5  # rho between two seeds, below which a metric is no candidate
REPEATED = 0.9  # rho between two metrics, from which one repeats the other
OBJECTIVES = 2  # least number of default objectives besides the cost
MARGIN = 0.01  # rho by which a score has to beat the sizes
HALVES = 5  # random halves of the networks of a space
BEST = 10  # candidates that sets are made of
COSTS = (*SIZES, "memory")  # no candidates of rule 1

Labelled = Mapping[str, Sequence[tuple[MeasuredScene, RankedNetworks]]]  # by name of the space
Spaces = dict[str, list[RankedNetworks]]


def choices(labelled: Labelled) -> list[DefaultChoice]:
    """Return the choice of each measured family and task, and of families without measurements."""
    scenes = [scene for found in labelled.values() for scene, _ in found]
    families = dict.fromkeys((scene.family, _kind(scene)) for scene in scenes)
    found = []
    for task in TASKS:
        for family, kind in families:
            spaces = _spaces(labelled, task, lambda scene, family=family: scene.family == family)
            if spaces and _candidates(labelled, spaces):
                found.append(_choice(labelled, family, kind, task, spaces))
        spaces = _spaces(labelled, task, lambda scene: _kind(scene) == "images")
        if spaces and _candidates(labelled, spaces):
            found.append(_unmeasured(labelled, task, spaces))
    return found


def _kind(scene: MeasuredScene) -> str:
    return "tokens" if scene.data == "tokens" else "images"


def _spaces(labelled: Labelled, task: str, belongs: Callable[[MeasuredScene], bool]) -> Spaces:
    found = {
        space: [networks for scene, networks in results if scene.task == task and belongs(scene)]
        for space, results in labelled.items()
    }
    return {space: results for space, results in found.items() if results}


def _candidates(labelled: Labelled, spaces: Spaces) -> list[str]:
    """Return the candidates of rule 1, the best first."""
    names = dict.fromkeys(name for results in spaces.values() for one in results for name in one.values)
    ordering = ordering_metrics(spaces, [name for name in names if name not in COSTS])
    scenes = [scene for space in spaces for scene, _ in labelled[space]]
    return [name for name in ordering if _seen(scenes, name) and all(_stable(scene, name) for scene in scenes)]


def _seen(scenes: Sequence[MeasuredScene], name: str) -> bool:
    lows = (scene.metrics[name].low for scene in scenes)
    return any(low is not None and low > 0 for low in lows)


def _stable(scene: MeasuredScene, name: str) -> bool:
    seeds = scene.metrics[name].seeds
    return seeds is not None and seeds >= STABLE


def _set(labelled: Labelled, spaces: Spaces) -> MetricSet:
    """Return the set of rule 2."""
    sizes = [name for name in SIZES if all(name in one.values for results in spaces.values() for one in results)]
    return choose_set(spaces, [*_candidates(labelled, spaces)[:BEST], *sizes])


def _objectives(labelled: Labelled, spaces: Spaces, chosen: MetricSet) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the objectives of rule 4, and the other candidates in their order."""
    candidates = _candidates(labelled, spaces)
    found = [name for name in candidates if name in chosen]
    for name in candidates:
        if len(found) < OBJECTIVES and name not in found and all(_between(spaces, name, o) < REPEATED for o in found):
            found.append(name)
    return tuple(found), tuple(name for name in candidates if name not in found)


def _between(spaces: Spaces, one: str, other: str) -> float:
    """Return the mean rho between two metrics over spaces; a failed network counts as worst."""
    found = []
    for results in spaces.values():
        pair = [np.where(np.isfinite(v), v, -np.inf) for v in (results[0].values[name] for name in (one, other))]
        found.append(float(spearmanr(*pair).statistic))
    return float(np.mean(found))


def _result(space: str, results: Sequence[RankedNetworks], chosen: MetricSet, named: bool = True) -> HeldOutResult:
    """Return the mean rho of a set and of the sizes over the results of a space."""
    rhos = np.mean([one.correlations([chosen, ("params",), ("macs",)]) for one in results], axis=0)
    return HeldOutResult(space, *(round(float(rho), 3) for rho in rhos), chosen if named else ())


def _other_networks(labelled: Labelled, spaces: Spaces) -> list[HeldOutResult]:
    """Return the results of rule 3 on networks that the set was not chosen on."""
    halves: dict[str, list[HeldOutResult]] = {space: [] for space in spaces}
    for seed in range(HALVES):
        seen, unseen = Spaces(), Spaces()
        for space, results in spaces.items():
            order = np.random.default_rng(seed).permutation(len(results[0].truth))
            parts = np.array_split(order, 2)
            seen[space], unseen[space] = ([one.part(part) for one in results] for part in parts)
        chosen = _set(labelled, seen)
        for space, results in unseen.items():
            halves[space].append(_result(space, results, chosen))
    means = ((space, np.mean([(o.score, o.params, o.macs) for o in found], axis=0)) for space, found in halves.items())
    return [HeldOutResult(space, *(round(float(rho), 3) for rho in rhos)) for space, rhos in means]


def _other_spaces(labelled: Labelled, spaces: Spaces) -> list[HeldOutResult]:
    """Return the results of rule 3 on spaces that the set was not chosen on; none for a single space."""
    found = []
    for space, results in spaces.items():
        if rest := {name: others for name, others in spaces.items() if name != space}:
            found.append(_result(space, results, _set(labelled, rest)))
    return found


def _choice(labelled: Labelled, family: str, kind: str, task: str, spaces: Spaces) -> DefaultChoice:
    """Return the choice of a measured family."""
    chosen = _set(labelled, spaces)
    size = choose_set(spaces, SIZES, 1)
    networks, others = _other_networks(labelled, spaces), _other_spaces(labelled, spaces)
    objectives, spare = _objectives(labelled, spaces, chosen)
    return DefaultChoice(
        family,
        kind,
        task,
        objectives,
        spare,
        chosen if _beats(networks) else size,
        chosen if _beats(others) else size,
        tuple(spaces),
        tuple(networks),
        tuple(others),
    )


def _beats(results: Sequence[HeldOutResult]) -> bool:
    """Return whether a score beats parameters and multiply-accumulates by the margin, on the mean over spaces."""
    if not results:
        return False
    score, params, macs = np.mean([(one.score, one.params, one.macs) for one in results], axis=0)
    return bool(score > max(params, macs) + MARGIN)


def _unmeasured(labelled: Labelled, task: str, spaces: Spaces) -> DefaultChoice:
    """Return the choice of families of images without measurements; the results are those of rule 2, for comparison."""
    size = choose_set(spaces, SIZES, 1)
    objectives, spare = _objectives(labelled, spaces, _set(labelled, spaces))
    others = tuple(_other_spaces(labelled, spaces))
    return DefaultChoice("", "images", task, ("max:depth", *objectives), spare, size, size, tuple(spaces), (), others)


def default_score_without(found: Sequence[DefaultChoice], scene: MeasuredScene) -> MetricSet:
    """Return the default score that a space has if it was not measured.

    Args:
        found: The choices without the space.
        scene: The scene of the space, for its family, kind of input and task.
    """
    for family in (scene.family, ""):
        for one in found:
            if (one.family, one.kind, one.task) == (family, _kind(scene), scene.task):
                return one.elsewhere
    return ("macs",)
