"""The check that objectives apply to the networks of a space, before anything is measured."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from nasctl.candidates.objective import ChecksApplicability, Objective
from nasctl.errors import NasctlError, RenamedWarning
from nasctl.evaluation import ranges
from nasctl.networks.graph import Network
from nasctl.problem.space import Input, SearchSpace
from nasctl.search.metrics import make_objective


def refuse_inapplicable(space: SearchSpace, objectives: Mapping[str, Objective]) -> None:
    """Check that all objectives apply to the networks of a space.

    Args:
        space: The search space.
        objectives: Objectives by name.

    Raises:
        NasctlError: An objective does not apply.
    """
    for name, why in inapplicable_reasons(space, objectives).items():
        raise NasctlError(f"{name} says nothing of this space: {why}; leave it out")


def inapplicable_reasons(space: SearchSpace, objectives: Mapping[str, Objective]) -> dict[str, str]:
    """Return the reasons why objectives do not apply to a space, by name. Objectives that apply are left out."""
    checks = {name: check for name, one in objectives.items() if (check := _check(one))}
    gradient_based = [name for name, one in objectives.items() if "input_gradients" in one.needs]
    if not checks and not gradient_based:
        return {}
    example = space.network(ranges.sample(space, 1)[0])
    found = {name: why for name, check in checks.items() if (why := check(space.input, example))}
    if space.input.kind != "images":
        found |= dict.fromkeys(gradient_based, "it needs gradients of the input, and tokens have none")
    return {name: found[name] for name in objectives if name in found}


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
