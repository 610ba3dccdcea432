"""The default recipe of classes where training images are few: more epochs of smaller batches.

The usual recipe counts epochs, so that a small folder of images gets few steps: 160 images in batches of 64 have two
steps an epoch. docs/training.md has accuracies with and without this rule.
"""

from __future__ import annotations

from dataclasses import replace

from nasctl.system.wording import plural
from nasctl.training.recipe import Recipe, TrainingTask, epoch_steps, usual

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
    if task != "classes" or recipe.epochs * epoch_steps(examples, recipe.batch) >= ENOUGH_STEPS:
        return recipe
    batch = recipe.batch
    while batch > LEAST_BATCH and epoch_steps(examples, batch) < EPOCH_STEPS:
        batch //= 2
    epochs = -(-FEW_STEPS // epoch_steps(examples, batch))
    return replace(recipe, batch=batch, epochs=max(recipe.epochs, min(epochs, MOST_EPOCHS)))


def few_examples_note(recipe: Recipe, task: TrainingTask, examples: int) -> str:
    """Return a sentence on the steps of a recipe for few examples; "" if there is nothing to say.

    That is so if its batch and epochs are those of `default_recipe`, or if it has fewer than `ENOUGH_STEPS` steps.

    Args:
        recipe: The recipe of a training.
        task: Its task.
        examples: Number of training examples.
    """
    chosen, fixed = default_recipe(task, examples), usual(task)
    if chosen == fixed:
        return ""
    most, own = (one.epochs * epoch_steps(examples, one.batch) for one in (chosen, recipe))
    images, asked = plural(examples, "training image"), (recipe.batch, recipe.epochs)
    if asked == (chosen.batch, chosen.epochs):
        per_epoch = plural(epoch_steps(examples, fixed.batch), "step")
        half = f"'epochs = {-(-chosen.epochs // 2)}' and 'batch = {chosen.batch}'"
        return (
            f"{images}: {chosen.epochs} epochs of batch {chosen.batch} are {plural(most, 'step')}. A --recipe with the"
            f" lines {half} halves them. With --epochs, a batch has {fixed.batch} images, so that an epoch is"
            f" {per_epoch}"
        )
    if own < min(most, ENOUGH_STEPS):
        return (
            f"Warning: {images}: {plural(recipe.epochs, 'epoch')} of batch {recipe.batch} are only"
            f" {plural(own, 'step')}. The default recipe, without --epochs, batch and --recipe, has {most:,}"
        )
    return ""


__all__ = ["default_recipe", "few_examples_note"]
