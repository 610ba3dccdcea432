"""The messages of a training."""

import pytest
from training.examples import images

from nasctl.data import source
from nasctl.problem.space import Input
from nasctl.store.training_table import TrainingRecord
from nasctl.training.evaluation import accuracy_error
from nasctl.training.image_notes import flip_notes
from nasctl.training.labelled import training_data_of
from nasctl.training.recipe import Recipe
from nasctl.training.report import Report
from nasctl.training.training import Trained, Training

TRAINING = Training("nbmacro:resolution=8", (0,) * 8, "nbmacro:classes=3,resolution=8", "classes", "photos", Recipe())


def closing(right, of, parts=("validation", "test")):
    """Return the last lines of a training that ends with this accuracy."""
    accuracy = right / of
    result = {"loss": 1.0, "accuracy": accuracy, "perplexity": None, "examples": of}
    results = {part: {**result, "error": accuracy_error(accuracy, of)} for part in parts}
    record = TrainingRecord("nbmacro-1", TRAINING.space, TRAINING.genome, TRAINING.spec, "finished", results)
    data = images(96)  # of three classes, the most frequent with 35 images
    assert data.class_counts("test").max() == 35
    return Report(TRAINING, data).closing(Trained(record, "nasctl.db", 1))


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (41, "test accuracy is within two standard errors of guessing: always answering the most frequent class has"),
        (10, "test accuracy is below guessing: "),
        (60, ""),
    ],
)
def test_a_network_that_is_no_better_than_guessing_is_named(right, said):
    lines = closing(right, 96)
    warnings = [line for line in lines if line.startswith("Warning: ")]
    assert len(warnings) == bool(said)
    assert all(f"{said}" in line and " 36.5%. Train for more --epochs" in line for line in warnings)
    assert lines[-2].startswith("next: nasctl export")


def test_all_right_answers_of_seven_images_have_an_error():
    assert "test accuracy 100.0% (87.5% to 100.0%) on 7 test images" in closing(7, 7)


def test_the_rate_of_the_batch_is_said_beside_the_rate():
    lines = Report(TRAINING, images()).opening()
    assert any("sgd, rate 0.1 (0.025 at batch 64), cosine" in line for line in lines)
    assert any(line.startswith("would train ") for line in Report(TRAINING, images()).opening(dry_run=True))


def test_flips_of_digits_are_warned_of_and_those_of_other_images_are_not():
    digits = training_data_of(source("digits"), Input((1, 8, 8)), None, "0.8,0.1,0.1", 0, "classes")
    (note,) = flip_notes(digits, True, "--set flip=false")
    assert "--set flip=false trains without" in note
    assert flip_notes(digits, False, "--set flip=false") == flip_notes(images(), True, "") == []
    assert note in Report(TRAINING, digits).opening()
