"""The default recipe of classes where training images are few: more epochs of smaller batches.

The usual recipe counts epochs, so that a small folder of images gets few steps: 160 images in batches of 64 have two
steps an epoch. docs/training.md has accuracies with and without this rule.
"""

from __future__ import annotations

from dataclasses import replace

from nasctl.system.wording import plural
from nasctl.training.recipe import Recipe, TrainingTask, usual

LEAST_STEPS = 600  # steps of a training that the usual recipe would give fewer
EPOCH_STEPS = 10  # steps of an epoch, as far as `LEAST_BATCH` leaves as many
LEAST_BATCH = 16  # images; statistics of batch norms are noisy in smaller batches
MOST_EPOCHS = 150  # largest number of epochs: from then on the same few images are learned by heart


def default_recipe(task: TrainingTask, examples: int) -> Recipe:
    """Return the default recipe of a task for a number of training examples.

    It is `usual(task)`, whose batch is halved and whose epochs are increased if that gives a training of classes fewer
    than `LEAST_STEPS` steps. The learning rate stays in proportion to the batch.

    Args:
        task: The task.
        examples: Number of training examples.
    """
    recipe = usual(task)
    if task != "classes" or recipe.epochs * _epoch_steps(examples, recipe.batch) >= LEAST_STEPS:
        return recipe
    batch = recipe.batch
    while batch > LEAST_BATCH and _epoch_steps(examples, batch) < EPOCH_STEPS:
        batch //= 2
    epochs = -(-LEAST_STEPS // _epoch_steps(examples, batch))
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
