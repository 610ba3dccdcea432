"""What the picture of a run shows: pairs of objectives, the best points of each pair, and what they are called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from os.path import commonprefix

import numpy as np

from nasctl.problem.searcher import Direction, Transform

PANELS = 6  # in a picture; a person takes in no more
LABELS, FEWER = {1: 10, 2: 8, 3: 8}, 6  # in a panel, by the number of panels, and where there are more
DIGITS = 4  # of the last part of an id that are shown at least
NUMBER = 6.0  # points: the size of the numbers beside points
WIDE, HIGH = 0.64, 0.8  # of that size: a digit of DejaVu Sans, and a line with a little air
MARKER = 2.3  # points: half a marker
RADII, TURNS = (6.5, 9, 13, 18), (0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2.2, -2.2)  # points, and radians from the better side


@dataclass(frozen=True, slots=True)
class Axis:
    """One objective as it is drawn.

    Args:
        name: Such as "latency@gpu".
        unit: Such as "ms, batch 64".
        direction: Which end is better.
        cost: Whether it is a cost of the network, to be drawn on x, rather than a metric of its quality.
        transform: What searchers see of it; of what they see the logarithm of, the scale may be logarithmic.
    """

    name: str
    unit: str
    direction: Direction
    cost: bool
    transform: Transform = "identity"


ORDER = Axis("order of evaluation", "", "min", cost=True)  # what a single objective is drawn against


@dataclass(frozen=True, slots=True)
class Panel:
    """A pair of objectives, by their columns, and rows of points: what nothing dominates in the two, what to label."""

    x: int
    y: int
    front: np.ndarray  # (F,), best in x first
    labelled: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn; `points`, `losses`, `front`, `held` and `names` have a row for each candidate."""

    axes: Sequence[Axis]  # (M,)
    points: np.ndarray  # (N, M), in natural units
    losses: np.ndarray  # (N, M), to be minimised
    front: np.ndarray  # (N,), whether nothing dominates it in all objectives
    held: np.ndarray  # (N,), whether it breaks no constraint
    names: Sequence[str]  # (N,)
    panels: Sequence[Panel]
    left: Sequence[tuple[int, int]]  # pairs of objectives for which there is no room

    @property
    def told(self) -> list[int]:
        """The rows of the labelled points in the order of their numbers: best in the x of the first panel first."""
        first = self.losses[:, [self.panels[0].x, self.panels[0].y]].tolist()
        return sorted({k for panel in self.panels for k in panel.labelled}, key=lambda k: (first[k], k))


def picture(
    axes: Sequence[Axis], points: np.ndarray, front: np.ndarray, held: np.ndarray, names: Sequence[str]
) -> Picture:
    """What to draw of a run; a single objective is drawn against the order of evaluation."""
    if len(axes) == 1:
        axes = (ORDER, replace(axes[0], cost=False))
        points = np.hstack([np.arange(1, len(points) + 1)[:, None], points])
    losses = points * [1 if axis.direction == "min" else -1 for axis in axes]
    shown, left = pairs(axes)[:PANELS], pairs(axes)[PANELS:]
    panels = []
    for x, y in shown:
        both = losses[:, [x, y]]
        own = np.flatnonzero(held)[best(both[held])]
        labelled = spread(both[own], LABELS.get(len(shown), FEWER))
        panels.append(Panel(x, y, own, tuple(int(own[k]) for k in labelled)))
    return Picture(axes, points, losses, front, held, names, panels, left)


def pairs(axes: Sequence[Axis]) -> list[tuple[int, int]]:
    """The pairs (x, y) of objectives that matter: each cost with each metric, or all where there is but one sort."""
    costs = [k for k, axis in enumerate(axes) if axis.cost]
    metrics = [k for k, axis in enumerate(axes) if not axis.cost]
    return list(product(costs, metrics)) if costs and metrics else list(combinations(range(len(axes)), 2))


def best(losses: np.ndarray) -> np.ndarray:
    """The points that nothing dominates in two objectives, (N, 2) -> (F,), best in the first one first."""
    order = np.lexsort((losses[:, 1], losses[:, 0]))
    places, where = np.unique(losses[order], axis=0, return_inverse=True)  # equal points stand or fall together
    before = np.minimum.accumulate(np.append(np.inf, places[:-1, 1]))
    return np.asarray(order[(places[:, 1] < before)[where.ravel()]])


