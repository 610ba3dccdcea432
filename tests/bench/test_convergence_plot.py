"""The picture of a comparison of searchers has two panels for each table, whatever their number."""

import numpy as np
import pytest

from nasctl.bench import convergence_plot
from nasctl.bench.compare import BASELINE
from nasctl.bench.replay import Indicators


class Compared:
    """A comparison of one searcher on some tables."""

    def __init__(self, tables):
        self.scenes = {f"table {k}": None for k in range(tables)}
        self.runs = {BASELINE: []}
        self.best = dict.fromkeys(self.scenes, Indicators(1.0, 0.0, 0.0, 0.0, 0.0))

    def curves(self, searcher, scene):
        return np.arange(3), {"hv": np.ones((2, 3)), "igd_plus": np.zeros((2, 3))}


@pytest.mark.parametrize("tables", [1, 2, 3, 4, 5, 6])
def test_each_table_has_its_panels_and_no_other_is_visible(tables, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("nasctl.drawing.canvas.save", lambda figure, *rest: figures.append(figure))
    convergence_plot.draw(tmp_path / "c.png", Compared(tables), "tables")
    visible = [area for area in figures[0].axes if area.get_visible()]
    assert len(visible) == 2 * tables
    assert all(area.lines for area in visible)
