"""Learning curves: the loss of training and validation, and the validation accuracy with its standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nasctl.drawing.canvas import WIDTH, canvas
from nasctl.drawing.palette import CAPTION, SERIES
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    import matplotlib.axes

HEIGHT = 2.9  # inches
POINTS = 120  # points of the training loss of one training, each a mean over equally many logged steps
LEGEND_COLUMNS = 3


@dataclass(frozen=True)
class Curve:
    """The curves of one training.

    Attributes:
        name: Name in the legend.
        train: Epochs and training losses, (2, S).
        validation: Epochs, losses, accuracies (or perplexities) and their standard errors, (4, E).
        accuracy: Whether the third row of `validation` is the accuracy; otherwise it is the perplexity.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray
    accuracy: bool


def curve(name: str, entries: Sequence[Mapping[str, Any]]) -> Curve:
    """Return the curves of a training from the entries of its log.

    Raises:
        NasctlError: The log has no step yet.
    """
    steps = [(one["epoch"], one["loss"]) for one in entries if one.get("event") == "step"]
    if not steps:
        raise NasctlError(f"training {name} has logged no step yet, so there is no curve to draw; let it run")
    found = [one for one in entries if one.get("event") == "evaluated" and one.get("part") == "validation"]
    accuracy = all(one.get("accuracy") is not None for one in found)
    rows = [_validation_row(one, accuracy) for one in found]
    return Curve(name, _means(np.array(steps, float).T), np.array(rows, float).reshape(-1, 4).T, accuracy)


def _validation_row(entry: Mapping[str, Any], accuracy: bool) -> tuple[float, float, float, float]:
    """Return epoch, loss, accuracy or perplexity, and its standard error, of an evaluation."""
    epoch, loss, error = (float(entry[key]) for key in ("epoch", "loss", "error"))
    if accuracy:
        return epoch, loss, 100 * float(entry["accuracy"]), 100 * error
    perplexity = float(np.exp(loss))
    return epoch, loss, perplexity, perplexity * error  # the error of exp(x) is exp(x) times the error of x


def _means(steps: np.ndarray) -> np.ndarray:
    """Return means over equally long pieces, (2, at most POINTS), of epochs and losses, (2, S)."""
    pieces = np.array_split(steps, min(POINTS, steps.shape[1]), axis=1)
    return np.stack([piece.mean(axis=1) for piece in pieces], axis=1)


def draw_curves(path: Path, curves: Sequence[Curve]) -> None:
    """Draw the curves of trainings into a .png, .svg or .pdf, which is replaced if it exists.

    Raises:
        NasctlError: The trainings learn different things, or the file cannot be written.
    """
    if len({one.accuracy for one in curves}) > 1:
        raise NasctlError("some of these trainings learn classes and others words; draw them in two pictures")
    accuracy = curves[0].accuracy
    rows = -(-len(curves) // LEGEND_COLUMNS)
    with canvas(path, WIDTH, HEIGHT + 0.2 * rows) as figure:
        left, right = figure.subplots(1, 2)
        for one, colour in zip(curves, (SERIES * len(curves))[: len(curves)], strict=True):
            _draw_one(left, right, one, colour)
        left.set_ylabel("loss")
        left.set_title("line: training, with augmentation and smoothing; dots: validation", fontsize=6, loc="right")
        left.set_ylim(bottom=0)
        right.set_ylabel("validation accuracy (%)" if accuracy else "validation perplexity")
        if not accuracy:
            right.set_yscale("log")
        right.set_title("band: \N{PLUS-MINUS SIGN} one standard error", fontsize=6, loc="right")
        for area in (left, right):
            area.set_xlabel("epoch")
            area.set_xlim(left=0)
        if not any(one.validation.size for one in curves):
            right.set(yscale="linear", yticks=[], xticks=[])
            right.text(0.5, 0.5, "no epoch has ended yet", transform=right.transAxes, ha="center", color=CAPTION)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=LEGEND_COLUMNS, frameon=False)


def _draw_one(left: matplotlib.axes.Axes, right: matplotlib.axes.Axes, one: Curve, colour: str) -> None:
    """Draw the curves of one training into both panels."""
    marker = "." if one.train.shape[1] == 1 else None  # a line through one point is invisible
    left.plot(*one.train, color=colour, linewidth=0.9, marker=marker, label=one.name)
    epochs, losses, values, errors = one.validation
    left.plot(epochs, losses, color=colour, linestyle="none", marker="o", markersize=2.4)
    right.fill_between(epochs, values - errors, values + errors, color=colour, alpha=0.2, linewidth=0)
    right.plot(epochs, values, color=colour, linewidth=1.1, marker="o", markersize=2.4)
