"""The shipped values of random networks: what they are of, and values that are measured again."""

from importlib.resources import files

import numpy as np
import pytest

from nasctl import registry
from nasctl.candidates.setting import make_setting
from nasctl.correlations.random_networks import random_networks
from nasctl.evaluation.measure import measure
from nasctl.evaluation.ranges import sample
from nasctl.evaluation.task import Task
from nasctl.search.default_objectives import default_objectives
from nasctl.search.metrics import make_objective

NAMES = sorted(
    one.name.partition(".")[0]
    for one in files("nasctl").joinpath("correlations", "random_networks").iterdir()
    if one.name.endswith(".json.gz")
)


def test_the_spaces_that_most_searches_are_of_have_values():
    assert {"mbconv", "nb201", "nbmacro"} <= set(NAMES)
    assert random_networks("mbconv:width=9") is None  # no spec with every option
    assert random_networks("unheard_of") is None


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_a_search_with_the_defaults(name):
    space = registry.create("spaces", name)
    found = random_networks(registry.spelled_out("spaces", name))
    assert found.networks >= 100
    task = Task(
        space, dict(make_objective(one, name) for one in found.metrics), make_setting(space, "", None, found.seed)
    )
    labels = task.record(found.space).labels
    # The versions of the metrics and the setting are today's; else perf/random_networks.py must run again.
    assert {metric: one.label for metric, one in found.metrics.items()} == labels
    assert all(len(one.values) == found.networks for one in found.metrics.values())
    defaults = default_objectives(name, space, "", with_device=False).objectives
    assert {one.removeprefix("max:") for one in defaults} <= found.metrics.keys()
    # Random networks are drawn anew, and their sizes computed again.
    genomes = sample(space, found.networks)
    for k in (0, found.networks // 2, found.networks - 1):
        again = measure(task, genomes[k], {"macs": "macs", "params": "params"})
        assert {one: found.metrics[one].values[k] for one in again} == {one: m.value for one, m in again.items()}


@pytest.mark.parametrize("name", ["nb201", "nbmacro"])
def test_a_metric_that_is_measured_again_has_the_shipped_value(name):
    space = registry.create("spaces", name)
    found = random_networks(registry.spelled_out("spaces", name))
    (metric, *_) = (one for one in found.metrics if one not in ("macs", "params", "depth"))
    task = Task(space, dict([make_objective(metric, name)]), make_setting(space, "", None, found.seed))
    genome = sample(space, found.networks)[5]
    value = measure(task, genome, {metric: metric})[metric].value
    assert found.metrics[metric].values[5] == pytest.approx(value, rel=1e-3)


def test_values_are_found_by_label_without_what_changes_last_digits():
    found = random_networks(registry.spelled_out("spaces", "mbconv"))
    label = found.metrics["l2_norm"].label
    same = label.replace("threads=1", "threads=8").replace("device=cpu", "device=cuda:0")
    assert len(found.values("l2_norm", same)) == found.networks
    assert np.isfinite(found.values("l2_norm", label)).all()
    for other in ("seed=1", "batch=8"):
        key = other.partition("=")[0]
        changed = ",".join(other if part.startswith(f"{key}=") else part for part in label.split(","))
        assert changed != label
        assert found.values("l2_norm", changed) is None
    assert found.values("zico", label) is None
