"""A small trained network in a file, as `nasctl train` leaves one."""

import numpy as np
import torch
from torch import nn

from nasctl import registry
from nasctl.networks.weights import initialised
from nasctl.training import trained_weights
from nasctl.training.labelled import training_data

SPEC, GENOME = "nb201:channels=4,cells=1,resolution=16", (3, 1, 2, 1, 4, 3)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def facts(**changed):
    """What the training says of itself."""
    usual = {
        "space": registry.spelled_out("spaces", SPEC),
        "genome": GENOME,
        "training": "digits-net",
        "task": "classes",
        "class_names": NAMES,
        "mean": (),
        "deviation": (),
        "data": "gone#12345678 split=0.8-0.1-0.1 seed=0",
        "recipe": {"epochs": 1},
        "result": {"validation": {"loss": 1.0, "accuracy": 0.75, "perplexity": None, "examples": 179, "error": 0.03}},
        "nasctl": "0.1.0",
    }
    return trained_weights.Facts(**{**usual, **changed})


def digits(spec=SPEC):
    space = registry.create("spaces", spec)
    return training_data("digits", space.input, 10, "0.8,0.1,0.1", 0)


def write_trained(path, steps=60, **changed):
    """Train a small network on digits, write it, and return the data."""
    data = digits()
    network = registry.create("spaces", SPEC).network(GENOME)
    module = initialised(network, 0)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    mean, deviation = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.deviation))
    order = np.random.default_rng(0).permutation(data.size("train"))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        images, labels = data.examples("train", np.take(order, range(64 * step, 64 * step + 64), mode="wrap"))
        outputs = module((torch.from_numpy(images).float() - mean) / deviation)
        nn.functional.cross_entropy(outputs, torch.from_numpy(labels)).backward()
        optimizer.step()
        optimizer.zero_grad()
    told = facts(**{"data": str(data), "mean": data.mean, "deviation": data.deviation, **changed})
    trained_weights.write(path, module.state_dict(), told)
    return data
