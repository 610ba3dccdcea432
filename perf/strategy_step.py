"""Cost of a training step by strategies of supernets: python perf/strategy_step.py [--space SPEC] [--rounds 15].

Each strategy trains a supernet of the space on random images, in batches of 64 without augmentation. Steps of the
strategies take turns, so that a busy machine slows all of them alike. The script prints the median seconds of processor
time that a step takes on one thread, and the ratio to the first strategy. The first turn is not counted.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from nasctl import registry
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem, default_share
from nasctl.training.events import Ranks
from nasctl.training.recipe import Recipe

STRATEGIES = ("single_path", "gdas", "darts", "drnas", "darts:order=2")


@dataclass(frozen=True)
class Noise:
    """Random images of random classes, as training data in memory."""

    inputs: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...] = (128.0,) * 3
    deviation: tuple[float, ...] = (64.0,) * 3
    task: Literal["classes"] = "classes"
    notes: tuple[str, ...] = ()
    in_memory: bool = True

    def size(self, part: str) -> int:
        return len(self.inputs)

    def class_counts(self, part: str) -> np.ndarray:
        return np.bincount(self.labels, minlength=len(self.class_names))

    def examples(self, part: str, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        return self.inputs[indices], self.labels[indices]


def learner(spec: str, strategy: str, batch: int, rounds: int) -> SupernetLearner:
    """Return a supernet of a space in training by a strategy."""
    space = registry.create("spaces", spec)
    network = space.network(space.canonical((0,) * len(space.genes)))
    (shape,), rng = network.input_shapes, np.random.default_rng(0)
    classes = network.out_shape[-1]
    data = Noise(
        rng.integers(256, size=(batch, *shape)).astype(np.uint8),
        np.arange(batch) % classes,
        tuple(map(str, range(classes))),
    )
    recipe = Recipe(epochs=rounds + 1, batch=batch, warmup=0.0, flip=False, crop=0, cutout=0)
    share = default_share(space)
    problem = SupernetProblem(
        network, space.input, data, recipe, identity="noise", space=space, share=share, strategy=strategy
    )
    return SupernetLearner(problem, Ranks())


def main() -> None:
    """Print a row for each strategy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="nb201:resolution=16,cells=1")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    learners = {one: learner(given.space, one, given.batch, given.rounds) for one in given.strategies}
    inputs, labels = learners[given.strategies[0]]._problem.data.examples("train", np.arange(given.batch))
    seconds: dict[str, list[float]] = {one: [] for one in learners}
    for number in range(given.rounds + 1):
        for name, one in learners.items():
            start = time.process_time()
            one.step(torch.from_numpy(inputs), torch.from_numpy(labels), number, 0.025)
            seconds[name].append(time.process_time() - start)
    base = np.median(seconds[given.strategies[0]][1:])
    for name, found in seconds.items():
        middle = np.median(found[1:])
        print(f"{name:24} {middle:8.3f} s  {middle / base:5.2f}")


if __name__ == "__main__":
    main()
