"""A small supernet that is trained for a few steps, for tests of its use."""

from dataclasses import asdict, replace
from functools import lru_cache

import torch

from nasctl import registry
from nasctl.problem.space import Input
from nasctl.registry.version import __version__
from nasctl.supernets import trained_supernet
from nasctl.supernets.folder import supernets_folder
from nasctl.supernets.learned_choices import learned
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem, default_share
from nasctl.supernets.validation import validation_examples
from nasctl.training.events import Ranks
from nasctl.training.labelled import training_data
from nasctl.training.recipe import usual
from nasctl.training.request import task_of

SPACE = "nb201:channels=4,cells=1,resolution=8"


@lru_cache(maxsize=4)
def _learnt(spec, strategy, steps, data, split):
    """Return the learner after some steps, its data and the space."""
    space = registry.create("spaces", spec)
    network = space.network(space.canonical(tuple(len(gene.choices) - 1 for gene in space.genes)))
    given = replace(space.input, shape=network.input_shapes[0])
    task = task_of(network, given)
    found = training_data(data, given, None, split, 0, task)
    recipe = usual(task).changed({"epochs": 1, "batch": 32, "warmup": 0})
    shape = Input(given.shape, given.kind, given.vocabulary)
    problem = SupernetProblem(
        network, shape, found, recipe, 0, "test", space=space, share=default_share(space), strategy=strategy
    )
    learner = SupernetLearner(problem, Ranks())
    for step in range(steps):
        examples, labels = (torch.from_numpy(one) for one in found.examples("train", slice_of(step, found)))
        learner.step(examples, labels, step, 0.05)
    return learner, found, problem


def slice_of(step, data, batch=32):
    """Return the indices of the examples of a step."""
    return torch.arange(step * batch, (step + 1) * batch).remainder(data.size("train")).numpy()


def supernet(store, name="tiny", spec=SPACE, strategy="sandwich", steps=6, data="digits", split="0.7,0.2,0.1"):
    """Train a supernet beside a store, and return the path of its weights."""
    learner, found, problem = _learnt(spec, strategy, steps, data, split)
    results = learner.evaluate("validation", None, lambda: False)
    chosen, probabilities = learned(learner.strategy)
    facts = trained_supernet.SupernetFacts(
        space=registry.spelled_out("spaces", spec),
        share=problem.share,
        strategy=registry.spelled_out("strategies", strategy),
        seed=0,
        steps=steps,
        task=found.task,
        class_names=found.class_names,
        mean=found.mean,
        deviation=found.deviation,
        data=str(found),
        recipe=problem.recipe.asdict(),
        result={"validation": {key: asdict(one) for key, one in results.items()}},
        nasctl=__version__,
        name=name,
        judged={key: list(genome) for key, genome in learner.judged.items()},
        chosen=chosen,
        probabilities=probabilities,
    )
    path = supernets_folder(store) / name / "weights.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    calibration = learner.calibration_examples[0]
    trained_supernet.write(path, learner.state(), calibration, facts, validation_examples(found, 0))
    return path
