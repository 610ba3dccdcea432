"""Choice between counting and ignoring idle blocks, when a table is fitted to whole networks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nasctl.api import Genome, SearchSpace, declared_network
from nasctl.hardware.fitting.additive import (
    FOLDS,
    AdditiveFit,
    MeasuredNetworks,
    fold_error,
    folds,
    frequent_blocks,
    solutions,
)
from nasctl.hardware.fitting.by_place import Rows, fit_rows
from nasctl.hardware.idle import live_spans
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Idle

IdleChoice = Literal["auto", "count", "ignore"]
_VERB: dict[Idle, str] = {"count": "counted", "ignore": "ignored"}


@dataclass(frozen=True)
class TimedNetworks:
    """Timed networks in two forms: with idle blocks, as a benchmark declares them, and without."""

    forms: dict[Idle, MeasuredNetworks]  # only "count" if no network has idle blocks
    groups: np.ndarray  # number of each network's group, (N,), from 0
    with_idle: int  # networks of the file that have idle blocks

    @classmethod
    def of(cls, space: SearchSpace, genomes: Sequence[Genome], ms: np.ndarray) -> tuple[TimedNetworks, np.ndarray]:
        """Count the blocks of the networks of N genomes, as the genomes are written.

        Genomes that compute the same function are one group, which is held out together. If their networks are equal
        too, they are one network with the mean of their latencies.

        Args:
            space: The search space.
            genomes: The genomes, (N,).
            ms: Their latencies in ms, (N,).

        Returns:
            The networks, and their latencies in ms, (M,).
        """
        number: dict[Genome, int] = {}
        merged: dict[Hashable, tuple[Genome, int, list[float]]] = {}
        with_idle = 0
        for genome, latency in zip(genomes, ms.tolist(), strict=True):
            network, canonical = declared_network(space, genome), space.canonical(genome)
            # The hash stands for the wiring, which would take hundreds of megabytes for 10,000 networks.
            wiring = hash(tuple((span.name, span.emission.key, span.inputs) for span in network.spans))
            same = (canonical, network.output, wiring)
            if same not in merged:
                merged[same] = genome, number.setdefault(canonical, len(number)), []
                with_idle += len(live_spans(network)) < len(network.spans)
            merged[same][2].append(latency)
        chosen = [genome for genome, _, _ in merged.values()]
        groups = np.array([group for _, group, _ in merged.values()])
        means = np.array([sum(each) / len(each) for _, _, each in merged.values()])
        declared = (declared_network(space, genome) for genome in chosen)
        forms: dict[Idle, MeasuredNetworks] = {"count": MeasuredNetworks.of(declared, means, groups, by_place=True)}
        if with_idle:
            written = map(space.network, chosen)
            forms["ignore"] = MeasuredNetworks.of(written, means, groups, by_place=True, idle="ignore")
        return cls(forms, groups, with_idle), means

    def part(self, chosen: np.ndarray) -> TimedNetworks:
        """Return the networks at the given indices."""
        forms = {idle: data.part(chosen) for idle, data in self.forms.items()}
        return replace(self, forms=forms, groups=self.groups[chosen])


@dataclass(frozen=True)
class FormFit:
    """A fit, and the form of the networks that it was fitted to."""

    idle: Idle | None  # None if no network has idle blocks
    fit: AdditiveFit
    idle_remark: str = ""  # the reason for the form, for users; "" if no network has idle blocks

    @property
    def remarks(self) -> list[str]:
        """Return the reasons for the choices of the fit, for users."""
        return [one for one in (self.fit.remark, self.fit.place_remark, self.idle_remark) if one]

    def form(self, timed: TimedNetworks) -> MeasuredNetworks:
        """Return networks in the form of the fit."""
        return timed.forms[self.idle or "count"]

    def fill(self, table: LatencyTable) -> LatencyTable:
        """Return the table with this fit."""
        return replace(self.fit.fill(table), idle=self.idle)


def fit_form(
    timed: TimedNetworks, idle: IdleChoice = "auto", rows: Rows = "auto", operators_only: bool = False
) -> FormFit:
    """Fit a table to the form of the networks that it predicts better in cross-validation.

    Args:
        timed: The networks to fit to.
        idle: "count" or "ignore" for that form; "auto" to choose.
        rows: Kind of rows; see `fit_rows`.
        operators_only: Fit no rows.

    Raises:
        NasctlError: There are too few networks.
    """
    if not timed.with_idle:
        return FormFit(None, fit_rows(timed.forms["count"], rows, operators_only))
    about = f"idle operations, in {timed.with_idle:,} networks, are"
    if idle != "auto":
        found = fit_rows(timed.forms[idle], rows, operators_only)
        return FormFit(idle, found, f"{about} {_VERB[idle]}, as asked for")
    fits = {form: fit_rows(data, rows, operators_only) for form, data in timed.forms.items()}
    errors = {form: _error(fits[form], timed.forms[form]) for form in fits}
    best = min(errors, key=lambda form: errors[form])  # the first, "count", if both are equal
    figures = ", ".join(f"{error:.2f}% {_VERB[form]}" for form, error in errors.items())
    return FormFit(best, fits[best], f"{about} {_VERB[best]} (MAPE in {FOLDS} folds {figures})")


def _error(found: AdditiveFit, data: MeasuredNetworks) -> float:
    """Return the cross-validated error of a fit, which a fit without a choice of rows does not have yet, in %."""
    if found.error is not None:
        return found.error
    plain = data.by_operation
    rows = frequent_blocks(plain)[:0]
    return float(np.mean([fold_error(next(solutions(inside, rows, [None])), held) for inside, held in folds(plain)]))
