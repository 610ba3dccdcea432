"""Torch devices, deterministic arithmetic and seeded global generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from nasctl.errors import NasctlError


def usable_device(name: str) -> torch.device:
    """Return the torch device of a name such as "cpu" or "cuda:0".

    Raises:
        NasctlError: torch cannot use the device on this machine.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        usable = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise NasctlError(
            f"torch cannot use {name!r} here ({first}); give --torch-device {' or '.join(usable)}"
        ) from None
    return device


@contextmanager
def deterministic_torch(threads: int) -> Iterator[None]:
    """Make torch use `threads` CPU threads, and on a GPU float32 without TF32 and deterministic kernels.

    The former state returns afterwards.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed the global random generators of Python, NumPy and torch, and restore their states afterwards.

    Nasctl draws from none of them, but a plug-in may, or a layer such as dropout. Without this, a value would depend on
    the values that were measured before it. States of GPU generators are not restored.
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
