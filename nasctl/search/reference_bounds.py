"""Bounds of constraints that a user gives as the name of a reference network: "latency<=mobilenetv3-large"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nasctl.architectures.references import named_reference, references
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import Objective, closed_form
from nasctl.candidates.setting import Setting
from nasctl.errors import NasctlError
from nasctl.problem.space import SearchSpace

FORM = re.compile(r"\s*([\w.@/:=-]+?)\s*(<=?|>=?)\s*([A-Za-z][\w -]*?)\s*")


@dataclass(frozen=True)
class GivenBound:
    """A constraint as a user gave it.

    Args:
        text: The constraint with a number.
        reference: The reference network whose own value the number is; "" if the user gave the number.
    """

    text: str
    reference: str = ""


def with_number(
    text: str, space: SearchSpace, setting: Setting, metric: Callable[[str], tuple[str, Objective]]
) -> GivenBound:
    """Return a constraint with the own value of the reference network that it names.

    Args:
        text: The text that the user typed.
        space: The space, whose reference networks may be named.
        setting: The setting of measurements.
        metric: Returns the name and the objective that a constraint is about, by the text before the sign.

    Raises:
        NasctlError: The text names no reference network, or a quantity that is not known before the search.
    """
    match = FORM.fullmatch(text)
    if not match:
        return GivenBound(text)
    subject, sign, word = match.groups()
    if (name := named_reference(word, space)) is None:
        known = ", or ".join(["a number", *filter(None, [", ".join(references(space))])])
        raise NasctlError(f"the constraint {text!r} is bounded by {word!r}; give {known}")
    full, objective = metric(subject)
    if not closed_form(objective):
        raise NasctlError(
            f"Cannot bound {full} by {name}: its own value would have to be measured first. Give a number, or bound a"
            " cost such as latency, params or macs."
        )
    genome = references(space)[name].genome
    value = float(objective(Candidate(space, genome, setting, objective.needs)))
    return GivenBound(f"{full}{sign}{value!r}", name)
