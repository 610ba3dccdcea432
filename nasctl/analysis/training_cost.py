"""The floating-point operations that the training of a supernet takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from nasctl.candidates.determinism import deterministic_torch
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem
from nasctl.training.batches import steps_per_epoch, train_batches
from nasctl.training.events import Ranks

STEPS = 20  # steps of a training whose operations are counted


def step_operations(problem: SupernetProblem, strategy: str = "") -> float:
    """Return the mean number of floating-point operations of a step of a supernet's training.

    PyTorch counts those of convolutions and matrix products, forward and backward, in steps that are spread evenly over
    the training. With the strategy "single_path" the number is that of training one random network.

    Args:
        problem: The training.
        strategy: Spec of a strategy in place of that of the problem.
    """
    if strategy:
        problem = replace(problem, strategy=strategy, start=None, start_genome=None)
    with deterministic_torch(problem.threads):
        return _operations(problem)


def _operations(problem: SupernetProblem) -> float:
    """Return the mean number of operations over some steps."""
    learner = SupernetLearner(problem, Ranks())
    steps = problem.recipe.epochs * steps_per_epoch(problem.data, problem.recipe.batch)
    chosen = sorted(set(np.linspace(0, steps - 1, STEPS).round().astype(int).tolist()))
    batches = train_batches(problem.data, problem.recipe.batch, problem.seed, 0, 0, halves=learner.halves)
    counted = []
    for number, (given, labels) in zip(chosen, islice(batches, len(chosen)), strict=True):
        with FlopCounterMode(display=False) as counter:
            learner.step(given, labels, number, 1e-6)  # so low a rate that no step diverges
        counted.append(counter.get_total_flops())
    return float(np.mean(counted))


__all__ = ["step_operations"]
