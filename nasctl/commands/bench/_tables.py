"""Cells and rows that the comparisons of `nasctl bench run` share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nasctl.bench.compare import PairTest

# Heading of hypervolumes. Published comparisons have their own scale, unlike the shares that other commands print.
HV = "HV at reference 1.05"
HV_SCALE = (
    "HV: the area between the scaled (test error, complexity) of the networks and the reference point (1.05, 1.05), at"
    " most 1.1025; no share of an ideal box, which other commands print"
)


def mean_and_deviation(values: Sequence[float], digits: int) -> str:
    """Return the mean and the standard deviation over seeds, or the one value."""
    import numpy as np

    if len(values) < 2:
        return "".join(f"{value:.{digits}f}" for value in values)
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def print_tests(tests: Sequence[PairTest], indicators: Iterable[str]) -> None:
    """Print the tests of all pairs: for each indicator the better one, the p value and Cohen's d."""
    from nasctl.system.terminal import TableColumn, table

    found = {(one.scene, one.first, one.second, one.indicator): one for one in tests}
    names = list(indicators)
    rows = []
    for scene, first, second in dict.fromkeys((one.scene, one.first, one.second) for one in tests):
        cells = (found[scene, first, second, name] for name in names)
        shown = [f"{one.better or 'neither'}, {one.p:.2g}, {one.d:+.2f}" for one in cells]
        rows.append([scene, f"{first} : {second}", *shown])
    columns = [TableColumn("scene", priority=1, prose=True), TableColumn("pair", prose=True)]
    columns += [TableColumn(f"{name}: better, p, d", priority=2 + k, prose=True) for k, name in enumerate(names)]
    table(columns, rows, title="rank-sum tests, Cohen's d", as_csv=False)


def say_unbeaten(tests: Iterable[PairTest]) -> None:
    """Say which pairs have a first member that is not better than the second beyond noise, and in what.

    Args:
        tests: Tests of the pairs that matter.
    """
    from nasctl.system.terminal import say

    missed: dict[tuple[str, str, str], list[str]] = {}
    for one in tests:
        names = missed.setdefault((one.scene, one.first, one.second), [])
        names += [one.indicator] if one.better != one.first else []
    for (scene, first, second), names in missed.items():
        if names:
            say(f"{first} does not beat {second} beyond noise on {scene} in {', '.join(names)}")
