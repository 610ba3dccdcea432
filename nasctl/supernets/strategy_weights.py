"""The weights that a strategy asks for: copies of the slots, and modules of its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.problem.strategy import GivesLosses, HasCopies, HasMeanTeacher, HasModules, MixesCopies, Strategy
from nasctl.supernets.hull import Hull
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.shared_weights import SharedWeights

MODULES = "modules/"  # prefix of the tensors of a strategy's own modules, among those of the slots


def check_recipe(strategy: Strategy, problem: SupernetProblem) -> None:
    """Raise a `NasctlError` if a strategy cannot train by the recipe of a problem."""
    if isinstance(strategy, GivesLosses) and problem.recipe.mixup:
        raise NasctlError(
            f"Cannot train a supernet by {problem.strategy} with mixup={problem.recipe.mixup:g}: its losses compare"
            " views of single images. Give mixup=0 in the recipe."
        )


def copies_of(strategy: Strategy) -> int:
    """Return the number of copies of the shared weights that a strategy needs."""
    if isinstance(strategy, HasCopies | MixesCopies):
        return strategy.copies
    return 2 if isinstance(strategy, HasMeanTeacher) and strategy.mean_teacher else 1


def own_modules(strategy: Strategy, device: torch.device) -> dict[str, nn.Module]:
    """Return the modules of a strategy by name, on a device."""
    if not isinstance(strategy, HasModules):
        return {}
    return {name: module.to(device) for name, module in strategy.modules.items()}


def module_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Return the parameters of modules by "MODULE.PARAMETER"."""
    return {f"{key}.{name}": one for key, module in modules.items() for name, one in module.named_parameters()}


def module_tensors(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the parameters and buffers of modules by "MODULE.TENSOR"."""
    buffers = {f"{key}.{name}": one for key, module in modules.items() for name, one in module.named_buffers()}
    return {**module_parameters(modules), **buffers}


def decayed_and_plain(tensors: Mapping[str, nn.Parameter], hull: Hull) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the tensors that have weight decay, which are matrices and kernels, and those without, such as norms."""
    norms = {name for name, slot in hull.slots.items() if slot.role == "norm"}  # some have several axes
    found: tuple[list[nn.Parameter], list[nn.Parameter]] = [], []
    for name, value in tensors.items():
        found[value.ndim <= 1 or name.partition("@")[0] in norms].append(value)
    return found


@torch.no_grad()
def trained_state(
    values: Mapping[str, Tensor], weights: SharedWeights, modules: Mapping[str, nn.Module], strategy: Strategy
) -> dict[str, Tensor]:
    """Return a copy on the CPU of what a trained supernet consists of, by "KIND/NAME".

    Args:
        values: Tensors of the slots by name, and those of modules under `MODULES`; or their averages.
        weights: The shared weights, for the names of the slots and their visits.
        modules: The strategy's own modules.
        strategy: The strategy, for its arrays.
    """
    found = {f"slots/{name}": values[name].detach().cpu().clone() for name in weights.tensors}
    for name, value in module_tensors(modules).items():
        found[f"modules/{name}"] = values.get(f"{MODULES}{name}", value).detach().cpu().clone()
    found |= {f"strategy/{key}": torch.from_numpy(value.copy()) for key, value in strategy.arrays.items()}
    return found | {"visits/slots": torch.from_numpy(weights.visits.copy())}


__all__ = ["MODULES", "copies_of", "decayed_and_plain", "module_parameters", "module_tensors", "trained_state"]
