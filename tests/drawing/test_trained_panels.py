"""Trained candidates in the picture of a run: rings, and panels of their results against each cost."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from nasctl.drawing import pareto
from nasctl.drawing.labels import label_offsets
from nasctl.drawing.pareto_layout import Axis, TrainedPoints, key_table, lay_out_run

LATENCY = Axis("latency@gpu", "ms", "min", cost=True)
MACS = Axis("macs", "MACs", "min", cost=True)
NASWOT = Axis("naswot", "log", "max", cost=False)
SNIP = Axis("snip", "nats", "max", cost=False)
ACCURACY = Axis("test accuracy", "%", "max", cost=False)

POINTS = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]])  # latency and naswot
ALL = np.ones(4, bool)


def results(*values):
    return TrainedPoints(ACCURACY, np.array(values), np.where(np.isfinite(values), 1.25, np.nan))


def laid(trained, feasible=ALL, axes=(LATENCY, NASWOT)):
    return lay_out_run(axes, POINTS[:, : len(axes)], ALL, feasible, list("abcd"), trained)


def test_a_panel_shows_the_front_of_the_trained_candidates_alone():
    shown = laid(results(60.0, np.nan, 70.0, 65.0))
    assert [(panel.x, panel.y) for panel in shown.panels] == [(0, 1), (0, 2)]
    assert (shown.objectives, shown.axes[2]) == (2, ACCURACY)
    assert shown.panels[1].front.tolist() == [0, 2]  # 3 is slower and worse than 2
    assert shown.panels[0].front.tolist() == [0, 1, 2, 3]


def test_a_trained_candidate_that_breaks_a_constraint_is_on_no_front():
    shown = laid(results(60.0, np.nan, 70.0, 65.0), np.array([True, True, False, True]))
    assert shown.panels[1].front.tolist() == [0, 3]


def test_the_key_has_results_with_their_errors():
    lines = [line.split() for line in key_table(laid(results(60.0, np.nan, 70.0, 65.0)))]
    assert lines[0][-2:] == ["test", "accuracy"]
    assert [line[4:] for line in lines[1:]] == [["60.0", "±", "1.2"], ["-"], ["70.0", "±", "1.2"], ["65.0", "±", "1.2"]]


def test_without_results_the_picture_has_no_more_panels():
    shown = laid(None)
    assert (len(shown.panels), len(shown.axes), shown.objectives) == (1, 2, 2)


def test_numbers_keep_off_error_bars():
    places, texts = np.array([[50.0, 50.0]]), {0: "1"}
    free = label_offsets(places, texts, (-1, 1), (100, 100))[0]
    half = np.array([10.0, 10.0])
    box = np.hstack([places[0] + free - half, places[0] + free + half])[None]
    moved = label_offsets(places, texts, (-1, 1), (100, 100), box)[0]
    assert moved != free
    centre = places[0] + moved
    assert not ((box[0, :2] < centre) & (centre < box[0, 2:])).all()


@pytest.mark.parametrize(
    ("axes", "number"), [((NASWOT,), 12), ((LATENCY, NASWOT), 1), ((LATENCY, MACS, NASWOT, SNIP), 12)]
)
def test_any_run_with_trained_candidates_can_be_drawn(axes, number, tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform(1, 10, (40, len(axes)))
    values = np.full(40, np.nan)
    values[:number] = rng.uniform(50, 90, number)
    trained = TrainedPoints(ACCURACY, values, np.full(40, np.nan) if number == 1 else np.ones(40))
    feasible = rng.uniform(size=40) < 0.9
    feasible[0] = True
    ids = [f"mbconv-{k:04d}" for k in range(40)]
    path = tmp_path / "front.png"
    pareto.draw(path, axes, points, feasible, ids, "run", "notes", feasible=feasible, trained=trained)
    with Image.open(path) as image:
        assert image.width == pytest.approx(7 * 300, rel=0.05)


def test_the_legend_names_them(tmp_path):
    path = tmp_path / "front.svg"
    pareto.draw(path, (LATENCY, NASWOT), POINTS, ALL, list("abcd"), "run", trained=results(60.0, np.nan, 70.0, 65.0))
    texts = ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")
    words = ["".join(text.itertext()) for text in texts]
    assert "trained (3)" in words
    assert any(re.match("test accuracy \\(%\\)", word) for word in words)
