"""Two steps of training on a random network of every shipped space."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training.examples import Arrays, words

from nasctl import registry
from nasctl.networks.weights import initialised
from nasctl.problem.sampling import unseen
from nasctl.training.events import LearningProblem
from nasctl.training.loop import train
from nasctl.training.recipe import usual

TASKS = {"rnn": "next words", "bert": "masked words", "flexibert": "masked words"}


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names_without_options("spaces"))
def test_every_space_can_be_trained(tmp_path, name):
    task = TASKS.get(name, "classes")
    space = registry.create("spaces", name)
    space = space.reduced(space.levels["fast"])
    network = space.network(space.canonical(next(iter(unseen(space, np.random.default_rng(0), 1)))))
    (shape,) = network.input_shapes
    if task == "classes":
        draw, classes = np.random.default_rng(0), network.out_shape[0]
        pixels = draw.integers(256, size=(8, *shape)).astype(np.uint8)
        data = Arrays(
            pixels,
            draw.integers(classes, size=8),
            "classes",
            tuple(map(str, range(classes))),
            (128.0,) * 3,
            (64.0,) * 3,
        )
    else:
        data = words(task, 8, shape[0])
    problem = LearningProblem(
        network, replace(space.input, shape=shape), data, replace(usual(task), epochs=1, batch=4, warmup=0.0)
    )
    outcome = train(problem, tmp_path)
    before = initialised(network, 0).state_dict()
    assert outcome.finished
    assert outcome.state.keys() == before.keys()
    changed = [name for name, value in outcome.state.items() if not torch.equal(value, before[name])]
    assert len(changed) > len(before) / 2
