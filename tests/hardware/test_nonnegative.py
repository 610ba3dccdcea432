"""Non-negative least squares: known solutions, and one place in the code that computes them."""

import ast

import numpy as np
import pytest
from paths import ROOT
from scipy.optimize import nnls

from nasctl.hardware.fitting.nonnegative import fit_nonnegative, minimize_nonnegative


def test_coefficients_by_hand():
    # (a - 1)^2 + (b / 2 - 1)^2 + ((a + b) / 6 - 1)^2 is least where 37a + b = 42 and a + 10b = 24.
    amounts = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = fit_nonnegative(amounts, np.array([1.0, 2.0, 6.0]))
    assert found == pytest.approx([44 / 41, 94 / 41], rel=1e-5)


def test_a_coefficient_that_would_be_negative_is_zero():
    # Through (1, 2) and (2, 2) goes 2 + 0x; through (1, 3) and (2, 1) would go 5 - 2x.
    line = np.array([[1.0, 1.0], [1.0, 2.0]])
    assert fit_nonnegative(line, np.array([2.0, 2.0])) == pytest.approx([2.0, 0.0], abs=1e-9)
    # With the slope at 0, the level c has the relative errors c / 3 - 1 and c - 1, least at 1.2.
    assert fit_nonnegative(line, np.array([3.0, 1.0])) == pytest.approx([1.2, 0.0], abs=1e-9)


def test_columns_of_any_size_are_met_and_digits_are_six():
    rng = np.random.default_rng(0)
    truth = np.array([2e-9, 0.5, 123456789.0])
    amounts = rng.uniform(1, 2, (40, 3)) * [1e9, 1.0, 1e-9]
    assert fit_nonnegative(amounts, amounts @ truth) == pytest.approx(truth, rel=1e-5)
    assert fit_nonnegative(np.array([[3.0], [3.0]]), np.array([1.0, 1.0])).tolist() == [0.333333]
    assert fit_nonnegative(np.array([[1.0, 0.0]]), np.array([4.0])).tolist() == [4.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_quadratic_form_is_the_least_squares(seed):
    rng = np.random.default_rng(seed)
    design, target = rng.normal(size=(40, 8)), rng.normal(size=40)  # half of the signs are negative
    expected, _ = nnls(design, target)
    assert minimize_nonnegative(design.T @ design, design.T @ target) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_there_is_one_place_that_solves_them():
    paths = [path for folder in ("nasctl", "objectives", "hardware") for path in (ROOT / folder).rglob("*.py")]
    trees = {path: ast.walk(ast.parse(path.read_text())) for path in paths}
    callers = {path.name for path in paths for node in trees[path] if isinstance(node, ast.Name) and node.id == "nnls"}
    assert callers == {"nonnegative.py"}
