"""Which search spaces have networks within bounds on a device, and at which width and resolution.

Costs are computed for random networks of each space; no module is built.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import Objective, closed_form
from nasctl.candidates.setting import DEFAULT_SETTING
from nasctl.data import Data, TokenData, source
from nasctl.errors import MissingBlock, NasctlError
from nasctl.evaluation import ranges
from nasctl.evaluation.measure import score
from nasctl.hardware.kinds import TRIAL_NETWORKS, best_table
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import KINDS
from nasctl.problem import constraints as bounds
from nasctl.problem.constraints import Constraint
from nasctl.problem.space import Genome, HasReferences, SearchSpace
from nasctl.search.data_options import STEP, following_options, with_options
from nasctl.search.metrics import make_objective

NETWORKS = 200  # random networks of each space

WIDTHS = (0.5, 0.75, 1.0, 1.2)  # multipliers of channels that are tried where a space has the option `width`
LEAST_RESOLUTION = 96  # pixels; the smallest resolution that is tried where the default is larger

PHOTO_SIDE = 224  # pixels of an image without data: networks for photos are sought

ENOUGH = 0.1  # share of random networks within the bounds that leaves a search a choice


@dataclass(frozen=True)
class BoundsQuestion:
    """Bounds on costs, on devices.

    Args:
        devices: Names of devices, or files of latency tables.
        constraints: Bounds as a user types them, such as "latency<=10ms"; "latency" is that on the only device.
        data: Name or path of the data, from which classes and image size follow; None for none.
    """

    devices: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    data: str | None = None

    @cached_property
    def examples(self) -> Data | None:
        """The data, opened."""
        return None if self.data is None else source(self.data)

    @property
    def texts(self) -> list[str]:
        """The bounds, one by one."""
        return [text for given in self.constraints for text in given.split(",")]


@dataclass(frozen=True)
class SpaceFit:
    """How a space fits bounds.

    Attributes:
        spec: Normal spec of the space.
        units: Units of the costs by name.
        values: Costs of the random networks by name, (N,).
        reach: Least and greatest value of each cost by name.
        constraints: The bounds, as the space reads them.
        within: Whether each random network holds all bounds, (N,).
        macs: Multiply-accumulates of the random networks, (N,).
        tables: Latency tables by the names of devices.
        validated: Whether all of these were validated on the space.
        references: Number of published networks that the space names.
        side: Default height and width of the images of the space in pixels; 0 for tokens.
    """

    spec: str
    units: Mapping[str, str]
    values: Mapping[str, np.ndarray]
    reach: Mapping[str, ranges.Bounds]
    constraints: tuple[Constraint, ...]
    within: np.ndarray
    macs: np.ndarray
    tables: Mapping[str, LatencyTable]
    validated: bool
    references: int
    side: int

    @property
    def share(self) -> float:
        """Share of the random networks that hold all bounds."""
        return float(self.within.mean())

    @property
    def mean_macs(self) -> float:
        """Mean multiply-accumulates of the random networks within the bounds; NaN if there is none."""
        return float(self.macs[self.within].mean()) if self.within.any() else math.nan

    @property
    def possible(self) -> bool:
        """Whether a network is known for each bound alone that holds it."""
        return all(not constraint.violation({constraint.name: self.end(constraint)}) for constraint in self.constraints)

    def end(self, constraint: Constraint) -> float:
        """Return the known value of a cost that comes closest to a bound on it."""
        found = self.reach[constraint.name]
        return found.least if constraint.upper else found.most


def specs_for(question: BoundsQuestion, spaces: Sequence[str] = ()) -> list[str]:
    """Return the specs of the spaces to look at, with the options that follow from data.

    Args:
        question: The bounds, with the data.
        spaces: Specs that a user names; if empty, all spaces whose input and labels suit the data.

    Raises:
        NasctlError: A spec or the data does not exist.
    """
    named = registry.split(spaces) or registry.names_without_options("spaces")
    kind = "tokens" if isinstance(question.examples, TokenData) else "images"
    found = []
    for spec in named:
        made: SearchSpace = registry.create("spaces", spec)
        classifies = "classes" in registry.option_defaults("spaces", spec) or kind == "tokens"
        if spaces or (made.input.kind == kind and classifies):
            found.append(with_options(spec, following_options(spec, question.examples) if question.examples else {}))
    return found


def variants(spec: str) -> Iterator[str]:
    """Yield the spec of a space at every width and resolution that it does not give, the default ones first."""
    given, defaults = registry.options("spaces", spec), registry.option_defaults("spaces", spec)
    default_width, largest = defaults.get("width"), defaults.get("resolution")
    widths: list[float | None] = [None]
    if isinstance(default_width, float) and "width" not in given:
        widths += [width for width in WIDTHS if width != default_width]
    sizes: list[int | None] = [None]
    if isinstance(largest, int) and not given.keys() & {"resolution", "resolutions"}:
        sizes += [size for size in range(largest - largest % STEP, LEAST_RESOLUTION - 1, -STEP) if size < largest]
    for width in widths:
        for size in sizes:
            chosen = {"width": width, "resolution": size}
            yield with_options(spec, {key: value for key, value in chosen.items() if value is not None})


def space_fit(spec: str, question: BoundsQuestion, number: int = NETWORKS) -> SpaceFit | None:
    """Return how a space fits bounds; None if a table of a device does not know its blocks.

    Args:
        spec: Spec of the space.
        question: The bounds.
        number: Random networks to look at.

    Raises:
        NasctlError: A device or an objective does not exist, a bound is malformed, or is about no cost.
    """
    space: SearchSpace = registry.create("spaces", spec)
    drawn = ranges.sample(space, number)
    tables = {device: _table(device, spec, space, drawn) for device in registry.listed(question.devices)}
    known = {device: table for device, table in tables.items() if table is not None}
    if len(known) < len(tables):
        return None
    objectives = _objectives(spec, question)
    try:
        parsed = _constraints(question, objectives, space)
        values, macs = _values(space, drawn, objectives)
        reach = {name: ranges.bounds(space, one, exhaust=False) for name, one in objectives.items()}
    except MissingBlock:  # of a network that the trial did not show
        return None
    held = np.ones(len(drawn), dtype=bool)
    for one in parsed:
        column = values[one.name]
        held &= (column <= one.bound) if one.upper else (column >= one.bound)  # NaN, of a failure, is neither
    return SpaceFit(
        registry.normal("spaces", spec),
        {name: one.unit for name, one in objectives.items()},
        values,
        reach,
        parsed,
        held,
        macs,
        known,
        all(table.validated(spec) for table in known.values()),
        len(space.references) if isinstance(space, HasReferences) else 0,
        int(space.input.shape[-1]) if space.input.kind == "images" else 0,
    )


def nearest_values(fit: SpaceFit, question: BoundsQuestion) -> dict[str, float]:
    """Return the costs of the network of a space that comes closest to all bounds at once, by name.

    Args:
        fit: The fit of the space.
        question: The bounds.
    """
    space = registry.create("spaces", fit.spec)
    return ranges.nearest(space, _objectives(fit.spec, question), fit.constraints)[1]


def suitability(fit: SpaceFit, side: int | None = None) -> tuple[bool, int, int]:
    """Return a sort key of spaces at their defaults that is smaller for a space that suits a user better.

    Spaces that the latency tables were validated on come first. The next criterion is the size of the images: the
    default size of the space may differ from that of the data by less than a factor of 1.4, of 2.8, and so on. The last
    is the number of published networks that the space names, which users can compare with.

    Args:
        fit: The fit of the space at its defaults.
        side: Height and width of the images of the data in pixels; None for photos.
    """
    target = min(side or PHOTO_SIDE, PHOTO_SIDE)
    return not fit.validated, round(abs(math.log2(fit.side / target))) if fit.side else 0, -fit.references


def best_variant(fits: Sequence[SpaceFit]) -> SpaceFit | None:
    """Return the width and resolution of a space at which its networks within the bounds compute the most.

    This is the criterion of TinyNAS: of search spaces under one bound, the one whose networks have the most
    multiply-accumulates on average has the most accurate networks. Departure: variants where less than the share
    `ENOUGH` of the networks hold the bounds count only if there are no others, because they leave little to search.

    References:
        Lin et al., "MCUNet: Tiny deep learning on IoT devices", NeurIPS 2020, arXiv:2007.10319, section 3.1.

    Args:
        fits: Fits of variants of one space.
    """
    usable = [fit for fit in fits if fit.within.any()]
    enough = [fit for fit in usable if fit.share >= ENOUGH]
    return max(enough or usable, key=lambda fit: fit.mean_macs, default=None)


def _table(device: str, spec: str, space: SearchSpace, drawn: Sequence[Genome]) -> LatencyTable | None:
    """Return the table of a device, or None if it does not know the blocks of a space.

    Raises:
        NasctlError: The device does not exist, or its file is no table.
    """
    try:
        table = best_table(device, spec) if device in KINDS else LatencyTable.load(device)
    except NasctlError:
        if device in KINDS:  # no table of the kind knows the space
            return None
        raise
    try:
        for genome in drawn[:TRIAL_NETWORKS]:
            table.latency(space.network(genome))
    except MissingBlock:
        return None
    return table


def _objectives(spec: str, question: BoundsQuestion) -> dict[str, Objective]:
    """Return the latency on each device, and the bounded costs, by name.

    Raises:
        NasctlError: A bound is about no cost, or about the latency without a device.
    """
    devices = registry.listed(question.devices)
    made = dict(make_objective(f"latency@{device}", spec) for device in devices)
    for text in question.texts:
        name = bounds.subject(text)
        if any(name == one or one.startswith(f"{name}@") for one in made):
            continue
        if name == "latency":
            raise NasctlError(
                f"Cannot hold {text!r}: the latency depends on the device. Name one with --device; `nasctl device list`"
                " lists them."
            )
        label, objective = make_objective(name, spec)
        if not closed_form(objective):
            raise NasctlError(
                f"Cannot hold {text!r}: {name} is no cost that is known without running a network. Bound latency,"
                " params, macs, memory, size or depth."
            )
        made[label] = objective
    if not made:
        made |= dict([make_objective("macs", spec)])
    return made


def _constraints(question: BoundsQuestion, made: Mapping[str, Objective], space: SearchSpace) -> tuple[Constraint, ...]:
    """Return the bounds of a question on a space."""
    units = {name: one.unit for name, one in made.items()}

    def most(name: str) -> float:
        return ranges.bounds(space, made[name], exhaust=False).most

    found = tuple(bounds.parse(text, list(made), most, units) for text in question.texts)
    for text, one in zip(question.texts, found, strict=True):
        bounds.check_positive(text, one, units[one.name])
    return found


def _values(
    space: SearchSpace, drawn: Sequence[Genome], made: Mapping[str, Objective]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the costs of networks by name, (N,), NaN where one fails, and their multiply-accumulates, (N,)."""
    columns: dict[str, list[float]] = {name: [] for name in made}
    macs = []
    needs = frozenset().union(*(one.needs for one in made.values()))
    for genome in drawn:
        candidate = Candidate(space, genome, DEFAULT_SETTING, needs)
        macs.append(float(candidate.network.macs))
        for name, one in made.items():
            value = score(one, candidate).value
            columns[name].append(math.nan if value is None else value)
    return {name: np.array(column) for name, column in columns.items()}, np.array(macs)
