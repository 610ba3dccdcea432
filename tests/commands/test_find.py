"""`nasctl find`: from bounds to one exported network."""

import json
import shlex
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nasctl.cli import cli
from nasctl.commands import find
from nasctl.commands.space.fit import _named
from nasctl.errors import NasctlError
from nasctl.store.store import Store


def nasctl(*arguments, code=0):
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.stderr
    return done


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_printed_commands_do_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "FORMATS", ("json",))  # of which a test needs no converter
    words = ["find", "--device", "pixel4", "--latency", "4ms", "--macs", "50M", "--space", "nbmacro", "--budget", "3"]
    first = json.loads(nasctl(*words, "-o", "new dir/", "--json").stdout)
    assert first["values"]["latency@pixel4"] <= 4
    assert first["values"]["macs"] <= 50e6
    (file,) = first["files"]
    assert json.loads((tmp_path / file).read_text())["id"] == first["id"]
    fit, search, pick, export = (shlex.split(line)[1:] for line in first["commands"])
    assert json.loads(nasctl(*fit, "--json").stdout)[0]["space"] == "nbmacro"
    again = json.loads(nasctl(*search, "--json").stdout)
    assert again["run"] == first["run"]
    assert again["distinct"] == 3
    assert len(Store.reading("nasctl.db").runs()) == 1
    assert json.loads(nasctl(*pick, "--json").stdout)["run"] == first["run"]
    before = (tmp_path / file).read_bytes()
    nasctl(*export)  # with --force, since the files are there
    assert (tmp_path / file).read_bytes() == before
    resumed = nasctl(*words, "-o", "new dir/")  # the same command
    assert "its files are there already" in resumed.stderr
    assert "next: " not in resumed.stderr  # the command exports the network itself
    assert "its networks take images of 32x32 pixels" in resumed.stderr
    assert resumed.stdout == f"{file}\n"


@pytest.mark.slow  # prices 200 networks, and measures two
def test_photos_in_folders_give_the_classes_and_the_network_fits_them(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "FORMATS", ("json",))  # of which a test needs no converter
    random = np.random.default_rng(0)
    for name in ("cat", "dog", "fish"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(12):  # a batch has 32 images
            pixels = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    words = ["--params", "2M", "--data", "photos/", "--space", "nbmacro", "--budget", "2", "--json"]
    done = nasctl("find", *words)
    found = json.loads(done.stdout)
    assert "classes=3" in found["space"].partition(":")[2].split(",")
    (file,) = found["files"]
    exported = json.loads((tmp_path / file).read_text())
    assert exported["space"] == found["space"]
    assert found["values"]["params"] <= 2e6
    assert "3 classes" in done.stderr


def test_what_the_data_says_is_said():
    said = nasctl("find", "--params", "300k", "--data", "digits", "--space", "nbmacro", code=2).stderr
    assert "Cannot hold params<=300k: the nearest network that is known, of nbmacro, has params 387.9 k." in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what must hold: --latency 20ms with --device NAME, --params 5M"),
        (["--latency", "10"], "Cannot hold --latency: it depends on the device. Name one with --device"),
        (["--params", "5ms"], "params is in parameters. Write a bound such as 5M."),
        (
            ["--latency", "-3", "--device", "pixel4"],
            "'latency<=-3': a bound on latency must be positive. Write a bound such",
        ),
        (
            ["--params", "5", "--space", "nbmacro"],
            "Relax a bound to that. The bound is 5 parameters; 5M means 5 million.",
        ),
        (["--params", "much"], "'params<=much' is no constraint"),
        (["--params", "5M", "--device", "pixell4"], "did you mean 'pixel4'"),
        (["--device", "nope"], "no device is called 'nope'"),  # before that nothing is bounded
        (["--params", "5M", "--trainings", "3"], "Cannot train without data."),
        (["--params", "5M", "--space", "vit", "--device", "pixel4"], "Cannot choose a space: none has a latency table"),
    ],
)
def test_a_mistake_is_one_sentence(words, message):
    refused = nasctl("find", *words, code=2).stderr
    assert message in refused
    assert len(refused.splitlines()) == 1


@pytest.mark.slow  # trains, and exports ONNX
def test_a_trained_network_is_exported_with_its_weights(tmp_path):
    words = ["find", "--params", "60k", "--data", "digits", "--space", "nb201:channels=4,cells=1", "--budget", "12"]
    found = json.loads(nasctl(*words, "--trainings", "2", "--epochs", "1", "-o", "net/", "--json").stdout)
    assert found["training"] in Store.reading("nasctl.db").training(found["training"]).name
    assert {path.suffix for path in (tmp_path / "net").iterdir()} == {".py", ".pt", ".onnx"}


def test_files_of_a_trained_network_are_compared_on_the_data_that_was_typed():
    found = find.Found("run", None, None, "nbmacro-1", "nbmacro-2", "../my photos/")
    assert found.words == ("nbmacro-1", "--weights", "nbmacro-2", "--data", "../my photos/")
    assert replace(found, data="").words == ("nbmacro-1", "--weights", "nbmacro-2")


def test_files_that_the_same_command_has_just_written_are_no_obstacle(tmp_path, monkeypatch):
    """Two commands at once: another one writes a file after this one has looked for it."""
    found = SimpleNamespace(arch="nbmacro-572n", training="", words=("nbmacro-572n",))
    asked = []

    def export(ctx, command, name, words):
        asked.append(words[words.index("--format") + 1])
        if len(asked) == 1:
            (tmp_path / "nbmacro_572n.py").write_text("by the other command")
            raise NasctlError("'nbmacro_572n.py' exists; add --force to overwrite it")
        (tmp_path / "nbmacro-572n.onnx").write_bytes(b"x")
        return 0

    monkeypatch.setattr(find, "_call", export)
    paths, code = find._export(None, found, tmp_path, False, ())
    assert (asked, code) == (["python,onnx", "onnx"], 0)
    assert all(path.exists() for path in paths)
    assert find._export(None, found, tmp_path, False, ()) == (paths, 0)
    assert len(asked) == 2

    def refuse(*given):
        raise NasctlError("the disk is full")

    monkeypatch.setattr(find, "_call", refuse)
    with pytest.raises(NasctlError, match="the disk is full"):
        find._export(None, found, tmp_path / "other", False, ())


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("mbconv", "mbconv:width=1.2,resolution=224"),
        ("mbconv:width=1.0", "mbconv:width=1.0,resolution=224"),
        ("mbconv:resolutions=160,192", "mbconv:resolutions=160,192,width=1.2"),
        ("nb101", "nb101:resolution=32"),
    ],
)
def test_a_row_of_variants_names_its_width_and_resolution(spec, named):
    assert _named(spec, variants=True) == named
    assert _named(spec, variants=False) == spec


def test_options_of_the_search_are_handed_on():
    effort = {"budget": 3, "trainings": 2, "recipe": "r.toml", "epochs": None, "fidelity": "batch=6", "limit": None}
    words = " ".join(find._effort_words({**effort, "workers": "2", "seed": 0}))
    assert words == "--budget 3 --trainings 2 --recipe r.toml --fidelity batch=6 --workers 2"
