"""The search space, with its width and resolution, in which to search for a network within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from nasctl import registry
from nasctl.analysis.space_fit import (
    ENOUGH,
    Question,
    SpaceFit,
    best_variant,
    nearest_values,
    space_fit,
    specs_for,
    suitability,
    variants,
)
from nasctl.errors import NasctlError
from nasctl.hardware.kinds import best_table
from nasctl.hardware.tables_schema import KINDS
from nasctl.search.data_options import image_side
from nasctl.system.terminal import quantity

CLOSEST = 3  # variants in which the network nearest to bounds is looked for


@dataclass(frozen=True)
class SpaceChoice:
    """A search space that has networks within bounds.

    Attributes:
        fit: The space at the chosen width and resolution.
        question: The bounds, with a device in place of each kind of device.
        others: The best width and resolution of other spaces that suit as well.
    """

    fit: SpaceFit
    question: Question
    others: tuple[SpaceFit, ...] = ()


def choose(question: Question, spaces: Sequence[str] = ()) -> SpaceChoice:
    """Return the space, width and resolution to search for networks within bounds.

    Spaces are tried in the order of `suitability`. Of those that suit alike and have networks within the bounds, the
    one whose networks compute the most is chosen; see `best_variant`.

    Args:
        question: The bounds.
        spaces: Specs of the spaces to choose from; all that suit the data if empty.

    Raises:
        NasctlError: Something named does not exist, no space has a table for the devices, or no network within the
            bounds is known; the message then names the nearest.
    """
    side = image_side(question.examples) if question.examples else None
    asked = [(spec, _with_devices(question, spec)) for spec in specs_for(question, spaces)]
    fits = [(fit, one) for spec, one in asked if one is not None and (fit := space_fit(spec, one))]
    if not fits:
        where = f" has a latency table of {' and '.join(registry.listed(question.devices))}"
        raise NasctlError(
            f"Cannot choose a space: none{where}. `nasctl space fit --device NAME` lists those of a device."
        )
    tried: list[tuple[SpaceFit, Question]] = []
    for _, group in groupby(
        sorted(fits, key=lambda pair: suitability(pair[0], side)), lambda p: suitability(p[0], side)
    ):
        found = [(best, one) for fit, one in group if (best := best_variant(_variants(fit, one, tried)))]
        found.sort(key=lambda pair: -pair[0].mean_macs)
        if found and (enough := [pair for pair in found if pair[0].share >= ENOUGH]):
            return SpaceChoice(*enough[0], tuple(fit for fit, _ in found if fit is not enough[0][0]))
    if some := [pair for pair in tried if pair[0].within.any()]:
        return SpaceChoice(*max(some, key=lambda pair: pair[0].share))
    return _rare(tried)


def _with_devices(question: Question, spec: str) -> Question | None:
    """Return bounds on the devices that kinds such as "gpu" stand for on a space; None if a kind has no such device.

    A kind could stand for another device at each width and resolution, whose latencies could not be compared.
    """
    try:
        devices = [best_table(one, spec).device if one in KINDS else one for one in registry.listed(question.devices)]
    except NasctlError:
        return None
    return replace(question, devices=tuple(devices))


def _variants(fit: SpaceFit, question: Question, tried: list[tuple[SpaceFit, Question]]) -> list[SpaceFit]:
    """Return the fits of a space at every width and resolution, and note them in `tried`."""
    first, *others = variants(fit.spec)
    found = [fit, *(one for spec in others if spec != first and (one := space_fit(spec, question)))]
    tried += [(one, question) for one in found]
    return found


def _rare(tried: Sequence[tuple[SpaceFit, Question]]) -> SpaceChoice:
    """Return a space in which no random network, but a sought one is within the bounds.

    Raises:
        NasctlError: There is none; the message names the nearest network.
    """

    def least_violation(pair: tuple[SpaceFit, Question]) -> float:
        fit, _ = pair
        ends = {name: (reach.least, reach.most) for name, reach in fit.reach.items()}
        return sum(min(one.violation({one.name: end}) for end in ends[one.name]) for one in fit.constraints)

    nearest = []
    for fit, question in sorted(tried, key=least_violation)[:CLOSEST]:
        values = nearest_values(fit, question)
        violation = sum(one.violation(values) for one in fit.constraints)
        if violation == 0:
            return SpaceChoice(fit, question)
        nearest.append((violation, fit, values))
    _, fit, values = min(nearest, key=lambda one: one[0])
    texts = " and ".join(tried[0][1].texts)
    reached = " and ".join(
        f"{name} {quantity(value, fit.units[name].partition(',')[0])}" for name, value in values.items()
    )
    raise NasctlError(
        f"Cannot hold {texts}: the nearest network that is known, of {fit.spec}, has {reached}. Relax a bound to that."
    )


def option_words(question: Question) -> Iterator[str]:
    """Yield the words of the options that ask a question on a command line, of `search` and of `space fit`."""
    for device in question.devices:
        yield from ("--device", device)
    for text in question.constraints:
        yield from ("--constraint", text)
    if question.data is not None:
        yield from ("--data", question.data)
