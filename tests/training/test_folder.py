"""The folder of a training belongs to one question and to one process at a time."""

import subprocess
import sys

import pytest

from nasctl.errors import NasctlError
from nasctl.training.folder import TrainingFolder, check_name, trainings_folder

QUESTION = {"space": "nbmacro", "genome": [0, 1], "seed": 0}


def test_trainings_are_beside_their_store(tmp_path):
    assert trainings_folder(tmp_path / "mine.db") == tmp_path / "mine-trainings"
    assert str(trainings_folder("nasctl.db")) == "nasctl-trainings"


def test_two_processes_cannot_have_one_training(tmp_path):
    folder = TrainingFolder(tmp_path / "a")
    code = f"""
from nasctl.training.folder import TrainingFolder
import pathlib, sys
with TrainingFolder(pathlib.Path({str(folder.path)!r})).held({QUESTION}):
    print("held", flush=True)
    sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", code], **pipes)
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(NasctlError, match="training a is running in another process"), folder.held(QUESTION):
            pass
        with pytest.raises(NasctlError, match="stop it first"):
            folder.delete()
    finally:
        other.kill()
        other.communicate()
    with folder.held(QUESTION):  # the system has released the lock of the killed process
        pass
    folder.delete()
    assert not folder.path.exists()


def test_the_folder_of_another_question_is_refused_and_left_alone(tmp_path):
    folder = TrainingFolder(tmp_path / "a")
    with folder.held(QUESTION):
        (folder.path / "step-000000010.safetensors").write_bytes(b"kept")
    refused = pytest.raises(NasctlError, match="holds a training of another genome and seed; give this one another")
    with refused, folder.held({**QUESTION, "genome": [1, 1], "seed": 1}):
        pass
    assert folder.checkpoints[0].read_bytes() == b"kept"
    with folder.held(QUESTION):
        pass


def test_checkpoints_of_an_unknown_training_are_refused(tmp_path):
    folder = TrainingFolder(tmp_path / "a")
    folder.path.mkdir()
    (folder.path / "step-000000010.safetensors").touch()
    with pytest.raises(NasctlError, match="of an unknown training"), folder.held(QUESTION):
        pass


@pytest.mark.parametrize("content", ["", "[]", '{"space": '])
def test_a_damaged_question_is_refused(content, tmp_path):
    folder = TrainingFolder(tmp_path / "a")
    folder.path.mkdir()
    (folder.path / "training.json").write_text(content)
    with pytest.raises(NasctlError, match="is damaged"), folder.held(QUESTION):
        pass


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-o", "a b", "x" * 101])
def test_names_that_are_no_folders_are_refused(name):
    with pytest.raises(NasctlError, match="a training cannot be called"):
        check_name(name)
