"""Small data, networks and recipes for tests of trainings."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from nasctl import registry
from nasctl.networks.graph import Builder
from nasctl.networks.layers import Conv, Flatten, GlobalAvgPool, Linear, ReLU
from nasctl.problem.space import Input
from nasctl.training.events import LearningProblem
from nasctl.training.recipe import Recipe

QUICK = Recipe(epochs=2, batch=16, warmup=0.5, recovery=4, checkpoint=0.0)


@dataclass(frozen=True)
class Arrays:
    """Training data in memory: the same arrays for all parts."""

    inputs: np.ndarray = field(hash=False, compare=False)
    labels: np.ndarray = field(hash=False, compare=False)
    task: str = "classes"
    class_names: tuple[str, ...] | None = ("0", "1", "2")
    mean: tuple[float, ...] = (128.0,)
    deviation: tuple[float, ...] = (64.0,)
    notes: tuple[str, ...] = ()
    in_memory: bool = True

    def size(self, part):
        return len(self.inputs)

    def class_counts(self, part):
        return np.bincount(self.labels, minlength=len(self.class_names)) if self.class_names else None

    def examples(self, part, indices):
        return self.inputs[indices], self.labels[indices]


def images(number=96, side=8, classes=3):
    """Images of one channel, whose class is the third of their rows that is bright."""
    draw = np.random.default_rng(0)
    labels = draw.integers(classes, size=number)
    pixels = draw.integers(100, size=(number, 1, side, side))
    for k, label in enumerate(labels):
        pixels[k, 0, label * side // classes : (label + 1) * side // classes] += 100
    return Arrays(pixels.astype(np.uint8), labels, class_names=tuple(map(str, range(classes))))


def colour(data):
    """Return the data with its channel three times."""
    return replace(data, inputs=data.inputs.repeat(3, 1), mean=(128.0,) * 3, deviation=(64.0,) * 3)


def save_photos(path, classes=3, side=8, number=60):
    """Save flat images with noise, each class of another brightness, which any network learns in a few steps."""
    labels = np.arange(number) % classes
    noise = np.random.default_rng(0).integers(0, 50, (number, side, side, 3))
    np.savez(path, x=(labels[:, None, None, None] * (200 // classes) + noise).astype(np.uint8), y=labels)


def equal(first, second):
    """Return whether two state dicts have the same names and bits."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def words(task, number=64, length=12, vocabulary=20):
    """Rows that count up modulo a number, from a random start."""
    rows = (np.random.default_rng(0).integers(10, size=(number, 1)) + np.arange(length + 1)) % 10
    labels = rows[:, 1:] if task == "next words" else rows[:, :-1]
    return Arrays(rows[:, :-1].copy(), labels.copy(), task, None, (), ())


def plain_network(side=8, classes=3, width=6):
    """A network without norms."""
    net = Builder((1, side, side))
    x = net.add(ReLU(), net.add(Conv(width, 3), *net.inputs, name="conv"), name="act")
    x = net.add(GlobalAvgPool(), net.add(Conv(8, 3), x, name="conv2"), name="pool")
    x = net.add(Flatten(), x, name="flatten")
    return net.build(net.add(Linear(classes), x, name="out"))


def problem(recipe=QUICK, data=None, **changes):
    """A problem of a small network without norms."""
    data = images() if data is None else data
    shape = data.inputs.shape[1:]
    network = plain_network(shape[1], len(data.class_names))
    return replace(LearningProblem(network, Input(shape), data, recipe, identity="question"), **changes)


def space_problem(spec, data, recipe=QUICK, genome=None, **changes):
    """A problem of the first network of a space."""
    space = registry.create("spaces", spec)
    network = space.network(space.canonical(genome or (0,) * len(space.genes)))
    (shape,) = network.input_shapes
    return replace(
        LearningProblem(network, replace(space.input, shape=shape), data, recipe, identity="question"), **changes
    )
