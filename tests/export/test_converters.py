"""Formats of other projects: their files compute what the module does, and the export says what it cannot check."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner
from export.trained_file import NAMES, write_trained

from nasctl.cli import cli
from nasctl.export import export
from nasctl.export.difference import TOLERANCE, difference
from nasctl.export.formats import FORMATS
from nasctl.export.trained import trained_model

SMALL = ("nb201:channels=4,cells=1,resolution=16,classes=10", (3, 1, 2, 1, 4, 3))
EXTRAS = [name for name, one in FORMATS.items() if one.extra]


def typed(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def exported(*words):
    return typed("export", "--space", SMALL[0], "--arch", ",".join(map(str, SMALL[1])), *words)


def needs(name):
    if not FORMATS[name].installed:
        pytest.skip(f"the extra {FORMATS[name].extra} is not installed")


@pytest.mark.parametrize("name", EXTRAS)
def test_without_its_converter_a_format_says_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], modules=("json", "no_such_module.part")))
    done = exported("--format", name, "-o", tmp_path)
    assert (done.exit_code, done.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert f"Cannot export as {name}: its converter is not installed." in done.stderr
    assert f"pip install 'nasctl[{name}]'" in done.stderr


def facts_in(name, path):
    """The facts of the network that a file holds, read with the format's own means."""
    if name == "openvino":
        told = ElementTree.parse(path).getroot().find("rt_info/nasctl")
        return {one.tag: json.loads(one.get("value")) for one in told}
    if name == "tflite":
        return json.loads(zipfile.ZipFile(path).read("architecture.json"))
    if name == "executorch":
        from executorch.runtime import Runtime

        (text,) = Runtime.get().load_program(path).load_method("architecture").execute([])
        return json.loads(text)
    import coremltools

    told = coremltools.models.MLModel(str(path), skip_model_load=True).user_defined_metadata
    return {key.removeprefix("nasctl."): json.loads(text) for key, text in told.items() if key.startswith("nasctl.")}


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.filterwarnings("ignore")  # of the converters' own imports
def test_trained_files_take_pixels_and_hold_the_facts(name, tmp_path):
    needs(name)
    weights = tmp_path / "weights.safetensors"
    write_trained(weights, steps=1)
    path = tmp_path / f"net{FORMATS[name].suffix}"
    done = typed("export", "--weights", weights, "-o", path)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{path}\n"
    told = facts_in(name, path)
    assert (told["training"], told["class_names"]) == ("digits-net", list(NAMES))
    assert told["space"].startswith("nb201:")
    model = trained_model(weights)
    assert model.examples.max() > 100  # pixels
    if name == "coreml" and sys.platform != "darwin":
        assert "coreml: not run: Core ML runs on macOS alone" in done.stderr
        return
    assert f"{name}: largest difference from the module" in done.stderr
    found = FORMATS[name].run(model, path)
    torch.testing.assert_close(found, model.outputs, rtol=0, atol=1e-4 * float(model.outputs.abs().max()))


@pytest.mark.parametrize("name", [name for name in EXTRAS if not FORMATS[name].folder])
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_weight_is_found(name, tmp_path):
    needs(name)
    model = export.model(*SMALL)
    path = tmp_path / f"net{FORMATS[name].suffix}"
    with torch.no_grad():
        next(model.module.parameters())[0, 0] *= 1.5
    FORMATS[name].write(model, path)
    other = export.model(*SMALL)
    assert difference(other.outputs, FORMATS[name].run(other, path)).relative > TOLERANCE


@pytest.fixture
def two_files(monkeypatch):
    """A format of two files that any machine can run."""

    def write(model, draft):
        draft.write_text("first")
        draft.with_suffix(".bin").write_text("second")

    def load(model, path):
        return lambda examples: model.outputs

    made = replace(FORMATS["openvino"], write=write, load=load, modules=())
    monkeypatch.setitem(FORMATS, "openvino", made)


@pytest.fixture
def package(monkeypatch):
    """A format of folders that cannot be run here."""

    def write(model, draft):
        draft.mkdir()
        (draft / "Manifest.json").write_text("new")

    made = replace(FORMATS["coreml"], write=write, load=lambda model, path: None, modules=())
    monkeypatch.setitem(FORMATS, "coreml", made)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_second_file_of_a_format_is_written_and_guarded_with_the_first(two_files, tmp_path):
    path = tmp_path / "net.xml"
    assert exported("-o", path).stdout == f"{path}\n"
    assert contents(tmp_path) == {"net.xml": "first", "net.bin": "second"}
    path.unlink()
    (tmp_path / "net.bin").write_text("mine")
    done = exported("-o", path)
    assert done.exit_code == 2
    assert "net.bin' exists; add --force" in done.stderr
    assert contents(tmp_path) == {"net.bin": "mine"}
    assert exported("-o", path, "--force").exit_code == 0
    assert contents(tmp_path) == {"net.xml": "first", "net.bin": "second"}


def test_a_package_is_a_folder_that_only_force_replaces(package, tmp_path):
    path = tmp_path / "net.mlpackage"
    done = exported("-o", path, "--json")
    assert done.exit_code == 0, done.stderr
    assert "coreml: not run: Core ML runs on macOS alone" in done.stderr
    assert json.loads(done.stdout)["files"]["coreml"] == {"path": str(path), "unrun": FORMATS["coreml"].unrun}
    (path / "old").write_text("old")
    assert "exists; add --force" in exported("-o", path).stderr
    assert exported("-o", path, "--force").exit_code == 0
    assert contents(tmp_path) == {"net.mlpackage/Manifest.json": "new"}
    path.with_name("photos.mlpackage").mkdir()  # somebody's folder, which is no package
    assert "is a folder" in exported("-o", tmp_path / "photos.mlpackage", "--force").stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.mlpackage", "photos.mlpackage"]


def test_converters_are_silenced_and_their_errors_are_not():
    code = """
import logging, os, sys, warnings
from nasctl.export.quiet import quiet_converter
try:
    with quiet_converter():
        print("text"); print("text", file=sys.stderr)
        os.write(1, b"native"); os.write(2, b"native")
        warnings.warn("doubt"); logging.error("log")
        raise ValueError("reason")
except ValueError as error:
    print("caught", error)
print("after", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("caught reason\n", "after\n")
