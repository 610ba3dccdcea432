"""Recipes: TOML, validation, digests and learning rates."""

import math
import tomllib
from dataclasses import dataclass, fields, replace
from typing import get_type_hints

import numpy as np
import pytest
import torch
from torch import nn

from nasctl.errors import BadOption, NasctlError, UnknownName
from nasctl.training.optimiser import optimiser, rates
from nasctl.training.recipe import ABOUT, About, Recipe, usual


def test_every_field_is_explained_and_written():
    assert list(ABOUT) == [one.name for one in fields(Recipe)]
    for line, name in zip(Recipe().toml().splitlines(), ABOUT, strict=True):
        assert line.startswith(f"{name} = ")
        assert line.endswith(f"# {ABOUT[name].help}" + "; here 0.025" * (name == "rate"))  # at the batch of 64
    assert "; here" not in Recipe(batch=256).toml() + Recipe(optimiser="adamw").toml()


@pytest.mark.parametrize("task", ["classes", "next words", "masked words"])
def test_a_recipe_is_read_as_it_was_written(tmp_path, task):
    recipe = replace(usual(task), ema=0.999, rate=0.3)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.toml())
    assert tomllib.loads(recipe.toml())["rate"] == 0.3
    assert "(default: 0.1)" in recipe.toml()
    assert Recipe.read(path) == recipe


def test_a_file_changes_the_recipe_that_it_starts_from(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("epochs = 3\nrate = 1  # a whole number where a fraction is meant\n")
    assert Recipe.read(path, usual("next words")) == replace(usual("next words"), epochs=3, rate=1.0)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("epoch = 3", UnknownName, "did you mean 'epochs'"),
        ("epochs = 0", BadOption, "epochs = 0 in a recipe: it is not within 1 and 1,000,000"),
        (f"epochs = 1{26 * '0'}", BadOption, f"epochs = 1{26 * '0'} in a recipe: it is not within 1 and 1,000,000"),
        (f"rate = 1{400 * '0'}", BadOption, "rate = 1(0{400}) in a recipe: it is not within 0 and 1,000"),
        ("epochs = inf", BadOption, "epochs = inf in a recipe: it is not within"),
        ("momentum = 1", BadOption, "momentum = 1 in a recipe: it is not within 0 and 0.9999"),
        ("batch = true", BadOption, "batch = true in a recipe: it is not a whole number"),
        ("epochs = 1.5", BadOption, "epochs = 1.5 in a recipe: it is not a whole number"),
        ("flip = 1", BadOption, "flip = 1 in a recipe: it is not true or false"),
        ("rate = nan", BadOption, "rate = nan in a recipe: it is not within"),
        ("rate = '0.1'", BadOption, 'rate = "0.1" in a recipe: it is not a number'),
        ("optimiser = 'adam'", BadOption, 'optimiser = "adam" in a recipe: it is not sgd or adamw'),
        ("warmup = 50", BadOption, "warm up for 50 of 30 epochs"),
        ("epochs", NasctlError, "it is not TOML"),
    ],
)
def test_bad_recipes_are_refused_in_a_sentence(tmp_path, line, error, message):
    path = tmp_path / "recipe.toml"
    path.write_text(line)
    with pytest.raises(error, match=message):
        Recipe.read(path)


def test_a_recipe_file_that_is_missing(tmp_path):
    with pytest.raises(NasctlError, match=r"Cannot read the recipe .*none\.toml"):
        Recipe.read(tmp_path / "none.toml")


def test_the_digest_follows_from_the_fields_that_change_the_weights():
    assert Recipe().digest == replace(Recipe(), evaluate=5, checkpoint=1.0).digest
    assert len({replace(Recipe(), **{name: value}).digest for name, value in [("rate", 0.2), ("ema", 0.9)]}) == 2
    assert len(Recipe().digest) == 8


def test_a_field_of_a_later_version_renames_no_training(monkeypatch):
    digests = {task: usual(task).digest for task in ("classes", "next words", "masked words")}
    assert digests == {"classes": "530bb063", "next words": "64bd6144", "masked words": "1eaadb0d"}  # of version 0.1

    @dataclass(frozen=True)
    class Later(Recipe):
        swapped: float = 0.0

    monkeypatch.setattr("nasctl.training.recipe.ABOUT", {**ABOUT, "swapped": About("...", 0.0, 1.0, later=True)})
    monkeypatch.setattr("nasctl.training.recipe._types", lambda: get_type_hints(Later))
    assert Later().question == Recipe().question
    assert Later().digest == digests["classes"]
    assert Later(swapped=0.5).question == {**Recipe().question, "swapped": 0.5}
    assert Later(swapped=0.5).digest != digests["classes"]


def test_rates_rise_linearly_and_fall_as_a_cosine():
    recipe = Recipe(epochs=10, warmup=2.0, batch=64)
    found = rates(recipe, 100, 10)
    assert found[:20] == pytest.approx(0.025 * (0.01 + 0.99 * np.arange(20) / 20))
    expected = 0.025 * (1 + np.cos(math.pi * np.arange(80) / 80)) / 2
    assert found[20:] == pytest.approx(expected)
    assert rates(replace(recipe, schedule="constant"), 100, 10)[20:] == pytest.approx(0.025)
    falling = rates(replace(recipe, schedule="exponential"), 110, 10)[20:]
    assert falling[:61] == pytest.approx(0.025 * 0.05 ** (np.arange(61) / 60))
    assert falling[60:] == pytest.approx(0.025 * 0.05)
    cycle = rates(replace(recipe, schedule="onecycle"), 100, 10)
    assert cycle.argmax() in (19, 20)
    assert cycle.max() == pytest.approx(0.025, rel=0.01)


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "exponential", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_have_rates(schedule, steps):
    found = rates(Recipe(epochs=1, schedule=schedule), steps, steps)
    assert found.shape == (steps,)
    assert np.isfinite(found).all()


def test_weight_decay_spares_norms_and_biases():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2), nn.LayerNorm((2, 1)))
    for name in ("sgd", "adamw"):
        made = optimiser(module, Recipe(optimiser=name))
        decayed = {id(one) for group in made.param_groups if group["weight_decay"] for one in group["params"]}
        assert decayed == {id(module[0].weight), id(module[3].weight)}
        assert sum(len(group["params"]) for group in made.param_groups) == len(list(module.parameters()))
    assert isinstance(made, torch.optim.AdamW)
