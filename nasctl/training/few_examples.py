"""The default recipe of classes where training images are few: more epochs of smaller batches.

The usual recipe counts epochs, so that a small folder of images gets few steps: 160 images in batches of 64 have two
steps an epoch. docs/training.md has accuracies with and without this rule.
"""

from __future__ import annotations

from dataclasses import replace

from nasctl.system.wording import plural
from nasctl.training.recipe import Recipe, TrainingTask, usual

ENOUGH_STEPS = 600  # steps of a training; a usual recipe that gives as many stays as it is
FEW_STEPS = 1000  # steps of a training that the usual recipe would give fewer than `ENOUGH_STEPS`
EPOCH_STEPS = 10  # steps of an epoch, as far as `LEAST_BATCH` leaves as many
LEAST_BATCH = 16  # images; statistics of batch norms are noisy in smaller batches
MOST_EPOCHS = 200  # largest number of epochs, so that a training of very few images ends soon


def default_recipe(task: TrainingTask, examples: int) -> Recipe:
    """Return the default recipe of a task for a number of training examples.

    It is `usual(task)` where that gives `ENOUGH_STEPS` steps, and for words. Otherwise the batch is halved until an
    epoch has `EPOCH_STEPS` steps, and the epochs give `FEW_STEPS` steps. The rate stays in proportion to the batch.

    Args:
        task: The task.
        examples: Number of training examples.

    References:
        Brigato et al., "Tune it or don't use it: Benchmarking data-efficient image classification", ICCV workshops
        2021, arXiv:2108.13122: on small data, plain training with a tuned batch and rate is as good as special methods.
    """
    recipe = usual(task)
    if task != "classes" or recipe.epochs * _epoch_steps(examples, recipe.batch) >= ENOUGH_STEPS:
        return recipe
    batch = recipe.batch
    while batch > LEAST_BATCH and _epoch_steps(examples, batch) < EPOCH_STEPS:
        batch //= 2
    epochs = -(-FEW_STEPS // _epoch_steps(examples, batch))
    return replace(recipe, batch=batch, epochs=max(recipe.epochs, min(epochs, MOST_EPOCHS)))


def few_examples_note(recipe: Recipe, task: TrainingTask, examples: int) -> str:
    """Return a sentence if batch and epochs of a recipe are those of `default_recipe` for few examples; "" otherwise.

    Args:
        recipe: The recipe of a training.
        task: Its task.
        examples: Number of training examples.
    """
    chosen, fixed = default_recipe(task, examples), usual(task)
    if chosen == fixed or (recipe.batch, recipe.epochs) != (chosen.batch, chosen.epochs):
        return ""
    steps, before = (one.epochs * _epoch_steps(examples, one.batch) for one in (chosen, fixed))
    return (
        f"{plural(examples, 'training image')}: {chosen.epochs} epochs of batch {chosen.batch}, which are"
        f" {plural(steps, 'step')}, in place of {fixed.epochs} of batch {fixed.batch}, which are {before:,};"
        f" --epochs {fixed.epochs} keeps those"
    )


def _epoch_steps(examples: int, batch: int) -> int:
    """Return the steps of an epoch, as `nasctl.training.batches.steps_per_epoch` counts them."""
    return max(1, examples // batch)


__all__ = ["default_recipe", "few_examples_note"]
