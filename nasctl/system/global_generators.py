"""A guard against global random generators: code that draws from them, or reads them, raises."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, NoReturn
from unittest.mock import patch

import numpy as np

# Functions of torch that take `generator=`, without which they draw from the default generator.
TORCH_FUNCTIONS = ("bernoulli", "multinomial", "normal", "poisson", "rand", "randint", "randn", "randperm")
TORCH_METHODS = (
    *("bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "multinomial", "normal_"),
    *("random_", "uniform_"),
)
# Functions of torch that know no other generator.
TORCH_DEFAULT = (
    *("get_rng_state", "initial_seed", "manual_seed", "rand_like", "randint_like", "randn_like"),
    *("seed", "set_rng_state"),
)
# Functions of numpy.random that are no methods of the hidden generator.
NUMPY_FUNCTIONS = ("get_bit_generator", "ranf", "sample", "seed", "set_bit_generator")


class GlobalGeneratorUsed(AssertionError):
    """Code under the guard used a random generator that is not its own; the message names the function."""


@contextmanager
def forbidden_global_generators() -> Iterator[None]:
    """Make every use of a global or an unseeded random generator raise, and restore everything afterwards.

    The generators are numpy's hidden `RandomState`, the one of `random`, torch's default generator on the CPU, and
    `numpy.random.default_rng()` without a seed. A function that was imported before
    by its own name, as in `from random import random`, cannot be replaced. Its use is found at the end, by the changed
    state of the generator.

    Raises:
        GlobalGeneratorUsed: The code used one of them.
    """
    with ExitStack() as patches:
        states = [_forbid_numpy(patches), _forbid_python(patches)]
        if "torch" in sys.modules:
            states.append(_forbid_torch(patches))
        before = [state() for state in states]
        yield
        after = [state() for state in states]
    for name, first, last in zip(("numpy.random", "random", "torch"), before, after, strict=False):
        if first != last:
            raise GlobalGeneratorUsed(f"the global generator of {name} has another state than before")


class _Forbidden:
    """A stand-in for a generator, whose every attribute raises."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_forbidden_name", name)

    def __getattribute__(self, attribute: str) -> NoReturn:
        name = object.__getattribute__(self, "_forbidden_name")
        raise GlobalGeneratorUsed(f"{name}.{attribute} uses a global random generator")


def _raiser(name: str) -> Callable[..., NoReturn]:
    """Return a function that raises and names the function in whose place it is."""

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise GlobalGeneratorUsed(f"{name} uses a global random generator")

    return refuse


def _needs_generator(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the function with a check that it is given a generator, or draws nothing because it is on "meta"."""
    torch: Any = sys.modules["torch"]

    def checked(*args: Any, **kwargs: Any) -> Any:
        tensor = next((one for one in args if isinstance(one, torch.Tensor)), None)
        device = kwargs.get("device") or (torch.get_default_device() if tensor is None else tensor.device)
        if kwargs.get("generator") is None and torch.device(device).type != "meta":
            raise GlobalGeneratorUsed(f"{name} without generator= uses torch's default generator")
        return function(*args, **kwargs)

    return checked


def _seeded(default_rng: Callable[..., np.random.Generator]) -> Callable[..., np.random.Generator]:
    """Return numpy's function with a check that it is given a seed."""

    def checked(seed: Any = None) -> np.random.Generator:
        if seed is None:
            raise GlobalGeneratorUsed("numpy.random.default_rng without a seed takes one from the operating system")
        return default_rng(seed)

    return checked


def _forbid_methods(patches: ExitStack, module: ModuleType, generator: object) -> None:
    """Replace the functions of a module that are methods of a generator."""
    for name, function in list(vars(module).items()):
        if getattr(function, "__self__", None) is generator:
            patches.enter_context(patch.object(module, name, _raiser(f"{module.__name__}.{name}")))


def _forbid_numpy(patches: ExitStack) -> Callable[[], str]:
    """Forbid numpy's generators that no seed was given to, and return a function that reads the hidden state."""
    hidden: Any = np.random.mtrand._rand
    for module in (np.random, np.random.mtrand):
        _forbid_methods(patches, module, hidden)
        for name in NUMPY_FUNCTIONS:
            patches.enter_context(patch.object(module, name, _raiser(f"numpy.random.{name}")))
    patches.enter_context(patch.object(np.random.mtrand, "_rand", _Forbidden("numpy.random.mtrand._rand")))
    patches.enter_context(patch.object(np.random, "default_rng", _seeded(np.random.default_rng)))
    return lambda: str(hidden.get_state())


def _forbid_python(patches: ExitStack) -> Callable[[], object]:
    """Forbid the generator of `random`, and return a function that reads its state."""
    hidden: random.Random = random._inst
    _forbid_methods(patches, random, hidden)
    patches.enter_context(patch.object(random, "_inst", _Forbidden("random")))
    return hidden.getstate


def _forbid_torch(patches: ExitStack) -> Callable[[], object]:
    """Forbid torch's default generator on the CPU, and return a function that reads its state."""
    torch: Any = sys.modules["torch"]
    hidden = torch.default_generator
    for name in TORCH_FUNCTIONS:
        patches.enter_context(patch.object(torch, name, _needs_generator(getattr(torch, name), f"torch.{name}")))
    for name in TORCH_METHODS:
        checked = _needs_generator(getattr(torch.Tensor, name), f"torch.Tensor.{name}")
        patches.enter_context(patch.object(torch.Tensor, name, checked))
    for name in TORCH_DEFAULT:
        patches.enter_context(patch.object(torch, name, _raiser(f"torch.{name}")))
    for module in (torch, torch.random):
        patches.enter_context(patch.object(module, "default_generator", _Forbidden("torch.default_generator")))
    return lambda: hidden.get_state().tolist()
