"""The metrics that a predictor of trained accuracy reads, beside the objectives and the recorded metrics of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nasctl.problem.space import SearchSpace
from nasctl.search.applicability import inapplicable_reasons
from nasctl.search.metrics import make_objective

# Metrics that share their passes, so that together they cost little more than the objectives. A predictor reads all of
# them and weighs them by the labels; which of them order a space by themselves differs from family to family.
READ = ("l2_norm", "snip", "grad_norm", "zico", "synflow", "naswot", "swap", "params", "macs", "depth")


def feature_metrics(spec: str, space: SearchSpace, known: Iterable[str]) -> list[str]:
    """Return the specs of metrics to record for a predictor, without those that are known or say nothing of the space.

    Args:
        spec: Spec of the space.
        space: The space.
        known: Names of metrics that the run measures anyhow.
    """
    made = dict(make_objective(name, spec) for name in READ if name not in set(known))
    refused = inapplicable_reasons(space, made)
    return [name for name in made if name not in refused]


def with_feature_metrics(spec: str, space: SearchSpace, objectives: Sequence[str], record: Sequence[str]) -> list[str]:
    """Return the metrics to record in a training-free search whose candidates a predictor is to be fitted on."""
    return [*record, *feature_metrics(spec, space, [*objectives, *record])]
