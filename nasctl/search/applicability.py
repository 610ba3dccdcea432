"""The check that objectives apply to the networks of a space, before anything is measured."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import (
    ARITHMETIC,
    ChecksApplicability,
    ChecksSpace,
    HasSubstitutes,
    Objective,
    closed_form,
)
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.errors import NasctlError, RenamedWarning
from nasctl.evaluation import ranges
from nasctl.evaluation.measure import score
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, HasLevels, HasTrainedWeights, Input, SearchSpace
from nasctl.search.metrics import make_objective

WITH_TRAINED_WEIGHTS = ARITHMETIC | {"trained_weights"}  # needs of objectives that apply to trained networks

SAMPLE = 10  # random networks that an objective is tried on before a search


def refuse_inapplicable(space: SearchSpace, objectives: Mapping[str, Objective]) -> None:
    """Check that all objectives apply to the networks of a space.

    Args:
        space: The search space.
        objectives: Objectives by name.

    Raises:
        NasctlError: An objective does not apply.
    """
    for name, why in inapplicable_reasons(space, objectives).items():
        remedy = "" if "; use " in why else "; leave it out"
        raise NasctlError(f"{name} says nothing of this space: {why}{remedy}")


def inapplicable_reasons(space: SearchSpace, objectives: Mapping[str, Objective]) -> dict[str, str]:
    """Return the reasons why objectives do not apply to a space, by name. Objectives that apply are left out."""
    wrong = {name: one.wrong_space(space) for name, one in objectives.items() if isinstance(one, ChecksSpace)}
    if isinstance(space, HasTrainedWeights):
        drawing = {name: one for name, one in objectives.items() if not one.needs <= WITH_TRAINED_WEIGHTS}
        wrong |= dict.fromkeys(drawing, "it draws weights, and the networks of this space are trained; use accuracy")
    wrong = {name: reason for name, reason in wrong.items() if reason}
    checks = {name: check for name, one in objectives.items() if name not in wrong and (check := _check(one))}
    gradient_based = [name for name, one in objectives.items() if "input_gradients" in one.needs]
    partial = {name: one for name, one in objectives.items() if isinstance(one, HasSubstitutes) and closed_form(one)}
    if not checks and not gradient_based and not partial:
        return wrong
    sample = ranges.sample(space, SAMPLE)
    found = wrong | {name: why for name, one in partial.items() if (why := _failures(space, one, sample))}
    found |= {name: why for name, check in checks.items() if (why := _obstacle(space, check, sample))}
    if space.input.kind != "images":
        found |= dict.fromkeys(gradient_based, "it needs gradients of the input, and tokens have none")
    return {name: found[name] for name in objectives if name in found}


def _obstacle(space: SearchSpace, check: Callable[[Input, Network], str], sample: Sequence[Genome]) -> str:
    """Return the reason why an objective does not apply to most networks of a sample; "" if it applies to the first.

    The other networks are looked at only if the first has a reason: a space may have a gene for such layers.
    """
    first, *others = sample
    if not (reason := check(space.input, space.network(first))):
        return ""
    more = sum(bool(check(space.input, space.network(genome))) for genome in others)
    return reason if 2 * (1 + more) > len(sample) else ""


def _failures(space: SearchSpace, objective: Objective, sample: Sequence[Genome]) -> str:
    """Return why an objective in closed form fails on most networks of a sample, and what to use; "" if it does not."""
    setting = Setting(fidelity=space.levels["fast"]) if isinstance(space, HasLevels) else DEFAULT_SETTING
    scores = [score(objective, Candidate(space, genome, setting, objective.needs)) for genome in sample]
    errors = Counter(one.error.partition(": ")[2].partition("; try ")[0] for one in scores if one.error)
    if 2 * errors.total() <= len(sample):
        return ""
    ((reason, _),) = errors.most_common(1)
    said = f"it fails on {errors.total()} of {len(sample)} random networks ({reason})"
    others = objective.substitutes if isinstance(objective, HasSubstitutes) else ()
    named = {spec: registry.create("objectives", spec) for spec in others}
    usable = [spec for spec in named if spec not in inapplicable_reasons(space, {spec: named[spec]})]
    return f"{said}; use {usable[0]}" if usable else said


def _check(objective: Objective) -> Callable[[Input, Network], str] | None:
    """Return the objective's own check, if it has one; nasctl 0.1 called the check `misfit`."""
    if isinstance(objective, ChecksApplicability):
        return objective.inapplicable_reason
    if (old := getattr(objective, "misfit", None)) is not None:
        name = type(objective).__name__
        warnings.warn(f"rename {name}.misfit to {name}.inapplicable_reason", RenamedWarning, 2)
    return old


def first_applicable(space: SearchSpace, names: Iterable[str], most: int) -> list[str]:
    """Return the first `most` of the named objectives that apply to a space."""
    fitting = (name for name in names if not inapplicable_reasons(space, dict([make_objective(name)])))
    return list(islice(fitting, most))
