"""Positions and ticks of the axes of the report's charts."""

import numpy as np
import pytest

from nasctl.report.svg import axis_positions


@pytest.mark.parametrize(
    ("values", "transform", "texts"),
    [
        ([1, 10, 1000], "log10", ["1", "10", "100", "1000"]),
        ([-1000, -1], "-log10(-s)", ["\N{MINUS SIGN}1000", "\N{MINUS SIGN}100", "\N{MINUS SIGN}10", "\N{MINUS SIGN}1"]),
        ([0, 10], "log10", ["0", "2", "4", "6", "8", "10"]),
        ([2e6, 4e6], "log10", ["2 M", "2.5 M", "3 M", "3.5 M", "4 M"]),
        ([5], "identity", None),
        ([0], "identity", None),
        ([-5, -5], "-log10(-s)", None),
        ([np.nan], "identity", []),
    ],
)
def test_axes(values, transform, texts):
    axis = axis_positions(np.array(values, dtype=float), transform)
    known = np.isfinite(values)
    assert (np.isfinite(axis.at) == known).all()
    assert ((axis.at[known] >= 0) & (axis.at[known] <= 1)).all()
    places = [place for place, _ in axis.ticks]
    if texts is not None:
        assert [text for _, text in sorted(axis.ticks)] == texts
    assert len(set(places)) == len(places)
    if known.sum() > 1 and values[0] != values[-1]:
        assert axis.at[0] < axis.at[-1]


def test_values_lie_on_their_ticks():
    axis = axis_positions(np.array([1.0, 10.0, 100.0]), "log10")
    assert [place for place, _ in axis.ticks] == pytest.approx(axis.at.tolist())
    axis = axis_positions(np.array([-100.0, -10.0, -1.0]), "-log10(-s)")
    assert sorted(place for place, _ in axis.ticks) == pytest.approx(axis.at.tolist())
    axis = axis_positions(np.array([0.0, 1.0, 2.0, 3.0]))
    found = {text: place for place, text in axis.ticks}
    assert [found[str(k)] for k in range(4)] == pytest.approx(axis.at.tolist())
