"""No text of a picture of a run is clipped or lies on another, whatever the run looks like."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from nasctl.drawing import canvas, pareto
from nasctl.drawing.labels import name_offsets, text_width
from nasctl.drawing.pareto_layout import Axis, Mark, TrainedPoints, View

LATENCY = Axis("latency@samsung-note10-fp32", "ms, batch 1", "min", cost=True, transform="log10")
PARAMS = Axis("params", "parameters", "min", cost=True)
MACS = Axis("macs", "MACs", "min", cost=True)
SNIP = Axis("snip", "nats", "max", cost=False, transform="log10")
JACOV = Axis("jacov", "log", "max", cost=False, transform="-log10(-s)")
NAMED = Axis("a_metric_of_a_plugin:with=options,that_are=long", "in a unit of its own", "max", cost=False)
AXES = (SNIP, LATENCY, PARAMS, JACOV, NAMED, MACS)
REFERENCES = (
    "mobilenetv3-large", "mobilenetv3-small", "mobilenetv2", "mnasnet-a1", "proxylessnas-mobile", "fbnet-c",
    "efficientnet-b0",
)  # fmt: skip


def values(axes, number, seed=0):
    """Values like those of a run, (N, M): better networks cost more."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0, 1, number)
    columns = {
        SNIP: 10 ** (2 * size + rng.normal(0, 0.1, number)),
        LATENCY: 0.002 * 10 ** (3 * size),
        PARAMS: 4e6 + 5e6 * size,
        JACOV: -(10 ** (4 - 3 * size)),
        NAMED: 1e-7 * size,
        MACS: 1.2e8 + 3e8 * size,
    }
    return np.column_stack([columns[axis] for axis in axes])


def pictured(axes, points, monkeypatch, view=pareto.PLAIN, title="mbconv: run mbconv-1c9f2a07", **options):
    """The figure of a run, as it is saved."""
    figures = []
    monkeypatch.setattr(pareto, "save", lambda figure, *rest: figures.append(figure))
    ids = [f"mbconv-{k:08d}" for k in range(len(points))]
    front = options.pop("front", np.ones(len(points), bool))
    pareto.draw(options.pop("path", canvas.Path("none.png")), axes, points, front, ids, title, view=view, **options)
    return figures[0]


def texts(figure):
    """The texts of a figure that are drawn, with their boxes in pixels: left, bottom, right, top."""
    figure.draw_without_rendering()  # puts annotations in their places
    ticks = {}
    for area in figure.axes:
        for axis, limits in ((area.xaxis, area.get_xlim()), (area.yaxis, area.get_ylim())):
            low, high = sorted(limits)
            for tick in axis.get_major_ticks():
                ticks[tick.label1] = low <= tick.get_loc() <= high
                ticks[tick.label2] = False
    found = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
    return [(one.get_text(), _ink(one, figure.dpi / 72)) for one in found if ticks.get(one, True)]


def _ink(text, point):
    """The box of a text; that of a number without the empty space of its line above and below the digits."""
    box = Text.get_window_extent(text)  # without the line from an annotation to its point
    bottom, top = box.y0, box.y1
    if text.get_text().isdigit():
        middle, half = (bottom + top) / 2, 0.365 * text.get_fontsize() * point
        bottom, top = middle - half, middle + half
    return box.x0, bottom, box.x1, top


def check(figure):
    """Compare the boxes of all texts with each other and with the edges of the picture."""
    shown = texts(figure)
    for text, (left, bottom, right, top) in shown:
        assert min(left, bottom) >= -1, text
        assert right <= figure.bbox.x1 + 1, text
        assert top <= figure.bbox.y1 + 1, text
    lying = [
        (one, other)
        for (one, a), (other, b) in combinations(shown, 2)
        if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1
    ]
    assert lying == []
    return [text for text, _ in shown]


@pytest.mark.parametrize(("count", "number"), [(1, 1), (1, 40), (2, 40), (3, 1), (4, 40), (6, 40)])
def test_no_text_is_clipped_with_any_number_of_objectives(count, number, monkeypatch):
    axes = AXES[:count]
    check(
        pictured(axes, values(axes, number), monkeypatch, subtitle="subject to latency<=20\nrecommended: " + "x" * 20)
    )


def test_ten_objectives_say_how_to_see_the_rest(monkeypatch):
    axes = tuple(Axis(f"metric_{k}", "", "max", cost=False) for k in range(5))
    axes += tuple(Axis(f"cost_{k}", "ms", "min", cost=True) for k in range(5))
    points = np.random.default_rng(0).uniform(1, 2, (30, 10))
    said = check(pictured(axes, points, monkeypatch))
    assert any("Not drawn: 19 more pairs of objectives; --x and --y choose one." in text for text in said)


def test_a_front_of_duplicates_is_one_point(monkeypatch):
    points = np.tile([[4.2e6, 3.1e8]], (78, 1))
    said = check(pictured((PARAMS, MACS), points, monkeypatch))
    assert "Pareto front (78 networks, 1 different)" in said


