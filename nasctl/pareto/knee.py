"""The knee of a front: the point where giving up a little of one objective stops to gain much of another."""

from __future__ import annotations

import numpy as np

FLAT = 1e-9  # distance from the hyperplane, in ranges of the front, up to which rounding errors explain it


def knee(losses: np.ndarray) -> int | None:
    """Return the row of the knee of a front, or None if the front has no bend towards the ideal point.

    Each objective is scaled to its range on the front, from 0 at its best to 1 at its worst. The knee is the point that
    lies farthest below the hyperplane through the M points with a 1 in one objective and 0 in the others, along its
    normal. With two objectives these are the ends of the front. A front on the hyperplane, or beyond it everywhere, has
    no knee. Of equal points the first counts.

    Args:
        losses: The front, (A, M), finite, A > 0; lower is better.

    References:
        Das, "On characterizing the 'knee' of the Pareto curve based on normal-boundary intersection", Structural
        Optimization 18 (1999) 107-115. Das takes the hyperplane through the minimisers of the objectives. With three
        objectives or more these may coincide or lie on a line, and then span no hyperplane; the one here always exists.
    """
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    distances = (1 - scaled.sum(axis=1)) / np.sqrt(losses.shape[1])
    # Of points at one distance but for rounding errors, the first counts on every processor.
    row = int((distances >= distances.max() - FLAT).argmax())
    return row if distances[row] > FLAT else None
