"""Correlations in both directions where networks failed."""

from dataclasses import replace

import pytest

from nasctl.correlations import defaults
from nasctl.correlations.table import DirectedCorrelation, MeasuredCorrelation, MeasuredScene, mean_correlation
from nasctl.search.metrics import make_objective

COMPLETE = MeasuredCorrelation("max", -0.5, -0.7, -0.2, -0.3, failed=0)
FAILED = replace(COMPLETE, failed=25)
BOTH = replace(FAILED, opposite=DirectedCorrelation(-0.1, -0.3, 0.1))
ASKED = defaults.SpaceKind("x", "cell", "images", "dense")


def scene(found):
    about = ("x", "cell", "dense", "CIFAR-10", "a table", "MIT", "random", "size=8")
    return MeasuredScene(*about, networks=80, metrics={"snip": found})


@pytest.mark.parametrize(("found", "expected"), [(COMPLETE, 0.5), (FAILED, None), (BOTH, -0.1)])
def test_the_other_direction_is_the_negative_only_without_failures(found, expected):
    assert mean_correlation([scene(found)], "snip") == mean_correlation([scene(found)], "max:snip") == -0.5
    assert mean_correlation([scene(found)], "min:snip") == expected


def test_there_is_no_mean_if_a_scene_was_measured_in_the_other_direction_alone():
    assert mean_correlation([scene(COMPLETE), scene(FAILED)], "min:snip") is None
    assert mean_correlation([scene(COMPLETE), scene(BOTH)], "min:snip") == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("found", "spec", "said"),
    [
        (COMPLETE, "snip", "contradict the direction of snip (Spearman -.50 on x); min:snip has the other"),
        (FAILED, "snip", "snip was not seen to order cells (Spearman -.50 on x)"),
        (BOTH, "snip", "snip was not seen to order cells (Spearman -.50 on x)"),
        (BOTH, "min:snip", "min:snip was not seen to order cells (Spearman -.10 on x)"),
        (COMPLETE, "min:snip", ""),
        (FAILED, "min:snip", ""),
        (
            replace(FAILED, spearman=0.5, low=0.2, high=0.7),
            "min:snip",
            "snip orders cells (Spearman .50 on x); min:snip was not measured",
        ),
        (replace(FAILED, spearman=0.1, low=-0.2, high=0.7), "min:snip", ""),
    ],
)
def test_the_other_direction_is_advised_only_where_it_was_measured(monkeypatch, found, spec, said):
    table = replace(defaults.shipped(), scenes=[scene(found)])
    monkeypatch.setattr(defaults, "shipped", lambda: table)
    assert defaults.doubts(ASKED, *make_objective(spec)).endswith(said)
    assert bool(defaults.doubts(ASKED, *make_objective(spec))) == bool(said)
