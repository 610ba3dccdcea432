"""The default recipe where training images are few."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.problem.fidelity import Fidelity
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.trained_search.trained_run import TrainedRun
from nasctl.trained_search.trained_watch import CandidatesTrainedWatch
from nasctl.training.candidate_training import CandidateTraining
from nasctl.training.few_examples import FEW_STEPS, LEAST_BATCH, MOST_EPOCHS, default_recipe, few_examples_note
from nasctl.training.recipe import usual
from nasctl.training.request import RecipeOptions, TrainRequest


@pytest.mark.parametrize("examples", [1280, 1437, 1600, 10_000, 1_000_000])
def test_enough_images_are_trained_by_the_usual_recipe(examples):
    assert default_recipe("classes", examples) == usual("classes")
    assert few_examples_note(usual("classes"), "classes", examples) == ""


@pytest.mark.parametrize("task", ["next words", "masked words"])
def test_words_are_trained_by_the_usual_recipe(task):
    assert default_recipe(task, 10) == usual(task)


def test_few_images_get_more_steps_within_a_limit():
    before = usual("classes")
    for examples in range(1, 1280):
        recipe = default_recipe("classes", examples)
        steps = recipe.epochs * max(1, examples // recipe.batch)
        assert steps >= FEW_STEPS or recipe.epochs == MOST_EPOCHS
        assert LEAST_BATCH <= recipe.batch <= before.batch
        assert before.epochs <= recipe.epochs <= MOST_EPOCHS
        assert replace(recipe, epochs=before.epochs, batch=before.batch) == before


def test_what_was_chosen_is_said():
    recipe = default_recipe("classes", 160)
    assert (recipe.epochs, recipe.batch) == (100, 16)
    assert few_examples_note(recipe, "classes", 160) == (
        "160 training images: 100 epochs of batch 16 are 1,000 steps. A --recipe with the lines 'epochs = 50' and"
        " 'batch = 16' halves them. With --epochs, a batch has 64 images, so that an epoch is 2 steps"
    )
    assert few_examples_note(RecipeOptions(epochs=3).recipe("classes", 160), "classes", 160) == (
        "Warning: 160 training images: 3 epochs of batch 64 are only 6 steps. The default recipe, without --epochs,"
        " batch and --recipe, has 1,000"
    )
    assert few_examples_note(replace(usual("classes"), epochs=300), "classes", 160) == ""
    assert "30 epochs of batch 32 are only 150 steps. The default recipe" in few_examples_note(
        RecipeOptions(fields=("batch=32",)).recipe("classes", 160), "classes", 160
    )


def test_a_given_value_keeps_the_usual_recipe(tmp_path):
    (file := tmp_path / "recipe.toml").write_text("rate = 0.1\n")
    for given in (RecipeOptions(file), RecipeOptions(epochs=30), RecipeOptions(fields=("batch=64",))):
        assert given.recipe("classes", 160) == usual("classes")
    rated = RecipeOptions(fields=("flip=false",)).recipe("classes", 160)
    assert rated == replace(default_recipe("classes", 160), flip=False)


def test_a_training_that_was_begun_before_goes_on_with_its_recipe(photos, tmp_path):
    store = Store(tmp_path / "s.db")
    request = TrainRequest(("00000000",), str(photos), "nbmacro:resolution=8")
    ((today, data),) = request.trainings(store)
    assert today.recipe == default_recipe("classes", data.size("train")) != usual("classes")
    earlier = replace(today, recipe=usual("classes"))
    store.file_training(TrainingRecord(earlier.name, earlier.space, earlier.genome, earlier.spec))
    assert request.trainings(store)[0][0] == earlier
    named = replace(request, name="mine")
    assert named.trainings(store)[0][0].recipe == today.recipe
    store.file_training(TrainingRecord("mine", earlier.space, earlier.genome, earlier.spec))
    assert named.trainings(store)[0][0].recipe == earlier.recipe


def test_a_search_with_trainings_has_the_recipe_in_its_objective():
    setting = Setting(data=source("digits"), fidelity=Fidelity(size=8, batch=16))
    first = Run("nbmacro:resolution=8,classes=10", ("naswot", "macs"), "random", setting=setting)
    asked = TrainedRun.after(first, CandidateTraining(split="0.1-0.1-0.1"), 2, 6)
    empty = SimpleNamespace(runs=list)
    today = asked.as_begun(empty)
    assert today.objectives[0] == "trained:epochs=91,split=0.1-0.1-0.1,batch=16"
    assert today.recipe_notes[0].startswith("181 training images: 91 epochs of batch 16")
    begun = SimpleNamespace(name=asked.name, record=SimpleNamespace(asked=asked.asked))
    assert asked.as_begun(SimpleNamespace(runs=lambda: [begun])) == asked
    whole = TrainedRun.after(first, CandidateTraining(), 2, 6)
    assert whole.as_begun(empty) == whole  # 1,437 digits are enough
    candidates = replace(first, objectives=("trained:split=0.1-0.1-0.1", "macs"))
    *_, warning = CandidatesTrainedWatch(candidates, 2, None, "", "").opening()
    assert warning == (
        "Warning: 181 training images are few for the usual recipe; --objective"
        " trained:epochs=91,split=0.1-0.1-0.1,batch=16 trains for more steps"
    )
    given = TrainedRun.after(first, CandidateTraining(epochs=1, split="0.1-0.1-0.1"), 2, 6)
    assert given.as_begun(empty) == given
