"""The names of given networks: trainings of a store before and after suffixes and folders, and paths with commas."""

import pytest

from nasctl.compression.base_sources import located
from nasctl.errors import NasctlError
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.training.folder import CURRENT_STORE, TrainingFolder, trainings_folder


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "s.db")
    token = CURRENT_STORE.set(path)
    yield path
    CURRENT_STORE.reset(token)


def training(store, name, weights=True):
    Store(store).file_training(TrainingRecord(name, "nbmacro", (0,) * 8, {}))
    folder = TrainingFolder(trainings_folder(store) / name)
    folder.path.mkdir(parents=True)
    if weights:
        folder.weights.touch()
    return str(folder.weights)


def test_a_beginning_with_a_dot_names_a_training(store):
    found = training(store, "nats.v2")
    assert located("nats.v") == located("nats.v2") == located("nats") == found


def test_a_training_that_has_not_ended_is_said_to_be_so(store):
    training(store, "nats.v3", weights=False)
    with pytest.raises(NasctlError, match=r"nats\.v3 has no weights yet"):
        located("nats.v3")


def test_a_folder_of_the_name_of_a_training_is_refused(store, tmp_path):
    found = training(store, "digits")
    (tmp_path / "digits").mkdir()
    here = TrainingFolder(tmp_path / "digits").weights
    here.touch()
    with pytest.raises(NasctlError, match="Cannot tell which network 'digits'"):
        located("digits")
    assert located("./digits") == str(here)
    assert located(found) == found


@pytest.mark.parametrize("name", ["/tmp/none, here/w.pt", "a=b.pt"])
def test_paths_that_options_cut_are_said(store, name):
    with pytest.raises(NasctlError, match="is cut there; rename the folder"):
        located(name)
