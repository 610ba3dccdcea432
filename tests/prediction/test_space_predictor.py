import json

import numpy as np
import pytest
from prediction.small_predictors import SMALL, known_result, small_predictor

from nasctl import registry
from nasctl.errors import NasctlError
from nasctl.prediction.space_predictor import SpacePredictor


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    found = small_predictor(folder, model="gaussian_process+extra_trees")
    found.predictor.save(folder / "small.json")
    return found, folder / "small.json"


def networks(spec, number=40):
    space = registry.create("spaces", spec)
    genomes = [space.canonical(tuple(np.random.default_rng(k).integers(5, size=6).tolist())) for k in range(number)]
    return space, genomes


def test_a_loaded_predictor_predicts_the_same_bits(written):
    found, path = written
    space, genomes = networks(SMALL)
    sizes = [{"params": space.network(one).params, "macs": space.network(one).macs} for one in genomes]
    loaded = SpacePredictor.load(path)
    assert loaded.digest == found.predictor.digest
    here, there = (one.predict(genomes, sizes) for one in (found.predictor, loaded))
    assert np.array_equal(here, there)
    direct = found.fitted.predict(found.predictor.builder.features(genomes, sizes))
    assert np.array_equal(direct, there)
    truth = [known_result(space.network(one)) for one in genomes]
    assert np.corrcoef(there[0], truth)[0, 1] > 0.8


def test_it_says_how_far_to_believe_it(written):
    found, _ = written
    assert "on 16 labels, cross-validated in 5 folds; params 1.00, macs" in found.predictor.reliability
    assert "NOT BETTER THAN params" in found.predictor.weakness  # the made-up result is a function of the parameters


def test_it_knows_its_space(written):
    found, _ = written
    difference = found.predictor.difference
    assert difference(registry.create("spaces", SMALL)) == ""
    assert difference(registry.create("spaces", "nb201:channels=8,cells=1")) == "has other networks"
    assert difference(registry.create("spaces", "nb201:channels=4,cells=1,resolution=64")) == "has another input"
    assert difference(registry.create("spaces", "nbmacro")) == "has other genes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.pop("schema"), 'it has no "schema"'),
        (lambda one: one.update(schema=7), "its schema is 7"),
        (lambda one: one.update(structure_version="0"), "version 0 of the features"),
        (lambda one: one.pop("model"), "it lacks the field 'model'"),
        (lambda one: one.update(pickle="x"), "it has an unknown field 'pickle'"),
        (lambda one: one.update(direction="up"), "its field 'direction' is \"up\", not one of max, min"),
        (lambda one: one["labelled"][2].update(label="high"), r"'labelled': \[2\]: 'label' is \"high\", not a number"),
        (lambda one: one["labelled"][1].update(metrics=[1.0]), r"'labelled': \[1\]: 'metrics'.*a list of 2 numbers"),
        (lambda one: one["labelled"][0].update(genome=[9, 0, 0, 0, 0, 0]), "gene 'edge01' is 0 to 4, not 9"),
        (lambda one: one["labelled"][0].update(error=-1.0), "'error' is -1.0"),
        (lambda one: one.update(space="nb202"), "nb202"),
    ],
)
def test_a_changed_file_is_refused_in_a_sentence(written, tmp_path, change, message):
    content = json.loads(written[1].read_text())
    change(content)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    with pytest.raises(NasctlError, match=message):
        SpacePredictor.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(NasctlError, match=r"Cannot use .*none.json as a predictor of accuracy: it cannot be read"):
        SpacePredictor.load(tmp_path / "none.json")


def test_the_digest_follows_what_predictions_follow_from(written):
    found, path = written
    content = json.loads(path.read_text())
    content["command"] = "another"
    path.with_name("other.json").write_text(json.dumps(content))
    assert SpacePredictor.load(path.with_name("other.json")).digest == found.predictor.digest
    content["labelled"][0]["label"] += 1
    path.with_name("other.json").write_text(json.dumps(content))
    assert SpacePredictor.load(path.with_name("other.json")).digest != found.predictor.digest
