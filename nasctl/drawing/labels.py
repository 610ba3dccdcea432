"""The placement of labels beside points, so that no label lies on a marker, a line or another label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise, product

import numpy as np

NUMBER = 6.0  # points: font size of the labels
WIDE = 0.64  # width of a digit in DejaVu Sans, relative to NUMBER
HIGH = 0.8  # height of a digit with some space, relative to NUMBER
LINE = 1.25  # height of a line of letters with its space, relative to NUMBER
MARKER = 2.3  # points: half the width of a marker
RADII = (6.5, 9, 13, 18)  # points: distances of a number from its marker, tried in this order
TURNS = (0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2.2, -2.2)  # radians: directions from the better side, tried in this order
NAME_RADII = (6, 10, 16, 24, 34, 46, 60, 76)  # points: distances of the near side of a name from its marker
NAME_TURNS = (*TURNS, 2.7, -2.7, np.pi)  # radians: directions from the better side
COVERED = 1.5  # points: added to the distance of a name for each candidate that the name would cover


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
    taken = front_boxes(places, towards, size)
    taken = taken if obstacles is None else np.vstack([taken, obstacles])
    middle, found = np.arctan2(towards[1], towards[0]), {}
    for row, text in texts.items():
        half = np.array([WIDE * len(text), HIGH]) * NUMBER / 2
        for radius, turn in product(RADII, TURNS):
            offset = radius * np.array([np.cos(middle + turn), np.sin(middle + turn)])
            box = _box(places[row] + offset, half)
            if _free(box, taken, size):
                taken = np.vstack([taken, box])
                found[row] = (float(offset[0]), float(offset[1]))
                break
    return found


def name_offsets(
    places: np.ndarray,
    names: Sequence[Sequence[str]],
    towards: Sequence[int],
    size: Sequence[float],
    obstacles: np.ndarray,
    crowd: np.ndarray,
    width: Callable[[str], float],
) -> tuple[list[tuple[str, tuple[float, float]] | None], np.ndarray]:
    """Place names beside markers without overlaps, where they cover few other points.

    Args:
        places: Centers of the markers in points from the panel's lower left corner, (K, 2).
        names: Texts for each marker, the one to try first first, K lists.
        towards: Signs of the better side in x and y.
        size: Width and height of the panel in points.
        obstacles: Boxes to keep free: left, bottom, right, top, (B, 4).
        crowd: Points that a name may cover if there is no better place, (N, 2).
        width: Function that returns the width of a text in points.

    Returns:
        For each marker its text and the offset of the text's center from the marker, in points; None where no text has
        a free place. Then the boxes of the placed texts, (at most K, 4).
    """
    taken = np.vstack([obstacles, np.hstack([places - 1.3 * MARKER, places + 1.3 * MARKER])])
    middle = np.arctan2(towards[1], towards[0])
    found: list[tuple[str, tuple[float, float]] | None] = []
    boxes: list[np.ndarray] = []
    for place, texts in zip(places, names, strict=True):
        best = None
        for text in texts:
            half = np.array([width(text) / 2 + 1.2, LINE * NUMBER / 2])
            tried: list[tuple[float, int, str, np.ndarray]] = []
            for radius, turn in product(NAME_RADII, NAME_TURNS):
                way = np.array([np.cos(middle + turn), np.sin(middle + turn)])
                box = _box(place + radius * way + half * np.sign(np.round(way, 3)) * np.abs(way) ** 0.5, half)
                if _free(box, taken, size):
                    covered = int(((crowd >= box[:2]) & (crowd <= box[2:])).all(axis=1).sum())
                    tried.append((radius + COVERED * covered, len(tried), text, box))
            if tried:
                best = min(tried)[2:]
                break
        if best is None:
            found.append(None)
            continue
        text, box = best
        offset = (box[:2] + box[2:]) / 2 - place
        taken, boxes = np.vstack([taken, box]), [*boxes, box]
        found.append((text, (float(offset[0]), float(offset[1]))))
    return found, np.array(boxes).reshape(-1, 4)


def front_boxes(places: np.ndarray, towards: Sequence[int], size: Sequence[float]) -> np.ndarray:
    """Return the boxes of the markers and of the staircase of a front: left, bottom, right, top, (3 F + 1, 4)."""
    return np.vstack([np.hstack([places - MARKER, places + MARKER]), _stairs(places, towards, size)])


@lru_cache(maxsize=1 << 12)
def text_width(text: str, size: float = NUMBER) -> float:
    """Return the width of a line of text in points, in the font of all pictures."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).get_extents().width) if text.strip() else 0.0


def _box(center: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.hstack([center - half, center + half])


def _free(box: np.ndarray, taken: np.ndarray, size: Sequence[float]) -> bool:
    """Return whether a box is inside a panel and on no other box."""
    inside = (box[:2] >= 0).all() and (box[2:] <= size).all()
    return bool(inside) and not ((box[:2] < taken[:, 2:]) & (taken[:, :2] < box[2:])).all(axis=1).any()


def _stairs(places: np.ndarray, towards: Sequence[int], size: Sequence[float]) -> np.ndarray:
    """Return the lines of a staircase as boxes of zero thickness, (2 F + 1, 4): left, bottom, right, top."""
    worst_x, worst_y = (0 if sign > 0 else most for sign, most in zip(towards, size, strict=True))
    corners = [np.array([places[0, 0], worst_y])]
    for place in places:
        corners += [np.array([place[0], corners[-1][1]]), place]
    corners.append(np.array([worst_x, places[-1, 1]]))
    return np.array([np.hstack([np.minimum(one, other), np.maximum(one, other)]) for one, other in pairwise(corners)])
