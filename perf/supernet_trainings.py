"""Short trainings of supernets and of single networks on photos, for the scripts that measure supernets.

A training lies in a folder of its own. One that was stopped goes on, and a finished one is only read, so every script
can be given again. Seconds are those of the processor, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasctl import registry
from nasctl.bench.published import published_path
from nasctl.candidates.determinism import deterministic_torch
from nasctl.problem.space import Genome, SearchSpace
from nasctl.supernets.calibration import BATCH as CALIBRATION_BATCH
from nasctl.supernets.calibration import BATCHES, calibrate, calibration_batches
from nasctl.supernets.hull import DoesNotFit, random_genome
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem, default_share
from nasctl.supernets.shared_weights import UntrainedWeights
from nasctl.supernets.skeleton import without_statistics
from nasctl.training.checkpoint import newest
from nasctl.training.events import Event, LearningProblem, Ranks, StepDone
from nasctl.training.labelled import Part, TrainingData, training_data
from nasctl.training.learner import Learner, Learns
from nasctl.training.loop import train
from nasctl.training.recipe import Recipe, TrainingTask

ARCHIVES = ("cifar10_train_12000.zip", "cifar10_test_2000.zip")

ALL_PHOTOS = "cifar10.zip"

BATCH = 250  # images that are judged at once

EVERY = 200  # steps between two lines on the progress

CONFIDENCE = 0.95  # of a verdict, one-sided


def photos(images: int, work: Path) -> Path:
    """Write training and test photos of CIFAR-10 into one zip, which sets the test photos apart, and return its path.

    Args:
        images: Training photos, an equal number of each class; 0 for all.
        work: The folder to write to.
    """
    path = work / (f"cifar10-{images}.zip" if images else ALL_PHOTOS)
    if not path.exists():
        draft = path.with_suffix(".draft")
        with zipfile.ZipFile(draft, "w") as both:
            for name in ARCHIVES:
                with zipfile.ZipFile(published_path(f"images/{name}")) as one:
                    for entry in _chosen(one.infolist(), images if name == ARCHIVES[0] else 0):
                        both.writestr(zipfile.ZipInfo(entry.filename), one.read(entry))
        draft.replace(path)
    return path


def _chosen(entries: list[zipfile.ZipInfo], images: int) -> Iterator[zipfile.ZipInfo]:
    """Yield the first photos of each class."""
    seen: defaultdict[str, int] = defaultdict(int)
    classes = len({entry.filename.rpartition("/")[0] for entry in entries if not entry.is_dir()})
    for entry in entries:
        folder = entry.filename.rpartition("/")[0]
        if not entry.is_dir() and (not images or seen[folder] < images // classes):
            seen[folder] += 1
            yield entry


@dataclass(frozen=True)
class Setup:
    """The data, the recipe and the space of the trainings of a script.

    Args:
        space: Spec of the space.
        source: Path or name of the data.
        recipe: The recipe, but for its epochs.
        work: Folder of the trainings.
        split: Shares of training, validation and test data.
        task: Task of the data; None for the usual one.
    """

    space: str
    source: str
    recipe: Recipe
    work: Path
    split: str = "0.9,0.1,0"
    task: TrainingTask | None = None

    @property
    def _of_data(self) -> str:
        """The data as part of an identity; "" for all photos, as trainings were named before there were other data."""
        name = Path(self.source).name
        return "" if name == ALL_PHOTOS else f" {name}"

    def searched(self) -> SearchSpace:
        """Return the space."""
        found: SearchSpace = registry.create("spaces", self.space)
        return found

    def data(self) -> TrainingData:
        """Return the data at the resolution of the space."""
        return training_data(self.source, self.searched().input, None, self.split, 0, self.task)

    def supernet(
        self, strategy: str, seed: int, epochs: int, share: str = "", **more: Any
    ) -> tuple[SupernetLearner, float]:
        """Train a supernet, and return its trained state and the seconds that it took.

        Args:
            strategy: Spec of the strategy.
            seed: Seed of weights, batches and networks.
            epochs: Passes of the training part.
            share: What networks share; the default of the space if it is empty.
            more: Further fields of `SupernetProblem`.
        """
        space = self.searched()
        share = share or default_share(space)
        name = "-".join([strategy.replace(":", "-").replace("/", "_")[-60:], share, str(epochs), str(seed)])
        identity = f"{self.space} {share} {strategy} {seed} {epochs}{self._of_data}"
        problem = SupernetProblem(
            space.network(space.canonical((0,) * len(space.genes))), space.input, self.data(),
            replace(self.recipe, epochs=epochs), seed, identity, space=space, share=share, strategy=strategy, **more,
        )  # fmt: skip
        learner, seconds = trained(problem, self.work / name, SupernetLearner)
        assert isinstance(learner, SupernetLearner)
        return learner, seconds

    def alone(
        self, genome: Genome, seed: int, epochs: int, start: Callable[[nn.Module], object] | None = None
    ) -> tuple[Learner, float]:
        """Train one network with weights of its own, and return its trained state and the seconds that it took.

        Args:
            genome: The network.
            seed: Seed of weights and batches.
            epochs: Passes of the training part.
            start: Replaces the drawn weights of the module. The folder `work` should name what it gives.
        """
        space = self.searched()
        key = "".join(map(str, genome))
        problem = LearningProblem(
            space.network(genome), space.input, self.data(), replace(self.recipe, epochs=epochs), seed,
            f"{self.space} {key} {seed} {epochs}{self._of_data}", start=start,
        )  # fmt: skip
        learner, seconds = trained(problem, self.work / f"alone-{key}-{epochs}-{seed}", Learner)
        assert isinstance(learner, Learner)
        return learner, seconds


def small_setup(given: argparse.Namespace, **recipe: Any) -> Setup:
    """Return the setup of a claim on few photos."""
    source, split = (given.data, "0.8,0.1,0.1") if given.data else (str(photos(given.images, given.work)), "0.9,0.1,0")
    chosen = Recipe(**{"evaluate": 0, "cutout": 0.0, "checkpoint": 2.0, "warmup": 0.5, **recipe})
    return Setup(given.space, source, chosen, given.work, split)


def trained(problem: LearningProblem, folder: Path, kind: Callable[[Any, Ranks], Learns]) -> tuple[Learns, float]:
    """Train to the end, or read a finished training, and return the trained state and the seconds that it took."""
    record = folder / "seconds.json"
    print(f"{folder.name}", flush=True)
    start = time.process_time()
    if not record.exists():
        train(problem, folder, follow, learner=kind)
        record.write_text(json.dumps(time.process_time() - start))  # of the last of several runs
    learner = kind(problem, Ranks())
    found = newest(folder, problem.identity)
    assert found is not None
    learner.load(found)
    return learner, float(json.loads(record.read_text()))


def follow(event: Event) -> None:
    """Print the progress."""
    if isinstance(event, StepDone) and event.step % EVERY == 0:
        print(f"  step {event.step}/{event.steps}, loss {event.loss:.3f}", flush=True)


@dataclass(frozen=True)
class Examples:
    """Examples that networks are judged on, normalised.

    Args:
        inputs: Images, (N, C, H, W).
        labels: Their classes, (N,).
    """

    inputs: Tensor
    labels: Tensor

    @classmethod
    def held_out(cls, data: TrainingData, images: int) -> Examples:
        """Return test images in a random order; all of them if `images` is 0 or more than there are."""
        order = np.random.default_rng(0).permutation(data.size("test"))  # they lie class by class
        return cls.of(data, "test", order[: images or None])

    @classmethod
    def of(cls, data: TrainingData, part: Part, places: np.ndarray) -> Examples:
        """Return chosen images of a part."""
        pixels, classes = data.examples(part, places)
        mean, deviation = (torch.tensor(one).view(1, -1, 1, 1).float() for one in (data.mean, data.deviation))
        return cls((torch.from_numpy(pixels).float() - mean) / deviation, torch.from_numpy(classes))

    def judge(self, module: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        """Return the accuracy of a module in per cent, and its loss in nats."""
        with torch.no_grad():
            logits = torch.cat([module(some) for some in self.inputs.split(BATCH)])
        accuracy = (logits.argmax(1) == self.labels).float().mean()
        return 100 * float(accuracy), float(cross_entropy(logits, self.labels))


def inherited(
    learner: SupernetLearner, genome: Genome, examples: Examples, of_batches: bool = False
) -> tuple[float, float]:
    """Return accuracy and loss of a network with shared weights, and calibrated statistics or those of the batches.

    Raises:
        DoesNotFit: The supernet has no place for the weights.
        UntrainedWeights: No step has trained some of the weights.
    """
    copy = learner.copy_of(genome)
    learner.weights.check_trained(genome, copy)
    module = learner.weights.module(genome, copy)

    def run(inputs: Tensor) -> Tensor:
        found: Tensor = module(*learner.fitted(genome, (inputs,)))
        return found

    with deterministic_torch(1):
        if of_batches:
            module.train()
            with without_statistics(module):
                return examples.judge(run)
        calibrate(module, learner._calibration(genome))
        return examples.judge(run)


def judged(
    learner: SupernetLearner, genomes: Iterable[Genome], examples: Examples
) -> dict[Genome, tuple[float, float]]:
    """Return accuracy and loss of each network that the supernet has trained."""
    found = {}
    for genome in genomes:
        try:
            found[genome] = inherited(learner, genome, examples)
        except (DoesNotFit, UntrainedWeights):
            continue
    return found


def own_quality(learner: Learner, data: TrainingData, examples: Examples) -> tuple[float, float]:
    """Return accuracy and loss of a network that was trained alone, with statistics calibrated as in a supernet."""
    module = learner.network
    assert isinstance(module, nn.Module)
    some = Examples.of(
        data, "train", np.random.default_rng(0).permutation(data.size("train"))[: CALIBRATION_BATCH * BATCHES]
    )
    with deterministic_torch(1):
        calibrate(module, ((batch,) for batch in calibration_batches(some.inputs)))
        return examples.judge(module)


def random_genomes(space: SearchSpace, number: int, seed: int) -> list[Genome]:
    """Return distinct canonical genomes with uniform genes."""
    rng, found = np.random.default_rng(seed), dict[Genome, None]()
    while len(found) < number:
        found[random_genome(space, rng)] = None
    return list(found)


def verdict(differences: Iterable[float], margin: float = 0.0) -> str:
    """Return "holds", "does not hold" or "too small to tell" of a mean difference above a margin, by the t-test.

    Args:
        differences: One difference for each seed.
        margin: The claim is that the mean is above it.
    """
    values = np.array([*differences], dtype=float)
    if len(values) < 2:
        return "one seed"
    error = student.ppf(CONFIDENCE, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    if values.mean() - error > margin:
        return "holds"
    return "does not hold" if values.mean() + error < margin else "too small to tell"


def spread(values: Iterable[float], digits: int = 3) -> str:
    """Return a mean with the standard deviation over seeds, such as ".614 ± .012"."""
    found = np.array([*values], dtype=float)
    shown = f"{found.mean():.{digits}f}" + (f" ± {found.std(ddof=1):.{digits}f}" if len(found) > 1 else "")
    return re.sub(r"(?<!\d)0\.", ".", shown) if digits == 3 else shown
