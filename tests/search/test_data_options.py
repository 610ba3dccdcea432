"""Options of a space that follow from data."""

from dataclasses import replace
from shutil import copy

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nasctl.cli import cli
from nasctl.data import source
from nasctl.errors import MissingBlock
from nasctl.search import data_options
from nasctl.search.data_options import fitted_request, following_options, with_options
from nasctl.search.request import SearchRequest, SettingOptions
from nasctl.store.store import Store
from nasctl.training.request import trained_space


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Five folders of three images of 80x60 pixels."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("ant", "bee", "cat", "dog", "elk"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(3):
            pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    return tmp_path / "photos"


def search(*words):
    done = CliRunner().invoke(cli, ["search", *words, "-o", "params,macs", "--budget", "3"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stderr


def test_classes_and_resolution_follow(photos):
    data = source(str(photos))
    assert following_options("mbconv", data) == {"classes": 5, "resolution": 64}  # 60 pixels, rounded up
    assert following_options("mbconv:classes=7,resolution=96", data) == {}
    assert following_options("mbconv:resolutions=128,160", data) == {"classes": 5}
    assert following_options("nb201", data) == {"classes": 5}  # 32 pixels already
    assert following_options("nb201", source("digits")) == {}  # ten classes are the default
    assert following_options("nb201", source("noise")) == {}
    assert with_options("nb201:channels=8", {"classes": 5}) == "nb201:channels=8,classes=5"


def test_a_search_says_what_follows(photos):
    said = search("nb201:channels=4,cells=1", "--data", "photos")
    assert "classes=5 of the space follows from photos" in said
    space = Store.reading("nasctl.db").run()[1].space
    assert space == "nb201:canonical=true,cells=1,channels=4,classes=5,resolution=32"
    assert "classes=5 and resolution=64 of the space follow from photos" in search("mbconv", "--data", "photos")


def test_more_outputs_than_classes_are_said(photos):
    said = "photos has 5 classes and the networks 10 outputs; classes=5 of the space fits"
    assert said in search("nb201:channels=4,cells=1,classes=10", "--data", "photos")
    assert "outputs" not in search("nb201:channels=4,cells=1,classes=5", "--data", "photos")
    wide = search("mbconv:classes=100", "--data", "photos")
    assert "resolution=64 of the space follows from photos" in wide
    assert "photos has 5 classes and the networks 100 outputs" in wide


@pytest.mark.parametrize("command", [("score", "--sample", "1"), ("calibrate", "--sample", "3")])
def test_every_command_with_data_says_more_outputs_than_classes(photos, command):
    for folder in photos.iterdir():
        for k in range(3, 13):  # a batch is of 64 images
            copy(folder / "0.png", folder / f"{k}.png")

    def said(space, code=0):
        words = ["objective", *command, "--space", space, "--data", "photos", "-o", "swap"]
        done = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert done.exit_code == code, done.stderr
        return done.stderr

    assert "photos has 5 classes and the networks 10 outputs; classes=5 of the space fits" in said("nbmacro")
    assert "outputs" not in said("nbmacro:classes=5")
    assert "it has 5 classes, and the network 3 outputs. Give the space classes=5" in said("nbmacro:classes=3", 2)


def test_images_that_shrink_more_than_three_times_are_warned_of(photos):
    said = search("nb201:channels=4,cells=1,resolution=16", "--data", "photos")
    (warning,) = [line for line in said.splitlines() if line.startswith("Warning: images of 60 pixels are scaled")]
    assert " down to 16x16, 4 times per side, so that networks of nb201:" in warning
    assert warning.endswith(" see coarse shapes only. Give the space resolution=32, at about 4 times the MACs.")
    said = search("nb201:channels=4,cells=1,resolution=24", "--data", "photos")
    assert "Warning" not in said
    assert "images of 60 pixels are scaled down to 24x24, the input of the networks; resolution=64 of the space" in said
    assert "scaled down" not in search("nb201:channels=4,cells=1,resolution=64", "--data", "photos")


def test_a_run_that_was_begun_before_is_resumed(photos):
    earlier = search("nb201:channels=4,cells=1,classes=10", "--data", "photos", "--run", "before")
    assert "follow" not in earlier
    said = search("nb201:channels=4,cells=1", "--data", "photos", "--run", "before")
    assert "goes on with the run in the store, whose space was chosen without classes=5 of the data" in said
    assert "--space nb201:cells=1,channels=4,classes=5 with another --run begins a new run" in said
    assert len(Store.reading("nasctl.db").runs()) == 1


def test_options_that_trainings_set_too_are_no_other_run(photos):
    asked = SearchRequest("nbmacro", objectives=("params", "macs")), SettingOptions(data=str(photos))

    def finish(request):  # as trainings do
        return replace(request, space=trained_space(request.space, 5))

    first, said = fitted_request(*asked, Store.reading("nasctl.db"), finish)
    list(first.run(asked[1]).search(store := Store("nasctl.db"), 1))
    again, said_again = fitted_request(*asked, store, finish)
    assert again == first
    assert said_again == said
    assert said[0] == f"classes=5 of the space follows from {photos}"


def test_a_resolution_that_a_table_does_not_know_does_not_follow(photos, monkeypatch):
    def unknown(device, space):
        raise MissingBlock(device, "Stem() @ 3x64x64")

    monkeypatch.setattr(data_options, "load_table", unknown)
    asked = SearchRequest("mbconv", ("gpu",)), SettingOptions(data=str(photos)), Store.reading("nasctl.db")
    request, said = fitted_request(*asked)
    assert request.space == "mbconv:classes=5"
    assert said == [f"classes=5 of the space follows from {photos}"]