def test_a_front_of_five_thousand_points(monkeypatch, tmp_path):
    number = np.arange(5000.0)
    points = np.column_stack([4e6 + 100 * number, 1 + number])
    figure = pictured((PARAMS, SNIP), points, monkeypatch)
    assert "Pareto front (5000)" in check(figure)
    monkeypatch.undo()
    path = tmp_path / "front.svg"
    canvas.save(figure, path, "svg")
    assert path.stat().st_size < 1e6  # thousands of markers are one image, not thousands of paths


def test_ticks_tell_near_values_apart(monkeypatch):
    points = np.column_stack([4.2e6 + np.arange(5) / 10, 100 + np.arange(5) / 1e9])
    said = check(pictured((PARAMS, SNIP), points, monkeypatch))
    ticks = [text for text in said if text.startswith(("4.2", "100"))]
    assert len(ticks) == len(set(ticks))


@pytest.mark.parametrize(("axes", "panels"), [((SNIP, LATENCY, PARAMS), 2), (AXES, 6)])
def test_marks_are_named_and_names_do_not_overlap(axes, panels, monkeypatch):
    points = values(axes, 60)
    marks = [
        Mark("recommended", "recommended", 0),
        *(Mark(name, "reference", k) for k, name in enumerate(REFERENCES, 1)),
    ]
    marks.append(Mark("mbconv-00000042", "chosen", None, tuple(points.max(axis=0) * 1.5)))
    trained = TrainedPoints(
        Axis("test accuracy", "%", "max", cost=False), np.where(np.arange(60) < 6, 70.0, np.nan), np.ones(60)
    )
    figure = pictured(axes, points, monkeypatch, View(marks), trained=trained if len(axes) < 6 else None)
    said = check(figure)
    for letter, mark in zip("abcdefghi", marks, strict=True):
        assert mark.name in said
        assert said.count(mark.name) + said.count(letter) >= panels, mark.name
    assert {"reference networks", "marked"} <= set(said)
    assert any(
        "mbconv-0000 (recommended)".replace("0000", "00000000") in text.replace("\N{NO-BREAK SPACE}", " ")
        for text in said
    )


def test_a_marked_network_that_costs_more_than_all_is_inside_its_panel(monkeypatch):
    points = values((SNIP, LATENCY), 20)
    far = Mark("far", "chosen", None, (5000.0, 90.0))
    (area,) = pictured((SNIP, LATENCY), points, monkeypatch, View([far])).axes
    assert area.get_xlim()[1] > 90
    assert area.get_ylim()[1] > 5000


@pytest.mark.parametrize("pair", [(1, 0), (2, 1)])
def test_chosen_axes_have_one_panel(pair, monkeypatch):
    axes = (SNIP, LATENCY, PARAMS)
    points = values(axes, 20)
    figure = pictured(axes, points, monkeypatch, View(pairs=[pair], optimised=2))
    (area,) = figure.axes
    titles = [canvas.axis_title(axes[k]) for k in pair]
    assert [area.get_xlabel(), area.get_ylabel()] == titles
    several = any("non-dominated in all 2 objectives" in text for text in check(figure))
    assert several == (set(pair) != {0, 1})


def test_the_settings_are_in_the_metadata(tmp_path):
    facts = {"metrics": "data=dead_leaves", "command": "nasctl search --space mbconv"}
    points = values((SNIP, PARAMS), 5)
    for suffix in ("png", "svg", "pdf"):
        path = tmp_path / f"front.{suffix}"
        pareto.draw(path, (SNIP, PARAMS), points, np.ones(5, bool), list("abcde"), "run", view=View(facts=facts))
    with Image.open(tmp_path / "front.png") as image:
        assert image.info["Title"] == "run"
        assert image.info["Description"] == "metrics: data=dead_leaves\ncommand: nasctl search --space mbconv"
    assert "command: nasctl search --space mbconv" in (tmp_path / "front.svg").read_text()
    assert b"command: nasctl search" in (tmp_path / "front.pdf").read_bytes()


def test_a_name_without_a_free_place_gives_way_to_its_letter():
    full = np.array([[0.0, 0.0, 100.0, 42.0], [0.0, 58.0, 100.0, 100.0], [60.0, 0.0, 100.0, 100.0]])
    crowd = np.empty((0, 2))
    place = np.array([[50.0, 50.0]])
    long, short = "a name that is much too wide", "a"
    assert text_width(long) > 60 > text_width(short)
    (found,), boxes = name_offsets(place, [(long, short)], (-1, 1), (100, 100), full, crowd, text_width)
    assert found is not None
    assert found[0] == short
    assert boxes.shape == (1, 4)
    (none,), boxes = name_offsets(place, [(long,)], (-1, 1), (100, 100), full, crowd, text_width)
    assert none is None
    assert boxes.shape == (0, 4)
