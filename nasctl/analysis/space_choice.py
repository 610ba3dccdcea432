"""The search space, with its width and resolution, in which to search for a network within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from nasctl import registry
from nasctl.analysis.space_fit import (
    ENOUGH,
    BoundsQuestion,
    SpaceFit,
    best_variant,
    nearest_values,
    space_fit,
    specs_for,
    suitability,
    variants,
)
from nasctl.errors import NasctlError
from nasctl.hardware.kinds import best_device
from nasctl.hardware.tables_schema import KINDS
from nasctl.problem.constraints import prefix_hint
from nasctl.search.data_options import image_side
from nasctl.system.terminal import quantity

CLOSEST = 3  # variants in which the network nearest to bounds is looked for


@dataclass(frozen=True)
class SpaceChoice:
    """A search space that has networks within bounds.

    Attributes:
        fit: The space at the chosen width and resolution.
        question: The bounds, with a device in place of each kind of device.
        base: Spec of the space before a width and a resolution were chosen.
        others: The best width and resolution of other spaces that suit as well.
        passed: For each space that suits better, a sentence that says why it was not chosen.
    """

    fit: SpaceFit
    question: BoundsQuestion
    base: str
    others: tuple[SpaceFit, ...] = ()
    passed: tuple[str, ...] = ()


def choose(question: BoundsQuestion, spaces: Sequence[str] = ()) -> SpaceChoice:
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
    tried: list[_Tried] = []
    fits.sort(key=lambda pair: suitability(pair[0], side))
    for _, group in groupby(fits, lambda pair: suitability(pair[0], side)):
        found = [best for fit, one in group if (best := _best(_variants(fit, one, tried))) is not None]
        found.sort(key=lambda one: -one.fit.mean_macs)
        if enough := [one for one in found if one.fit.share >= ENOUGH]:
            others = tuple(one.fit for one in found if one is not enough[0])
            return replace(_chosen(enough[0], tried, side), others=others)
    if some := [one for one in tried if one.fit.within.any()]:
        return _chosen(max(some, key=lambda one: one.fit.share), tried, side)
    return _chosen(_rare(tried), tried, side)


@dataclass(frozen=True)
class _Tried:
    """A space at a width and a resolution that was looked at; see `SpaceChoice`."""

    fit: SpaceFit
    question: BoundsQuestion
    base: str


def _chosen(one: _Tried, tried: Sequence[_Tried], side: int | None) -> SpaceChoice:
    """Return the choice of a space, with the reasons against spaces that suit better at their defaults."""
    defaults = {fit.base: suitability(fit.fit, side) for fit in tried if fit.fit.spec == fit.base}
    better = [base for base, key in defaults.items() if key < defaults[one.base]]
    passed = tuple(_reason_against([fit for fit in tried if fit.base == base]) for base in better)
    return SpaceChoice(one.fit, one.question, one.base, passed=passed)


def _reason_against(variants: Sequence[_Tried]) -> str:
    """Return a sentence that says why no width and resolution of a space was chosen."""
    base, texts = variants[0].base, " and ".join(variants[0].question.texts)
    most = max(variants, key=lambda one: one.fit.share)
    if most.fit.within.any():
        return f"{base} was passed over: at most {100 * most.fit.share:.2g}% of its networks hold {texts}"
    for k, bound in enumerate(variants[0].fit.constraints):
        bounds = [(one, one.fit.constraints[k]) for one in variants]
        ends = [(one, limit.violation({limit.name: one.fit.end(limit)}), limit) for one, limit in bounds]
        nearest, violation, limit = min(ends, key=lambda end: end[1])
        if violation > 0:
            unit = nearest.fit.units[limit.name].partition(",")[0]
            least = "least" if bound.upper else "largest"
            reached = f"{quantity(nearest.fit.end(limit), unit)}, of {nearest.fit.spec}"
            return f"{base} was passed over: its {least} known {limit.name} at any width and resolution is {reached}"
    return (
        f"{base} was passed over: none of {len(most.fit.within)} random networks at any width and resolution is within"
    )


def _best(tried: Sequence[_Tried]) -> _Tried | None:
    """Return the best of the widths and resolutions of one space; see `best_variant`."""
    best = best_variant([one.fit for one in tried])
    return next((one for one in tried if one.fit is best), None)


def _with_devices(question: BoundsQuestion, spec: str) -> BoundsQuestion | None:
    """Return bounds on the devices that kinds such as "gpu" stand for on a space; None if a kind has no such device.

    A kind could stand for another device at each width and resolution, whose latencies could not be compared.
    """
    try:
        devices = [best_device(one, spec) if one in KINDS else one for one in registry.listed(question.devices)]
    except NasctlError:
        return None
    return replace(question, devices=tuple(devices))


def _variants(fit: SpaceFit, question: BoundsQuestion, tried: list[_Tried]) -> list[_Tried]:
    """Return a space at every width and resolution, and note them in `tried`."""
    first, *others = variants(fit.spec)
    fits = [fit, *(one for spec in others if spec != first and (one := space_fit(spec, question)))]
    found = [_Tried(one, question, fit.spec) for one in fits]
    tried += found
    return found


def _rare(tried: Sequence[_Tried]) -> _Tried:
    """Return a space in which no random network, but a sought one is within the bounds.

    Raises:
        NasctlError: There is none; the message names the nearest network.
    """

    def least_violation(one: _Tried) -> float:
        ends = {name: (reach.least, reach.most) for name, reach in one.fit.reach.items()}
        return sum(min(bound.violation({bound.name: end}) for end in ends[bound.name]) for bound in one.fit.constraints)

    nearest = []
    for one in sorted(tried, key=least_violation)[:CLOSEST]:
        values = nearest_values(one.fit, one.question)
        violation = sum(bound.violation(values) for bound in one.fit.constraints)
        if violation == 0:
            return one
        nearest.append((violation, one.fit, values))
    _, fit, values = min(nearest, key=lambda found: found[0])
    texts = " and ".join(tried[0].question.texts)
    units = {name: unit.partition(",")[0] for name, unit in fit.units.items()}
    reached = " and ".join(f"{name} {quantity(value, units[name])}" for name, value in values.items())
    hints = "".join(prefix_hint(one, units[one.name], values[one.name]) for one in fit.constraints)
    raise NasctlError(
        f"Cannot hold {texts}: the nearest network that is known, of {fit.spec}, has {reached}. Relax a bound to that."
        f"{hints}"
    )


def option_words(question: BoundsQuestion) -> Iterator[str]:
    """Yield the words of the options that ask a question on a command line, of `search` and of `space fit`."""
    for device in question.devices:
        yield from ("--device", device)
    for text in question.constraints:
        yield from ("--constraint", text)
    if question.data is not None:
        yield from ("--data", question.data)