def spread(losses: np.ndarray, most: int) -> list[int]:
    """Which points of a front, (F, 2), to label: its ends, its knee, then again and again the farthest from those."""
    _, distinct = np.unique(losses, axis=0, return_index=True)
    low, high = losses.min(axis=0), losses.max(axis=0)
    at = (losses[distinct] - low) / np.where(high > low, high - low, 1)  # from (0, 1) to (1, 0)
    chosen = list(dict.fromkeys([0, len(at) - 1, int(at.sum(axis=1).argmin())]))
    while len(chosen) < min(most, len(at)):
        apart = np.linalg.norm(at[:, None] - at[chosen], axis=-1).min(axis=1)
        chosen.append(int(apart.argmax()))
    return [int(distinct[k]) for k in sorted(chosen)]


def shortest_prefixes(ids: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """The shortest beginning of each id that no other id shares; four characters or more of its last part."""
    known = sorted({*ids, *others})
    common = [len(commonprefix(pair)) for pair in pairwise(known)]  # noqa: RUF071  # letters are what is wanted
    enough = {word: 1 + max(shared) for word, *shared in zip(known, [0, *common], [*common, 0], strict=True)}
    return [word[: max(enough[word], word.rfind("-") + 1 + DIGITS)] for word in ids]


def number_format(column: np.ndarray, style: str) -> Callable[[float], str]:
    """How to write the values of a column, (N,), given the style of a number: "389.5 M" where they are large."""
    large = bool(np.abs(column).max() >= 1e4)

    def written(value: float) -> str:
        for power, prefix in ((12, " T"), (9, " G"), (6, " M"), (3, " k")):
            if large and 10**power <= abs(value) < 1e15:
                return f"{value / 10**power:{style}}{prefix}"
        return f"{value:{style}}".removesuffix(".")

    return written


def key(shown: Picture) -> list[str]:
    """A table of the labelled points by number, under a line of headings; all lines are of one length."""
    told = shown.told
    columns = [["", *(str(k) for k in range(1, len(told) + 1))], ["id", *(shown.names[k] for k in told)]]
    for axis, column in zip(shown.axes, shown.points.T, strict=True):
        columns.append([axis.name, *map(number_format(column, _style(column)), column[told])])
    padded = [[cell.rjust(max(map(len, column))) for cell in column] for column in columns]
    padded[1] = [cell.ljust(max(map(len, columns[1]))) for cell in columns[1]]
    return ["  ".join(line) for line in zip(*padded, strict=True)]


def _style(column: np.ndarray) -> str:
    """Four digits or as many as tell the values of a column apart; whole numbers as they are."""
    largest, reach = float(np.abs(column).max()), float(np.ptp(column))
    if largest < 1e4 and (column == np.round(column)).all():
        return "g"
    return f"#.{min(8, max(4, 3 + math.ceil(math.log10(largest / reach))) if reach else 4)}g"


def offsets(
    places: np.ndarray, texts: Mapping[int, str], towards: Sequence[int], size: Sequence[float]
) -> dict[int, tuple[float, float]]:
    """Where to put numbers beside the markers of a front, so that nothing lies on anything.

    Args:
        places: The middles of the markers, in points from the panel's lower left corner, best in x first, (F, 2).
        texts: The numbers, by the marker's row.
        towards: The signs of the better side in x and y, which is tried first since nothing was found there.
        size: Width and height of the panel.

    Returns:
        The middle of each number from the middle of its marker, in points, by the marker's row; none without a place.
    """
    taken = np.vstack([np.hstack([places - MARKER, places + MARKER]), _stairs(places, towards, size)])  # (T, 4)
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
    """The lines of a staircase as boxes without thickness, (2 F + 1, 4): left, bottom, right, top."""
    worst_x, worst_y = (0 if sign > 0 else most for sign, most in zip(towards, size, strict=True))
    corners = [np.array([places[0, 0], worst_y])]
    for place in places:
        corners += [np.array([place[0], corners[-1][1]]), place]
    corners.append(np.array([worst_x, places[-1, 1]]))
    return np.array([np.hstack([np.minimum(one, other), np.maximum(one, other)]) for one, other in pairwise(corners)])
