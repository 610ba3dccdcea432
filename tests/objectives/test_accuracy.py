"""The objective `accuracy@FILE.json`."""

import pickle

import pytest
from prediction.small_predictors import LOW, SMALL, small_predictor

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.errors import BadOption, NasctlError
from nasctl.search.applicability import refuse_inapplicable
from nasctl.search.metrics import make_objective

GENOME = (3, 2, 1, 3, 0, 3)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    found = small_predictor(folder, metrics=("params", "macs", "naswot"))
    found.predictor.save(folder / "small.json")
    return folder / "small.json"


@pytest.fixture(scope="module")
def objective(path):
    return make_objective(f"accuracy@{path}")[1]


def candidate(spec, objective, setting=LOW):
    space = registry.create("spaces", spec)
    return Candidate(space, space.canonical(GENOME), setting.suited_to(space.input), objective.needs)


def test_its_name_needs_and_version_follow_the_file(path, objective):
    assert make_objective(f"accuracy@{path}")[0] == "accuracy@small"
    assert make_objective(f"accuracy:file={path}")[0] == "accuracy@small"
    assert objective.needs == {"network", "activations"}
    assert (objective.unit, objective.direction) == ("predicted accuracy, %", "max")
    assert objective.version == objective.predictor.digest


def test_its_value_is_the_prediction_for_the_metrics_of_the_candidate(objective):
    one = candidate(SMALL, objective)
    values = {name: registry.create("objectives", name)(one) for name in ("params", "macs", "naswot")}
    assert objective(one) == objective.predictor.predict([one.genome], [values])[0][0]
    assert pickle.loads(pickle.dumps(objective))(one) == objective(one)


def test_other_spaces_are_refused(objective):
    for spec in ("nb201:channels=8,cells=1", "nbmacro"):
        space = registry.create("spaces", spec)
        with pytest.raises(NasctlError, match=r"says nothing of this space: it was fitted on nb201:.*channels=4"):
            refuse_inapplicable(space, {"accuracy@small": objective})
    with pytest.raises(NasctlError, match="Cannot predict with accuracy@small: it was fitted on nb201"):
        objective(candidate("nb201:channels=8,cells=1", objective))


def test_other_settings_are_refused(objective):
    for setting, option in (
        (DEFAULT_SETTING, "--fidelity"),
        (Setting(fidelity=LOW.fidelity, seed=1), "--weights-seed"),
    ):
        with pytest.raises(NasctlError, match=f"fitted to metrics with the .* Give {option} of the fit"):
            objective(candidate(SMALL, objective, setting))


def test_remarks_say_how_far_to_believe_it(objective):
    network = candidate(SMALL, objective).network
    first, second = objective.remarks(SMALL, network)
    assert "fitted to 16 labels (accuracy, % of made up); held-out Kendall" in first
    assert second.startswith("NOT BETTER THAN params")


def test_it_is_not_optimised_against_its_direction(path):
    assert make_objective(f"max:accuracy@{path}")[0] == "accuracy@small"
    with pytest.raises(BadOption, match="its direction is max"):
        make_objective(f"min:accuracy@{path}")


def test_without_a_file_it_needs_trained_networks():
    name, objective = make_objective("accuracy")
    assert name == "accuracy"
    assert "untrained" in objective.wrong_space(registry.create("spaces", SMALL))


def test_another_version_of_a_metric_is_refused(path, tmp_path):
    changed = tmp_path / "changed.json"
    changed.write_text(path.read_text().replace('"naswot": {"version": "', '"naswot": {"version": "0'))
    with pytest.raises(NasctlError, match=r"fitted to version 0\d of naswot, and this nasctl measures version"):
        make_objective(f"accuracy@{changed}")
