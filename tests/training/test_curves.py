"""Learning curves: the numbers that are drawn, and a picture of them."""

import numpy as np
import pytest

from nasctl.errors import NasctlError
from nasctl.training.curves import POINTS, curve, draw_curves

STEPS = [{"event": "step", "step": k, "epoch": k / 100, "loss": 2.0 - k / 1000} for k in range(1, 1201)]
CLASSES = [
    {"event": "evaluated", "part": "validation", "epoch": k, "loss": 1.5, "accuracy": k / 20, "error": 0.02}
    for k in range(1, 11)
]
WORDS = [
    {"event": "evaluated", "part": "validation", "epoch": 1, "loss": 2.0, "accuracy": None, "error": 0.1},
    {"event": "evaluated", "part": "test", "epoch": 1, "loss": 3.0, "accuracy": None, "error": 0.1},
]


def test_the_curve_of_classes():
    found = curve("a", [*STEPS, *CLASSES])
    assert found.train.shape == (2, POINTS)
    assert found.train[1].mean() == pytest.approx(np.mean([one["loss"] for one in STEPS]), abs=1e-3)
    assert found.accuracy
    np.testing.assert_allclose(found.validation[:, 3], [4, 1.5, 20.0, 2.0])


def test_the_curve_of_words_has_the_perplexity_and_its_error():
    found = curve("a", [*STEPS[:3], *WORDS])
    assert found.train.shape == (2, 3)
    np.testing.assert_allclose(found.validation[:, 0], [1, 2.0, np.exp(2.0), 0.1 * np.exp(2.0)])


def test_several_trainings_are_one_picture(tmp_path):
    curves = [curve(name, [*STEPS, *CLASSES]) for name in ("a", "b")]
    for name in ("c.png", "c.svg"):
        draw_curves(tmp_path / name, curves)
    assert "validation accuracy" in (tmp_path / "c.svg").read_text()
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_training_that_has_just_begun_is_drawn(tmp_path):
    draw_curves(tmp_path / "c.svg", [curve("a", STEPS[:1])])
    assert "no epoch has ended yet" in (tmp_path / "c.svg").read_text()


def test_what_cannot_be_drawn_is_one_sentence(tmp_path):
    with pytest.raises(NasctlError, match="has logged no step yet"):
        curve("a", CLASSES)
    with pytest.raises(NasctlError, match="draw them in two pictures"):
        draw_curves(tmp_path / "c.png", [curve("a", [*STEPS, *CLASSES]), curve("b", [*STEPS, *WORDS])])
