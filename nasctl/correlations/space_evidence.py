"""One sentence on how well metrics order networks of a space whose true results are known."""

from __future__ import annotations

from collections.abc import Sequence

from nasctl.correlations.defaults import SpaceKind, correlation_text
from nasctl.correlations.table import MeasuredScene, mean_correlation, shipped
from nasctl.problem.defaults import DEFAULT_COST

NAMED = 3  # data sets that are named; more are counted


def space_evidence(asked: SpaceKind, metrics: Sequence[str]) -> str:
    """Return a sentence on how well metrics order networks of a space with known results, beside their MACs.

    Args:
        asked: The space and the task.
        metrics: Specs of metrics, such as "l2_norm" or "max:ntk_cond".

    Returns:
        The sentence, the best metric first; "" if none of the metrics was measured on networks of the space with known
        results.
    """
    scenes = [scene for scene in shipped().of(asked.family, asked.task) if scene.name == asked.name]
    known = {name: rho for name in metrics if (rho := mean_correlation(scenes, name)) is not None}
    if not known:
        return ""
    (best, rho), *others = sorted(known.items(), key=lambda pair: -pair[1])
    more = "".join(f", {name} {correlation_text(value)}" for name, value in others)
    mean = "Spearman" if len(scenes) == 1 else "a mean Spearman of"
    size = mean_correlation(scenes, DEFAULT_COST)
    beside = "" if size is None else f" (MACs {correlation_text(size)})"
    networks = f"{scenes[0].networks:,} networks of {asked.name} with known {_results(scenes)}"
    figures = f"{mean} {correlation_text(rho)}{more}{beside}"
    return f"evidence: over {networks}, {best} orders them with {figures}; {scenes[0].page}"


def _results(scenes: Sequence[MeasuredScene]) -> str:
    """Return the results of the networks in words: "ImageNet accuracy", "CIFAR-10 and CIFAR-100 test accuracy"."""
    pairs = [scene.dataset.partition(", ")[::2] for scene in scenes]
    names, measures = (list(dict.fromkeys(column)) for column in zip(*pairs, strict=True))
    measure = measures[0].partition(" with ")[0] if len(measures) == 1 else "results"
    return f"{' and '.join(names) if len(names) <= NAMED else f'{len(names)} kinds of'} {measure}"
