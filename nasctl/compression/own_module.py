"""Trained modules of users, named as FILE.py:NAME."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor, nn

from nasctl.compression.trained_base import TrainedBase, check_finite
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.space import Input
from nasctl.registry import named_files


@lru_cache(maxsize=8)
def own_module(path: str, state: tuple[tuple[str, int, int], ...]) -> TrainedBase:
    """Return the network of FILE.py:NAME, a module or a function that returns one.

    The file may be one that `nasctl export --format python` wrote, whose constants are read.

    Args:
        path: FILE.py:NAME.
        state: Names, times of change and sizes of the files that the network may follow from; others make another entry
            of the cache.

    Raises:
        NasctlError: The file does not say what its module takes, or its module cannot be used.
    """
    file, _, name = path.rpartition(":")
    with torch.random.fork_rng(devices=[]):  # the file may draw weights before it loads some
        loaded = named_files.current_module(path)
        module = _made(loaded, file, name)
        _check_same(module, _made(loaded, file, name), file, name)
    check_finite(path, {key: one for key, one in module.state_dict().items() if isinstance(one, Tensor)})
    names = vars(loaded)
    module = module.eval()
    size, mean = names.get("SIZE"), tuple(map(float, names.get("MEAN", ())))
    deviation = tuple(map(float, names.get("DEVIATION", ())))
    if not isinstance(size, tuple) or len(size) != 2 or not mean or len(mean) != len(deviation):
        raise NasctlError(
            f"Cannot use {file}: it does not say which images {name} takes. Write SIZE = (height, width), and MEAN and"
            " DEVIATION, with a number for each channel in pixels from 0 to 255, into it."
        )
    shape = (len(mean), *map(int, size))
    network = Network.from_module(module, shape)
    if len(network.out_shape) != 1 or network.output < 0:
        raise NasctlError(f"Cannot make a space of {path}: its module returns no row of logits. Give a classifier.")
    classes = names.get("CLASSES")
    known = tuple(map(str, classes)) if classes else None
    if known is not None and len(known) != network.out_shape[0]:
        raise NasctlError(
            f"Cannot use {file}: CLASSES has {len(known)} names, and {name} {network.out_shape[0]} outputs. Name each"
            " output."
        )
    weights = Network.weights_of_module(module, shape)
    return TrainedBase(path, network, weights, Input(shape), known, mean, deviation)


def _made(loaded: ModuleType, file: str, name: str) -> nn.Module:
    """Return the module of a name in a file, which a function may make."""
    module = vars(loaded).get(name)
    if module is None:
        raise NasctlError(f"Cannot use {file}: it has no {name!r}. Give the name of a module or of a function.")
    if not isinstance(module, nn.Module):
        try:
            module = module()
        except Exception as error:  # the code of a user may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise NasctlError(f"Cannot call {name} of {file}: {reason}. Give a function without arguments.") from error
    if not isinstance(module, nn.Module):
        raise NasctlError(f"Cannot use {name} of {file}: it is a {type(module).__name__}. Give a torch.nn.Module.")
    return module


def _check_same(module: nn.Module, again: nn.Module, file: str, name: str) -> None:
    """Check that a function returns the same weights whenever it is called."""
    states = (module.state_dict(), again.state_dict())
    same = states[0].keys() == states[1].keys() and all(
        _equal(one, states[1][key]) for key, one in states[0].items() if isinstance(one, Tensor)
    )
    if not same:
        raise NasctlError(
            f"Cannot use {name} of {file}: its weights differ from call to call. Load trained weights in it, or seed it"
            " with torch.manual_seed."
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())


__all__ = ["own_module"]
