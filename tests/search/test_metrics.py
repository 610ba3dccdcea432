"""Objectives from the specs that people write."""

import pytest

from nasctl.errors import UnknownName
from nasctl.hardware.kinds import load_table
from nasctl.hardware.table import LatencyTable
from nasctl.search.metrics import device_of, make_objective


@pytest.mark.parametrize("spec", ["latency@gpu", "latency:device=gpu"])
def test_a_kind_of_device_stands_for_the_best_table_of_the_space(spec):
    name, objective = make_objective(spec, "nbmacro")
    assert name == objective.label == "latency@gpu"
    assert device_of(objective) == load_table("gpu", "nbmacro").device != "gpu"


@pytest.mark.parametrize("spec", ["latency@v100-b64", "latency:device=v100-b64"])
def test_a_device_is_shown_by_its_name(spec):
    name, objective = make_objective(spec, "nbmacro")
    assert (name, device_of(objective)) == ("latency@v100-b64", "v100-b64")


@pytest.mark.parametrize("file", ["gpu.json", "me@home.json"])
def test_a_file_is_a_device_too(file, tmp_path):
    path = tmp_path / file
    LatencyTable.load("v100-b64").save(path)
    name, objective = make_objective(f"latency@{path}", "nbmacro")
    assert (name, device_of(objective)) == ("latency@v100-b64", "v100-b64")


def test_other_objectives_are_shown_by_their_spec():
    name, objective = make_objective("params")
    assert (name, objective.unit, device_of(objective)) == ("params", "parameters", "")
    assert make_objective("swap:sigma=700,mu=30")[0] == "swap:mu=30.0,sigma=700.0"


def test_what_does_not_exist_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'params'"):
        make_objective("parms")
    with pytest.raises(UnknownName, match="no device is called 'v100-b65'"):
        make_objective("latency@v100-b65")
