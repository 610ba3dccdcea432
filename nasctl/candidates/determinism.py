"""Torch devices, deterministic arithmetic and seeded global generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from nasctl.errors import NasctlError


def usable_device(name: str) -> torch.device:
    """The device of a name such as "cpu" or "cuda:0".

    Raises:
        NasctlError: torch has no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise NasctlError(f"torch cannot use {name!r} here ({first}); give --torch-device cpu or cuda:0") from None
    return device


@contextmanager
def deterministic_torch(threads: int) -> Iterator[None]:
    """Let torch use so many threads, and on a GPU whole single precision and repeatable sums; put it all back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Begin the generators that everybody shares at a seed, and put them back.

    Nothing here draws from them, but a plug-in may, or a layer such as dropout: no value is to depend on what was
    measured before it.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
