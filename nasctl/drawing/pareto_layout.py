"""The layout of a picture of a run: pairs of objectives, the points to label, and the key."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product
from os.path import commonprefix
from typing import Literal

import numpy as np

from nasctl.problem.searcher import Direction, Transform

PANELS = 6  # most panels of objectives in a picture; more are hard to read
TRAINED_PANELS = 3  # most panels of results of trained candidates beside these
LABELS = {1: 10, 2: 8, 3: 8}  # most labelled points in a panel, by the number of panels
FEWER_LABELS = 6  # most labelled points in a panel if there are more panels
DIGITS = 4  # least characters shown of the last part of an id


@dataclass(frozen=True, slots=True)
class Axis:
    """One objective as it is drawn.

    Args:
        name: Name of the objective, such as "latency@gpu".
        unit: Its unit, such as "ms, batch 64".
        direction: Whether it is minimized or maximized.
        cost: Whether it is a cost of the network, drawn on x, rather than a metric of its quality, drawn on y.
        transform: The transform that searchers apply. If it is a logarithm, the scale may be logarithmic.
    """

    name: str
    unit: str
    direction: Direction
    cost: bool
    transform: Transform = "identity"


ORDER = Axis("order of evaluation", "", "min", cost=True)  # the x axis of a single objective


@dataclass(frozen=True, slots=True)
class TrainedPoints:
    """Results of the trained candidates of a run, which panels of their own show against the costs.

    Args:
        axis: The result, such as test accuracy in per cent.
        values: The result of each candidate, NaN if it is not trained, (N,).
        errors: Its standard error, NaN if it is unknown, (N,).
    """

    axis: Axis
    values: np.ndarray
    errors: np.ndarray


MarkKind = Literal["recommended", "reference", "chosen"]


@dataclass(frozen=True)
class Mark:
    """A network that a picture names beside its point.

    Args:
        name: The text beside the point.
        kind: "recommended" by nasctl, a published "reference" network, or "chosen" by the user.
        row: Row of the candidate among the points; None for a network that the run has not visited.
        values: Values of such a network on the axes in natural units, NaN where unknown, (M,).
    """

    name: str
    kind: MarkKind
    row: int | None = None
    values: Sequence[float] = ()


@dataclass(frozen=True)
class View:
    """What a picture of a run shows beside its candidates.

    Args:
        marks: Networks to name.
        pairs: Columns (x, y) of the panels; the column after the last axis has the results of trained candidates.
            None for each cost with each metric.
        optimised: Number of axes, at the beginning, that the run optimises; None for all.
        facts: Further facts, by name, for the metadata of the file.
        footer: Lines below the picture.
    """

    marks: Sequence[Mark] = ()
    pairs: Sequence[tuple[int, int]] | None = None
    optimised: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    footer: Sequence[str] = ()


PLAIN = View()


@dataclass(frozen=True, slots=True)
class Panel:
    """A pair of objectives with its Pareto front."""

    x: int  # column of the objective on x
    y: int  # column of the objective on y
    front: np.ndarray  # rows of the points that are not dominated in the two objectives, best in x first, (F,)
    labelled: tuple[int, ...]  # rows of the points to label


@dataclass(frozen=True, slots=True)
class Picture:
    """The content of a picture; `points`, `losses`, `front`, `feasible` and `names` have a row for each candidate.

    With results of trained candidates, these are the last axis and the last column.
    """

    axes: Sequence[Axis]  # (M,)
    points: np.ndarray  # (N, M), in natural units
    losses: np.ndarray  # (N, M), to be minimized
    front: np.ndarray  # whether a candidate is not dominated in all objectives, (N,)
    feasible: np.ndarray  # whether a candidate satisfies all constraints, (N,)
    names: Sequence[str]  # (N,)
    panels: Sequence[Panel]
    omitted: Sequence[tuple[int, int]]  # pairs of objectives without a panel
    trained: TrainedPoints | None = None
    optimised: int = 0  # number of objectives of the run
    marks: Sequence[Mark] = ()
    marked: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # values of the marks, NaN if unknown, (K, M)

    @property
    def objectives(self) -> int:
        """Number of axes without that of trained candidates."""
        return len(self.axes) - (self.trained is not None)

    @property
    def projected(self) -> bool:
        """Whether a panel shows other objectives than all of those that the run optimises."""
        return self.optimised > 2 or any({panel.x, panel.y} != {0, 1} for panel in self.panels)

    @property
    def labelled(self) -> list[int]:
        """Rows of the labelled points in the order of their numbers, best in the x of the first panel first."""
        first = self.losses[:, [self.panels[0].x, self.panels[0].y]].tolist()
        named = {tuple(self.points[mark.row]) for mark in self.marks if mark.row is not None}
        rows = {k for panel in self.panels for k in panel.labelled if tuple(self.points[k]) not in named}
        return sorted(rows, key=lambda k: (first[k], k))

    @property
    def letters(self) -> list[str]:
        """Letters of the marks in the key: "a", "b" and so on."""
        return [chr(ord("a") + k) if k < 26 else f"a{k}" for k in range(len(self.marks))]


def lay_out_run(
    axes: Sequence[Axis],
    points: np.ndarray,
    front: np.ndarray,
    feasible: np.ndarray,
    names: Sequence[str],
    trained: TrainedPoints | None = None,
    view: View = PLAIN,
) -> Picture:
    """Lay out the picture of a run; a single objective is drawn against the order of evaluation.

    Args:
        axes: The objectives, (M,).
        points: Values in natural units, (N, M).
        front: Whether a candidate is not dominated in all objectives, (N,).
        feasible: Whether a candidate satisfies all constraints, (N,).
        names: Names of the candidates, (N,).
        trained: Results of trained candidates.
        view: Panels and marked networks.
    """
    optimised, outside = view.optimised or len(axes), len(axes)
    if len(axes) == 1 and view.pairs is None:
        axes = (ORDER, replace(axes[0], cost=False))
        points = np.hstack([np.arange(1, len(points) + 1)[:, None], points])
    wanted = pairs(axes) if view.pairs is None else list(view.pairs)
    shown, omitted = wanted[:PANELS], wanted[PANELS:]
    if trained is not None:
        if view.pairs is None:
            shown += [(x, len(axes)) for x in sorted({x for x, _ in shown})][:TRAINED_PANELS]
        axes, points = (*axes, trained.axis), np.column_stack([points, trained.values])
    marked = np.full((len(view.marks), len(axes)), np.nan)
    for k, mark in enumerate(view.marks):
        if mark.row is not None:
            marked[k] = points[mark.row]
        elif len(mark.values) == outside:
            marked[k, len(axes) - (trained is not None) - outside :][:outside] = mark.values
    losses = points * [1 if axis.direction == "min" else -1 for axis in axes]
    # A number stands for all networks whose values are equal, in every panel for the same one.
    _, inverse = np.unique(np.nan_to_num(points, nan=np.inf), axis=0, return_inverse=True)
    places = {int(group): int(k) for k, group in reversed([*enumerate(inverse.ravel())]) if feasible[k]}
    same = np.array([places.get(int(group), -1) for group in inverse.ravel()], dtype=int)
    panels = []
    for x, y in shown:
        both = losses[:, [x, y]]
        rows = np.flatnonzero(feasible & np.isfinite(both).all(axis=1))
        own = rows[non_dominated(both[rows])]
        labelled = choose_labelled(both[own], LABELS.get(len(shown), FEWER_LABELS))
        panels.append(Panel(x, y, own, tuple(int(same[own[k]]) for k in labelled)))
    return Picture(
        axes, points, losses, front, feasible, names, panels, omitted, trained, optimised, view.marks, marked
    )


def pairs(axes: Sequence[Axis]) -> list[tuple[int, int]]:
    """Return the pairs (x, y) of objectives to draw: each cost with each metric, or all pairs if there is one kind."""
    costs = [k for k, axis in enumerate(axes) if axis.cost]
    metrics = [k for k, axis in enumerate(axes) if not axis.cost]
    return list(product(costs, metrics)) if costs and metrics else list(combinations(range(len(axes)), 2))


def non_dominated(losses: np.ndarray) -> np.ndarray:
    """Return the rows of the points that are not dominated, (N, 2) -> (F,), best in the first objective first."""
    order = np.lexsort((losses[:, 1], losses[:, 0]))
    places, where = np.unique(losses[order], axis=0, return_inverse=True)  # equal points do not dominate each other
    before = np.minimum.accumulate(np.append(np.inf, places[:-1, 1]))
    return np.asarray(order[(places[:, 1] < before)[where.ravel()]])


def choose_labelled(losses: np.ndarray, most: int) -> list[int]:
    """Choose the points of a front, (F, 2), to label.

    The first are its ends and the point with the least sum of normalized losses. Each further point is the farthest
    from those already chosen.
    """
    _, distinct = np.unique(losses, axis=0, return_index=True)
    low, high = losses.min(axis=0), losses.max(axis=0)
    at = (losses[distinct] - low) / np.where(high > low, high - low, 1)  # from (0, 1) to (1, 0)
    chosen = list(dict.fromkeys([0, len(at) - 1, int(at.sum(axis=1).argmin())]))
    while len(chosen) < min(most, len(at)):
        apart = np.linalg.norm(at[:, None] - at[chosen], axis=-1).min(axis=1)
        chosen.append(int(apart.argmax()))
    return [int(distinct[k]) for k in sorted(chosen)]


def shortest_prefixes(ids: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """Return the shortest unique prefix of each id, with at least four characters of its last part."""
    known = sorted({*ids, *others})
    common = [len(commonprefix(pair)) for pair in pairwise(known)]  # noqa: RUF071  # the prefix in characters is wanted, not in path parts
    enough = {word: 1 + max(shared) for word, *shared in zip(known, [0, *common], [*common, 0], strict=True)}
    return [word[: max(enough[word], word.rfind("-") + 1 + DIGITS)] for word in ids]


def number_format(column: np.ndarray, style: str) -> Callable[[float], str]:
    """Return a function that writes the values of a column, (N,), in a format; large values as "389.5 M"."""
    large = bool((np.abs(column) >= 1e4).any())

    def written(value: float) -> str:
        for power, prefix in ((12, " T"), (9, " G"), (6, " M"), (3, " k")):
            if large and 10**power <= abs(value) < 1e15:
                return f"{value / 10**power:{style}}{prefix}"
        return f"{value:{style}}".removesuffix(".")

    return written


def key_table(shown: Picture, most: int = 1000) -> list[str]:
    """Return the lines of a table of marked and numbered points; all lines have one length.

    Args:
        shown: The picture.
        most: Characters in a line, for which the heading is broken into several lines.

    Returns:
        The heading, whose lines are separated by line breaks, and a line for each point.
    """
    labelled, marks = shown.labelled, shown.marks
    columns = [
        ["", *shown.letters, *(str(k) for k in range(1, len(labelled) + 1))],
        ["id", *(_key_name(mark, shown.names) for mark in marks), *(shown.names[k] for k in labelled)],
    ]
    for k, axis in enumerate(shown.axes[: shown.objectives]):
        written, column = number_format(shown.points[:, k], _style(shown.points[:, k])), shown.points[:, k]
        cells = [*shown.marked[:, k], *column[labelled]]
        columns.append([axis.name, *(written(cell) if np.isfinite(cell) else "-" for cell in cells)])
    if shown.trained is not None:
        rows = [*(mark.row for mark in marks), *labelled]
        columns.append([shown.trained.axis.name, *(_result(shown.trained, k) for k in rows)])
    for width in (most, 16, 12, 10):
        heads = [break_heading(column[0], width) for column in columns]
        widths = [max(map(len, [*head, *column[1:]])) for head, column in zip(heads, columns, strict=True)]
        if sum(widths) + 2 * len(widths) - 2 <= most:
            break
    high = max(map(len, heads))
    cells = [[""] * (high - len(head)) + head + column[1:] for head, column in zip(heads, columns, strict=True)]
    lines = ["  ".join(_cells(row, widths)) for row in zip(*cells, strict=True)]
    return ["\n".join(lines[:high]), *lines[high:]]


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the cells of a line of the key at their widths: the id begins on the left, all else ends on the right."""
    return [
        cell.ljust(width) if k == 1 else cell.rjust(width)
        for k, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def break_heading(head: str, width: int) -> list[str]:
    """Return the lines of a heading, broken between words or after signs where possible."""
    parts = re.findall(r"[^ @_:,=-]*[ @_:,=-]?", head) if len(head) > width else [head]
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
        while len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return [line.strip() for line in lines if line.strip()] or [""]


def _key_name(mark: Mark, names: Sequence[str]) -> str:
    """Return the name of a marked network in the key: its id too where the text beside the point says none."""
    return f"{names[mark.row]} ({mark.name})" if mark.kind == "recommended" and mark.row is not None else mark.name


def _result(trained: TrainedPoints, row: int | None) -> str:
    """Return the result of a candidate with its standard error, or "-"."""
    if row is None:
        return "-"
    value, error = trained.values[row], trained.errors[row]
    if not np.isfinite(value):
        return "-"
    return f"{value:.4g}" if not np.isfinite(error) else f"{value:.1f} \N{PLUS-MINUS SIGN} {error:.1f}"


def _style(column: np.ndarray) -> str:
    """Return a format with four digits, or more if the values of a column need them to differ."""
    column = column[np.isfinite(column)]
    if not len(column):
        return "g"
    largest, reach = float(np.abs(column).max()), float(np.ptp(column))
    if largest < 1e4 and (column == np.round(column)).all():
        return "g"
    return f"#.{min(8, max(4, 3 + math.ceil(math.log10(largest / reach))) if reach else 4)}g"
