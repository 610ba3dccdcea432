"""The picture shows what is best, and an id can be read off it."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nasctl import registry
from nasctl.api import NasctlError
from nasctl.architectures import ids
from nasctl.drawing import canvas, pareto
from nasctl.drawing.labels import MARKER, NUMBER, label_offsets
from nasctl.drawing.pareto_layout import (
    Axis,
    Mark,
    View,
    choose_labelled,
    key_table,
    lay_out_run,
    non_dominated,
    number_format,
    pairs,
    shortest_prefixes,
)
from nasctl.testing import drawn

LATENCY = Axis("latency@gpu", "ms, batch 64", "min", cost=True)
PARAMS = Axis("params", "parameters", "min", cost=True)
SYNFLOW = Axis("synflow", "log10", "max", cost=False)
JACOV = Axis("jacov", "log", "max", cost=False, transform="-log10(-s)")
SNIP = Axis("snip", "nats", "max", cost=False, transform="log10")
AXES = (SYNFLOW, JACOV, SNIP, LATENCY)

LOSSES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40).map(
    lambda rows: np.array(rows, dtype=float)
)


def _run(number=60, axes=AXES):
    """Points like those of a run, (N, M): metrics over decades, some negative; and ids of a real space."""
    rng = np.random.default_rng(0)
    size = rng.uniform(0, 1, number)
    columns = {
        "latency@gpu": 10 + 20 * size,
        "params": 4e6 + 5e6 * size,
        "synflow": 50 + 20 * size + rng.normal(0, 5, number),
        "jacov": -(10 ** rng.uniform(1, 4, number)),
        "snip": 10 ** (3 * size + rng.normal(0, 0.5, number)),
    }
    space = registry.create("spaces", "mbconv")
    words = [ids.encode("mbconv", space.genes, space.canonical(genome)) for genome in drawn(space, number)]
    return np.column_stack([columns[axis.name] for axis in axes]), words


def _undominated(points, axes):
    """By definition, a pair at a time: whether no other point is nowhere worse and somewhere better."""

    def beats(one, other):
        gains = [a - b if axis.direction == "max" else b - a for a, b, axis in zip(one, other, axes, strict=True)]
        return min(gains) >= 0 and max(gains) > 0

    return np.array([not any(beats(other, one) for other in points) for one in points])


def _draw(path, axes=AXES, number=60, **options):
    points, words = _run(number, axes)
    pareto.draw(path, axes, points, _undominated(points, axes), words, "run mbconv-1c9f2a07 on gpu", **options)
    return path


def _texts(path):
    """All text of an SVG."""
    texts = ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")
    shown = ["".join(text.itertext()) for text in texts]
    assert not any("  " in text for text in shown), "viewers show two spaces as one"
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in shown]


@pytest.mark.parametrize(
    "axes",
    [(LATENCY,), (SNIP,), (LATENCY, SYNFLOW), (SYNFLOW, JACOV, SNIP), AXES, (*AXES, PARAMS)],
    ids=lambda axes: "+".join(axis.name for axis in axes),
)
@pytest.mark.parametrize("number", [1, 60])
def test_any_run_can_be_drawn(axes, number, tmp_path):
    before = dict(matplotlib.rcParams)
    with Image.open(_draw(tmp_path / "front.png", axes, number)) as image:
        assert image.width == pytest.approx(canvas.WIDTH * 300, rel=0.05)  # nothing sticks out
        greys = np.asarray(image.convert("L"))
    assert (greys < 100).any(axis=0).mean() > 0.5, "the picture is empty"
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PDF", b"%PDF")]
)
def test_the_same_run_is_the_same_file_whatever_a_person_has_set(suffix, begins, tmp_path):
    one = _draw(tmp_path / f"one.{suffix}").read_bytes()
    with matplotlib.rc_context({"axes.labelsize": 20, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        assert _draw(tmp_path / f"other.{suffix}").read_bytes() == one
    assert one.startswith(begins)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"one.{suffix}", f"other.{suffix}"]


def test_the_key_leads_to_every_number_and_id(tmp_path):
    points, words = _run()
    texts = _texts(_draw(tmp_path / "front.svg", subtitle="300 evaluations, $seed_0$"))
    rows = [match for text in texts if (match := re.fullmatch(r" *(\d+)  (mbconv-\w+) +(.*)", text))]
    assert [int(row[1]) for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        (meant,) = [k for k, word in enumerate(words) if word.startswith(row[2])]
        np.testing.assert_allclose([float(cell) for cell in row[3].split()], points[meant], rtol=1e-3)
    assert {"run mbconv-1c9f2a07 on gpu", "300 evaluations, $seed_0$"} < set(texts)
    assert {
        "latency@gpu",  # beside one of three panels in a row, a long title has two lines
        "(ms, batch 64)\N{EM SPACE}\N{LEFTWARDS ARROW} better",
        "snip (nats)\N{EM SPACE}better \N{RIGHTWARDS ARROW}",
    } < set(texts)
    assert {"evaluated (60)", f"non-dominated in all 4 objectives ({_undominated(points, AXES).sum()})"} < set(texts)


def test_what_is_left_out_is_said(tmp_path):
    axes = (LATENCY, PARAMS, Axis("macs", "MACs", "min", cost=True), SYNFLOW, JACOV, SNIP)
    points, words = _run(axes=(LATENCY, PARAMS, PARAMS, SYNFLOW, JACOV, SNIP))
    pareto.draw(tmp_path / "front.svg", axes, points, np.ones(60, bool), words, "run")
    assert "Not drawn: synflow against macs; jacov against macs; snip against macs." in _texts(tmp_path / "front.svg")


def test_broken_constraints_are_told_apart(tmp_path):
    points, words = _run()
    held = np.arange(60) % 3 > 0
    pareto.draw(tmp_path / "front.svg", AXES, points, np.zeros(60, bool), words, "run", feasible=held)
    assert {"evaluated (40)", "constraint broken (20)"} < set(_texts(tmp_path / "front.svg"))
    with pytest.raises(NasctlError, match=r"so there is no front to draw; loosen them$"):
        pareto.draw(tmp_path / "none.svg", AXES, points, held, words, "run", feasible=np.zeros(60, bool))


def test_pairs_that_matter():
    assert pairs(AXES) == [(3, 0), (3, 1), (3, 2)]  # the cost against each metric
    assert pairs((PARAMS, SYNFLOW, LATENCY)) == [(0, 1), (2, 1)]
    assert pairs((PARAMS, LATENCY)) == [(0, 1)]
    assert pairs((SYNFLOW, JACOV, SNIP)) == [(0, 1), (0, 2), (1, 2)]


def test_a_panel_has_the_front_of_its_two_objectives():
    points, words = _run(200)
    held = points[:, AXES.index(LATENCY)] > 12  # which leaves the fastest out
    shown = lay_out_run(AXES, points, np.ones(200, bool), held, words)
    for panel in shown.panels:
        two = [panel.x, panel.y]
        own = _undominated(points[held][:, two], [AXES[k] for k in two])
        assert set(panel.front) == set(np.flatnonzero(held)[own])
        assert set(panel.labelled) <= set(panel.front)
        assert 0 < len(panel.labelled) <= 8
        ends = points[panel.front, panel.x]
        assert {ends.min(), ends.max()} <= set(points[list(panel.labelled), panel.x])


def test_a_single_objective_is_drawn_as_it_improved():
    shown = lay_out_run(
        (SYNFLOW,), np.array([[3.0], [1.0], [5.0], [5.0], [2.0]]), np.zeros(5, bool), np.ones(5, bool), list("abcde")
    )
    (panel,) = shown.panels
    assert panel.front.tolist() == [0, 2]
    assert [line.split() for line in key_table(shown)[1:]] == [["1", "a", "1", "3"], ["2", "c", "3", "5"]]


@given(LOSSES)
def test_best_is_what_nothing_dominates(losses):
    found = non_dominated(losses)
    assert sorted(found) == np.flatnonzero(_undominated(losses, (LATENCY, PARAMS))).tolist()
    assert (np.diff(losses[found, 0]) >= 0).all()
    assert (np.diff(losses[found, 1]) <= 0).all()


@given(LOSSES, st.integers(3, 12))
def test_labels_are_few_and_at_the_ends(losses, most):
    front = losses[non_dominated(losses)]
    chosen = front[choose_labelled(front, most)]
    distinct = np.unique(front, axis=0)
    assert len(chosen) == len(np.unique(chosen, axis=0)) == min(most, len(distinct))
    assert {tuple(distinct[0]), tuple(distinct[-1])} <= {tuple(row) for row in chosen}


def test_a_flat_end_is_labelled_before_what_is_farther_from_the_knee():
    assert choose_labelled(np.array([[0, 100], [45, 60], [90, 5], [100, 0]]), 3) == [0, 2, 3]


@given(st.sets(st.text("ab-", min_size=1, max_size=8), min_size=1, max_size=20), st.data())
def test_a_shown_beginning_means_one_id(words, data):
    words = sorted(words)
    own = data.draw(st.lists(st.sampled_from(words), min_size=1))
    for word, shown in zip(own, shortest_prefixes(own, words), strict=True):
        assert word.startswith(shown)
        others = [other for other in words if other.startswith(shown) and other != word]
        assert not others or shown == word  # a whole id may begin another of another length
        assert len(shown) >= min(len(word), word.rfind("-") + 1 + 4)


def test_beginnings_are_as_short_as_can_be():
    assert shortest_prefixes(["nb-00ab1", "nb-00ab2", "nb-7xyz9"]) == ["nb-00ab1", "nb-00ab2", "nb-7xyz"]
    assert shortest_prefixes(["nb-7xyz9"], others=["nb-7xyz8"]) == ["nb-7xyz9"]


@given(LOSSES, st.sampled_from([(-1, -1), (-1, 1), (1, -1), (1, 1)]))
def test_numbers_lie_on_nothing(losses, towards):
    front = losses[non_dominated(losses)]
    places = 8 + 10 * np.where(np.array(towards) < 0, front, 9 - front)  # points in a panel of 106 by 106
    found = label_offsets(places, {k: str(k) for k in range(len(places))}, towards, (106, 106))
    half = {k: np.array([0.6 * len(str(k)), 0.7]) * NUMBER / 2 for k in found}  # digits of DejaVu Sans: 0.636 by 0.729
    middles = {k: places[k] + offset for k, offset in found.items()}
    for k, middle in middles.items():
        assert (middle >= half[k]).all()
        assert (middle <= 106 - half[k]).all()
        assert (np.abs(places - middle) >= half[k] + MARKER / 2).any(axis=1).all()
        others = [other for other in middles if other != k]
        assert all((np.abs(middles[other] - middle) >= half[k] + half[other]).any() for other in others)
    assert len(found) >= min(1, len(front))


def test_the_key_tells_near_values_apart():
    points = np.array([[4.2e6, -16.0254], [5e6, -16.0232]])
    shown = lay_out_run((PARAMS, JACOV), points, np.ones(2, bool), np.ones(2, bool), ["a", "b"])
    assert [line.split()[2:] for line in key_table(shown)[1:]] == [
        ["4.200", "M", "-16.02540"],
        ["5.000", "M", "-16.02320"],
    ]


@pytest.mark.parametrize(
    ("largest", "value", "text"),
    [(6e8, 389.5e6, "389.5 M"), (2e4, 12.0, "12"), (9999, 5000, "5000"), (-5e4, -5e4, "-50 k"), (1e30, 2e30, "2e+30")],
)
def test_values_are_readable(largest, value, text):
    assert number_format(np.array([largest]), ".6g")(value) == text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("front.jpg", "'front.png'"),
        ("front.pfd", "'front.pdf'"),
        ("front", "'front.png'"),
        ("a.b/front.svgz", "'front.svg'"),
    ],
)
def test_another_format_is_refused_with_the_nearest(name, said, tmp_path):
    with pytest.raises(NasctlError, match=f"^a picture is .png, .svg or .pdf; name the file {said}$"):
        _draw(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_or_half_written(tmp_path, monkeypatch):
    path = tmp_path / "front.png"
    path.write_text("mine")
    with pytest.raises(NasctlError, match=r"exists; give another name, or replace it with --force$"):
        _draw(path)
    with pytest.raises(NasctlError, match="so there is nothing to draw yet"):
        _draw(path, number=0, overwrite=True)
    with pytest.raises(NasctlError, match=r"svg cannot be written \(No such file or directory\); give a path"):
        _draw(tmp_path / "absent" / "front.svg")

    write_bytes = Path.write_bytes

    def full(file, content):
        write_bytes(file, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(NasctlError, match="No space left on device"):
            _draw(path, overwrite=True)
    assert ([one.name for one in tmp_path.iterdir()], path.read_text()) == (["front.png"], "mine")
    assert _draw(path, overwrite=True).read_bytes().startswith(b"\x89PNG")


def test_importing_it_does_not_import_matplotlib():
    check = "import sys, nasctl.drawing.pareto; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_no_number_stands_for_a_network_equal_to_a_marked_one_and_one_number_for_equal_ones():
    axes = [Axis(name, "", "min", cost) for name, cost in (("a", True), ("b", False), ("c", False))]
    points = np.array([[1.0, 3, 3], [2, 1, 1], [1, 3, 3], [2, 1, 1], [3, 0, 0]])
    view = View([Mark("recommended", "recommended", 2)])
    shown = lay_out_run(axes, points, np.ones(5, bool), np.ones(5, bool), list("vwxyz"), None, view)
    assert len(shown.panels) == 2
    assert shown.labelled == [1, 4]
