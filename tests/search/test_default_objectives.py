"""Default objectives by family and task, and what is said of families and tasks that were not measured."""

from dataclasses import replace

import pytest

from nasctl import registry
from nasctl.correlations import defaults
from nasctl.correlations.defaults import SpaceKind, default_choice, default_score
from nasctl.correlations.table import MeasuredCorrelation, mean_correlation, shipped
from nasctl.search.default_objectives import default_objectives, objective_doubts
from nasctl.search.metrics import make_objective


def found(name, task="", with_device=False):
    return default_objectives(name, registry.create("spaces", name), task, with_device)


def test_defaults_follow_the_task():
    classes, dense = (found("tnb101_micro", task) for task in ("classification", "dense"))
    assert classes.objectives != dense.objectives
    assert dense.evidence.startswith("defaults for cells, dense: ")
    assert dense.evidence.endswith("(mean Spearman with results of 80 networks of this space)")


def test_a_family_that_was_not_measured_gets_depth_and_the_metrics_of_other_images_and_a_size_as_score():
    vit = found("vit", with_device=True)
    assert vit.objectives[0] == "max:depth"
    assert "vision transformers were not measured" in vit.evidence
    asked = SpaceKind("vit", "vision transformer", "images", "classification")
    assert set(default_score(asked, default_choice(asked))) <= {"params", "macs", "depth"}


def test_a_task_that_was_not_measured_on_a_family_is_said():
    assert "language was not measured on mobile networks" in found("mbconv", "language").evidence


def test_another_space_of_a_family_is_told_from_the_measured_one():
    assert "of mbconv, not of this space" in found("proxyless").evidence
    assert found("mbconv").evidence.endswith("of 100 networks of this space)")
    assert found("proxyless").objectives == found("mbconv").objectives


def test_an_unmeasured_kind_of_input_has_the_defaults_of_before():
    asked = SpaceKind("mine", "graph", "tokens", "classification")
    assert default_choice(asked) is None
    assert default_choice(replace(asked, kind="images")).family == ""


@pytest.mark.parametrize(
    ("space", "spec", "expected"),
    [
        ("mbconv", "ntk_cond", "contradict the direction of ntk_cond (Spearman -.47 on mbconv); max:ntk_cond has"),
        ("mbconv", "max:ntk_cond", ""),
        ("mbconv", "jacov", "jacov was not seen to order mobile networks (Spearman -.09 on mbconv)"),
        ("mbconv", "macs", ""),
        ("mbconv", "max:params", ""),
        ("mbconv", "l2_norm", ""),
        ("mbconv", "min:l2_norm", "contradict the direction of min:l2_norm (Spearman -.92 on mbconv); l2_norm has"),
        ("vit", "jacov", ""),
        (
            "darts",
            "plain",
            "on darts contradict the direction of plain (Spearman -.55 on darts); min:plain has",
        ),
        ("tnb101_micro", "grasp", "contradict the direction of grasp (Spearman -.27 on tnb101_micro); min:grasp has"),
        ("tnb101_micro", "progressivity", "the direction of progressivity (Spearman -.41 on tnb101_micro); min:pro"),
        ("darts", "min:trainability", "min:trainability was not seen to order darts (Spearman .10 on darts)"),
        ("darts", "jacov", "jacov was not seen to order darts (Spearman -.04 on darts)"),
        ("darts", "fisher", ""),
        ("darts", "min:plain", ""),
        ("nb201", "fisher", ""),
        ("nb101", "fisher", ""),
        ("nb101", "min:snip", "direction of min:snip (Spearman -.59 on nb201, -.41 on tnb101_micro, -.32 on darts)"),
    ],
)
def test_what_measurements_hold_against_an_objective(space, spec, expected):
    said = objective_doubts(space, registry.create("spaces", space), "", dict([make_objective(spec)]))
    assert len(said) == bool(expected)
    assert expected in "".join(said)


def test_a_space_on_which_a_metric_failed_is_judged_by_its_family(monkeypatch):
    table = shipped()
    failed = MeasuredCorrelation("max", None, None, None, None, failed=40)
    scenes = [
        replace(one, metrics={**one.metrics, "trainability": failed}) if one.name == "darts" else one
        for one in table.scenes
    ]
    monkeypatch.setattr(defaults, "shipped", lambda: replace(table, scenes=tuple(scenes)))
    asked = registry.create("spaces", "darts")
    (said,) = objective_doubts("darts", asked, "", dict([make_objective("min:trainability")]))
    assert said.startswith("trainability orders cells (Spearman .61 on nb201, .67 on tnb101_micro)")


def test_the_mean_is_over_results_and_then_over_spaces():
    scenes = shipped().of("cell", "classification")
    expected = {}
    for name in ("naswot", "macs"):
        by_space = {}
        for scene in scenes:
            by_space.setdefault(scene.name, []).append(scene.metrics[name].spearman)
        means = [sum(values) / len(values) for values in by_space.values()]
        expected[name] = sum(means) / 3
    assert not any(scene.metrics["macs"].failed for scene in scenes)
    figures = {spec: mean_correlation(scenes, spec) for spec in ("naswot", "macs", "min:macs")}
    assert figures == pytest.approx({**expected, "min:macs": -expected["macs"]})
    assert mean_correlation(scenes, "head_confidence") is None


@pytest.mark.parametrize(
    ("space", "family", "metrics", "said"),
    [
        # A size among the metrics, or a direction that was not measured, is no evidence for a score.
        ("nb201", "cell", "max:params,min:snip", "max:params, min:snip: none orders nb201 better than macs"),
        ("nb201", "cell", "min:snip", "min:snip: none orders nb201 better than macs"),
        ("darts", "cell", "max:params,min:snip", "max:params, min:snip: none orders darts better than params"),
        ("mbconv", "mobile", "max:depth", "max:depth: none orders mobile networks better than macs"),
        # The space itself decides, and where it was not measured its family.
        ("darts", "cell", "swap", ""),
        ("nb101", "cell", "swap", "swap: none orders cells better than params"),
        (
            "darts",
            "cell",
            "swap,trainability",
            "trainability: not seen to order darts in this direction, and may lower",
        ),
        # Compared on nb201 and darts, where it was measured: .74, against .72 of macs and .72 of params.
        ("tnb101_micro", "cell", "gradsign", ""),
        # Sizes count in their better direction.
        ("flexibert", "text encoder", "snip", "snip: none orders flexibert better than min:macs"),
        # The log rank of these two was measured, and beats the sizes.
        ("nb201", "cell", "expressivity,zen", ""),
        ("nb201", "cell", "naswot,max:params", "naswot, max:params: none orders nb201 better than macs"),
        ("nb201", "cell", "min:snip,mine", "min:snip: not seen to order nb201 in this direction, and may lower"),
        ("nb201", "cell", "mine", ""),
    ],
)
def test_what_measurements_hold_against_a_score(space, family, metrics, said):
    kind = "tokens" if family == "text encoder" else "images"
    doubt = defaults.score_doubt(SpaceKind(space, family, kind, "classification"), metrics.split(","))
    assert doubt.startswith(said)
    assert bool(doubt) == bool(said)
