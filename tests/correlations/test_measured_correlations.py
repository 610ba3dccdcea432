"""The shipped table of correlations: what it claims, what it is made of, and rows that are computed again."""

import csv
import gzip
from statistics import fmean

import numpy as np
import pytest
from paths import DATA
from scipy.stats import spearmanr

from nasctl import registry
from nasctl.bench.listed import shipped_scores
from nasctl.candidates.objective import closed_form
from nasctl.correlations.families import FAMILIES, family_of
from nasctl.correlations.table import mean_correlation, shipped
from nasctl.evaluation import ranges
from nasctl.problem.defaults import TASKS
from nasctl.search.default_objectives import default_objectives
from nasctl.search.metrics import make_objective

SIZES = {"params", "macs", "depth"}
TABLE = shipped()


def test_every_scene_says_what_it_is_made_of():
    for scene in TABLE.scenes:
        space = registry.create("spaces", scene.space)
        assert scene.family == family_of(space, space.network(ranges.sample(space, 1)[0]))
        assert scene.task in TASKS
        assert scene.networks >= 30
        assert all((scene.dataset, scene.truth, scene.licence, scene.data, scene.fidelity))
        assert {"params", "macs", "depth"} <= scene.metrics.keys()
        for name, found in scene.metrics.items():
            objective = make_objective(name)[1]
            size = closed_form(objective) and objective.direction == "min"
            assert found.direction == ("max" if size else objective.direction)
            if found.spearman is not None:
                assert -1 <= found.low <= found.spearman <= found.high <= 1
                assert found.failed <= scene.networks


@pytest.mark.parametrize("choice", TABLE.choices, ids=lambda one: f"{one.family or one.kind}-{one.task}")
def test_a_choice_claims_no_more_than_was_measured(choice):
    assert choice.family in {"", *FAMILIES}
    assert choice.task in TASKS
    metrics = [one for one in choice.objectives if one != "max:depth"]
    assert metrics
    assert not SIZES & set(metrics)
    for space in choice.spaces:
        scenes = [one for one in TABLE.scenes if one.name == space and one.task == choice.task]
        for metric in metrics:
            assert mean_correlation(scenes, metric) > 0
            assert all((scene.metrics[metric].seeds or 1) >= 0.5 for scene in scenes)
    for score, results in ((choice.score, choice.other_networks), (choice.elsewhere, choice.other_spaces)):
        if set(score) <= SIZES and len(score) == 1:
            continue  # the default is a size
        means = [fmean(getattr(one, field) for one in results) for field in ("score", "params", "macs")]
        assert means[0] > max(means[1:])


def test_every_measured_family_and_task_has_a_choice_and_so_have_unmeasured_families_of_images():
    found = {(one.family, one.task) for one in TABLE.choices}
    assert {(scene.family, scene.task) for scene in TABLE.scenes} <= found
    assert ("", "classification") in found


@pytest.mark.parametrize("name", registry.names_without_options("spaces"))
def test_the_defaults_of_every_shipped_space_are_objectives_that_measurements_do_not_contradict(name):
    space = registry.create("spaces", name)
    found = default_objectives(name, space, "", with_device=False)
    assert found.objectives[-1] == "macs"
    made = dict(make_objective(one) for one in found.objectives)
    assert any(not closed_form(one) for one in made.values())
    example = space.network(ranges.sample(space, 1)[0])
    scenes = TABLE.of(family_of(space, example), "classification")
    for one in made:
        rho = mean_correlation(scenes, one)
        assert rho is None or rho > 0


def test_rows_are_computed_again_from_shipped_values_and_published_accuracies():
    path = DATA / "nb201" / "nb201_table.csv.gz"
    if not path.exists():
        pytest.skip("no data folder (set NASCTL_DATA to a directory that holds nb201/)")
    space = registry.create("spaces", "nb201")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        accuracies = {space.parse(r["arch_str"]): float(r["test_acc_200_cifar10"]) for r in csv.DictReader(file)}
    genomes, scores = sorted(accuracies), shipped_scores("nb201", space)
    scene = next(one for one in TABLE.scenes if one.name == "nb201" and one.dataset.startswith("CIFAR-10,"))
    chosen = [genomes[k] for k in np.random.default_rng(0).permutation(len(genomes))[: scene.networks]]
    truth = [accuracies[genome] for genome in chosen]
    for metric in ("jacov", "swap", "zico", "macs", "ntk_cond"):
        values = np.array([scores[metric][space.canonical(genome)] for genome in chosen])
        values = -values if metric == "ntk_cond" else values
        rho = spearmanr(np.where(np.isfinite(values), values, -np.inf), truth).statistic
        assert scene.metrics[metric].spearman == pytest.approx(rho, abs=1e-4)
        assert scene.metrics[metric].failed == np.isnan(values).sum()
