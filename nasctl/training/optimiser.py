"""The optimiser of a recipe, and its learning rate at each step as a table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)

from nasctl.training.recipe import Recipe

WARMUP_START = 0.01  # rate of the first step of a warm-up, as a share of the peak

PEAK_SHARE = 0.3  # share of the steps after which a one-cycle schedule without warm-up has its peak, as in torch

# The rate of BigNAS is multiplied by .97 every 2.4 of 360 epochs, and stays at 5% of the peak, which 236 epochs reach.
END_SHARE = 0.05  # of the peak
FALL_SHARE = 2 / 3  # of the steps after the warm-up

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def optimiser(module: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the optimiser of a module's parameters, with weight decay on matrices and kernels only.

    Parameters with one axis (biases, scales) and all parameters of norms have no weight decay.
    """
    exempt = {id(one) for part in module.modules() if isinstance(part, NORMS) for one in part.parameters()}
    parameters = [one for one in module.parameters() if one.requires_grad]
    decayed = [one for one in parameters if one.ndim > 1 and id(one) not in exempt]
    plain = [one for one in parameters if one.ndim <= 1 or id(one) in exempt]
    return optimiser_of(decayed, plain, recipe)


def optimiser_of(decayed: Sequence[nn.Parameter], plain: Sequence[nn.Parameter], recipe: Recipe) -> Optimizer:
    """Return the optimiser of parameters with and without weight decay."""
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if recipe.optimiser == "sgd":
        return SGD(groups, lr=recipe.peak_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    return AdamW(groups, lr=recipe.peak_rate, betas=(recipe.momentum, recipe.beta2))


def rates(recipe: Recipe, steps: int, steps_per_epoch: int) -> np.ndarray:
    """Return the learning rate of every step, (steps,) float64, as torch's own schedulers compute it.

    The schedulers run once, ahead of the training. A training that continues needs no state of a scheduler.

    Args:
        recipe: The recipe.
        steps: Steps of the whole training.
        steps_per_epoch: Steps of an epoch.
    """
    dummy = SGD([nn.Parameter(torch.zeros(1))], lr=recipe.peak_rate)
    scheduler = _scheduler(dummy, recipe, steps, round(recipe.warmup * steps_per_epoch))
    found = np.empty(steps)
    with warnings.catch_warnings():
        # Torch warns that no optimiser steps before the scheduler does, which is the purpose here.
        warnings.simplefilter("ignore")
        for step in range(steps):
            found[step] = dummy.param_groups[0]["lr"]
            if step + 1 < steps:
                scheduler.step()
    return found


def _scheduler(dummy: Optimizer, recipe: Recipe, steps: int, warmup: int) -> LRScheduler:
    """Return torch's scheduler of a recipe, given the number of steps of its warm-up."""
    warmup = min(warmup, steps - 1)
    if recipe.schedule == "onecycle":
        total = max(4, steps)  # torch divides by 0 if a phase has no step
        share = max(2 / total, warmup / total if warmup else PEAK_SHARE)
        return OneCycleLR(dummy, recipe.peak_rate, total_steps=total, pct_start=share, cycle_momentum=False)
    after: LRScheduler
    if recipe.schedule == "cosine":
        after = CosineAnnealingLR(dummy, T_max=max(1, steps - warmup))
    elif recipe.schedule == "exponential":
        last = FALL_SHARE * max(1, steps - warmup)
        after = LambdaLR(dummy, lambda step: END_SHARE ** min(1.0, step / last))
    else:
        after = ConstantLR(dummy, factor=1.0, total_iters=0)
    if not warmup:
        return after
    rise = LinearLR(dummy, start_factor=WARMUP_START, total_iters=warmup)
    return SequentialLR(dummy, [rise, after], [warmup])


def set_rate(made: Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in made.param_groups:
        group["lr"] = rate


def optimiser_tensors(made: Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    """Return the optimiser's state as tensors by "parameter/quantity", such as "stem.weight/momentum_buffer".

    Args:
        made: The optimiser.
        names: Name of each parameter.
    """
    return {
        f"{names[parameter]}/{quantity}": value
        for parameter, state in made.state.items()
        for quantity, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimiser(made: Optimizer, names: Mapping[Tensor, str], tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that `optimiser_tensors` returned."""
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, quantity = key.rpartition("/")
        by_parameter.setdefault(name, {})[quantity] = value
    parameters = [parameter for group in made.param_groups for parameter in group["params"]]
    content: dict[str, Any] = made.state_dict()
    content["state"] = {
        place: {quantity: value.clone() for quantity, value in by_parameter[names[parameter]].items()}
        for place, parameter in enumerate(parameters)
        if names[parameter] in by_parameter
    }
    made.load_state_dict(content)


__all__ = ["load_optimiser", "optimiser", "optimiser_of", "optimiser_tensors", "rates", "set_rate"]
