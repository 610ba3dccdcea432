"""The layout of a picture of a run: pairs of objectives, the points to label, and the positions of labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from os.path import commonprefix

import numpy as np

from nasctl.problem.searcher import Direction, Transform

PANELS = 6  # most panels of objectives in a picture; more are hard to read
TRAINED_PANELS = 3  # most panels of results of trained candidates beside these
LABELS = {1: 10, 2: 8, 3: 8}  # most labelled points in a panel, by the number of panels
FEWER_LABELS = 6  # most labelled points in a panel if there are more panels
DIGITS = 4  # least characters shown of the last part of an id
NUMBER = 6.0  # points: font size of the numbers beside points
WIDE = 0.64  # width of a digit in DejaVu Sans, relative to NUMBER
HIGH = 0.8  # height of a digit with some space, relative to NUMBER
MARKER = 2.3  # points: half the width of a marker
RADII = (6.5, 9, 13, 18)  # points: distances of a number from its marker, tried in this order
TURNS = (0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2.2, -2.2)  # radians: directions from the better side, tried in this order


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

    @property
    def objectives(self) -> int:
        """Number of axes that the run optimises."""
        return len(self.axes) - (self.trained is not None)

    @property
    def labelled(self) -> list[int]:
        """Rows of the labelled points in the order of their numbers, best in the x of the first panel first."""
        first = self.losses[:, [self.panels[0].x, self.panels[0].y]].tolist()
        return sorted({k for panel in self.panels for k in panel.labelled}, key=lambda k: (first[k], k))


def lay_out_run(
    axes: Sequence[Axis],
    points: np.ndarray,
    front: np.ndarray,
    feasible: np.ndarray,
    names: Sequence[str],
    trained: TrainedPoints | None = None,
) -> Picture:
    """Lay out the picture of a run; a single objective is drawn against the order of evaluation.

    Args:
        axes: The objectives, (M,).
        points: Values in natural units, (N, M).
        front: Whether a candidate is not dominated in all objectives, (N,).
        feasible: Whether a candidate satisfies all constraints, (N,).
        names: Names of the candidates, (N,).
        trained: Results of trained candidates.
    """
    if len(axes) == 1:
        axes = (ORDER, replace(axes[0], cost=False))
        points = np.hstack([np.arange(1, len(points) + 1)[:, None], points])
    shown, omitted = pairs(axes)[:PANELS], pairs(axes)[PANELS:]
    if trained is not None:
        shown += [(x, len(axes)) for x in sorted({x for x, _ in shown})][:TRAINED_PANELS]
        axes, points = (*axes, trained.axis), np.column_stack([points, trained.values])
    losses = points * [1 if axis.direction == "min" else -1 for axis in axes]
    panels = []
    for x, y in shown:
        both = losses[:, [x, y]]
        rows = np.flatnonzero(feasible & np.isfinite(both).all(axis=1))
        own = rows[non_dominated(both[rows])]
        labelled = choose_labelled(both[own], LABELS.get(len(shown), FEWER_LABELS))
        panels.append(Panel(x, y, own, tuple(int(own[k]) for k in labelled)))
    return Picture(axes, points, losses, front, feasible, names, panels, omitted, trained)


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
    large = bool(np.nanmax(np.abs(column)) >= 1e4)

    def written(value: float) -> str:
        for power, prefix in ((12, " T"), (9, " G"), (6, " M"), (3, " k")):
            if large and 10**power <= abs(value) < 1e15:
                return f"{value / 10**power:{style}}{prefix}"
        return f"{value:{style}}".removesuffix(".")

    return written


def key_table(shown: Picture) -> list[str]:
    """Return the lines of a table of the labelled points by number, with a heading; all lines have one length."""
    labelled = shown.labelled
    columns = [["", *(str(k) for k in range(1, len(labelled) + 1))], ["id", *(shown.names[k] for k in labelled)]]
    for axis, column in zip(shown.axes[: shown.objectives], shown.points.T[: shown.objectives], strict=True):
        columns.append([axis.name, *map(number_format(column, _style(column)), column[labelled])])
    if shown.trained is not None:
        columns.append([shown.trained.axis.name, *(_result(shown.trained, k) for k in labelled)])
    padded = [[cell.rjust(max(map(len, column))) for cell in column] for column in columns]
    padded[1] = [cell.ljust(max(map(len, columns[1]))) for cell in columns[1]]
    return ["  ".join(line) for line in zip(*padded, strict=True)]


def _result(trained: TrainedPoints, row: int) -> str:
    """Return the result of a candidate with its standard error, or "-"."""
    value, error = trained.values[row], trained.errors[row]
    if not np.isfinite(value):
        return "-"
    return f"{value:.4g}" if not np.isfinite(error) else f"{value:.1f} \N{PLUS-MINUS SIGN} {error:.1f}"


def _style(column: np.ndarray) -> str:
    """Return a format with four digits, or more if the values of a column need them to differ."""
    largest, reach = float(np.abs(column).max()), float(np.ptp(column))
    if largest < 1e4 and (column == np.round(column)).all():
        return "g"
    return f"#.{min(8, max(4, 3 + math.ceil(math.log10(largest / reach))) if reach else 4)}g"


def label_offsets(
    places: np.ndarray,
    texts: Mapping[int, str],
    towards: Sequence[int],
    size: Sequence[float],
    obstacles: np.ndarray | None = None,
) -> dict[int, tuple[float, float]]:
    """Place numbers beside the markers of a front without overlaps.

    Args:
        places: Centers of the markers in points from the panel's lower left corner, best in x first, (F, 2).
        texts: Numbers by the row of the marker.
        towards: Signs of the better side in x and y. That side is tried first, because it has no points.
        size: Width and height of the panel in points.
        obstacles: Further boxes to keep free, such as error bars: left, bottom, right, top, (B, 4).

    Returns:
        The offset of each number's center from the center of its marker, in points, by the row of the marker. Numbers
        without a free place are left out.
    """
    taken = np.vstack([np.hstack([places - MARKER, places + MARKER]), _stairs(places, towards, size)])  # (T, 4)
    taken = taken if obstacles is None else np.vstack([taken, obstacles])
    middle, found = np.arctan2(towards[1], towards[0]), {}
    for row, text in texts.items():
        half = np.array([WIDE * len(text), HIGH]) * NUMBER / 2
        for radius, turn in product(RADII, TURNS):
            offset = radius * np.array([np.cos(middle + turn), np.sin(middle + turn)])
            box = np.hstack([places[row] + offset - half, places[row] + offset + half])
            inside = (box[:2] >= 0).all() and (box[2:] <= size).all()
            if inside and not ((box[:2] < taken[:, 2:]) & (taken[:, :2] < box[2:])).all(axis=1).any():
                taken = np.vstack([taken, box])
                found[row] = (float(offset[0]), float(offset[1]))
                break
    return found


def _stairs(places: np.ndarray, towards: Sequence[int], size: Sequence[float]) -> np.ndarray:
    """Return the lines of a staircase as boxes of zero thickness, (2 F + 1, 4): left, bottom, right, top."""
    worst_x, worst_y = (0 if sign > 0 else most for sign, most in zip(towards, size, strict=True))
    corners = [np.array([places[0, 0], worst_y])]
    for place in places:
        corners += [np.array([place[0], corners[-1][1]]), place]
    corners.append(np.array([worst_x, places[-1, 1]]))
    return np.array([np.hstack([np.minimum(one, other), np.maximum(one, other)]) for one, other in pairwise(corners)])
