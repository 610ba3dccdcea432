"""Which objectives say something of a space's networks, so that the others are refused before anything is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from nasctl import registry
from nasctl.candidates.objective import Objective
from nasctl.errors import NasctlError
from nasctl.evaluation import ranges
from nasctl.problem.space import SearchSpace


def refuse(space: SearchSpace, objectives: Mapping[str, Objective]) -> None:
    """Check that all objectives, by what people call them, make sense on a space.

    Raises:
        NasctlError: One does not.
    """
    for name, why in misfits(space, objectives).items():
        raise NasctlError(f"{name} says nothing of this space: {why}; leave it out")


def misfits(space: SearchSpace, objectives: Mapping[str, Objective]) -> dict[str, str]:
    """Why objectives make no sense on a space, by their names; those that do are left out."""
    asked = {name: one for name, one in objectives.items() if "input_gradients" in one.needs or hasattr(one, "misfit")}
    if not asked:
        return {}
    example = space.network(ranges.sample(space, 1)[0])
    found: dict[str, str] = {}
    for name, one in asked.items():
        if "input_gradients" in one.needs and space.input.kind != "images":
            found[name] = "it needs gradients of the input, and tokens have none"
        elif why := one.misfit(space.input, example) if hasattr(one, "misfit") else "":
            found[name] = why
    return found


def suited(space: SearchSpace, names: Iterable[str], most: int) -> list[str]:
    """The first `most` of these objectives that make sense on a space."""
    fit = (name for name in names if not misfits(space, {name: registry.create("objectives", name)}))
    return list(islice(fit, most))
