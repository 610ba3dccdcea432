"""The machine that values are measured on, as far as the last digits of floating-point values depend on it."""

from __future__ import annotations

import os
from functools import cache

import numpy as np

from nasctl.candidates.objective import closed_form
from nasctl.evaluation.task import Task
from nasctl.system.processor import processor_name


def machine_of(task: Task) -> str:
    """Return processor, instruction set and threads, such as "AMD EPYC 7763 (AVX2, torch threads 1, numpy threads 1)".

    The instruction set is torch's where a metric of the task needs a module. Otherwise it is numpy's, because importing
    torch takes seconds. A GPU that this process can use comes before the processor.
    """
    if all(map(closed_form, task.metrics.values())):
        return _machine_of_numpy()
    return _machine_of_torch(task.setting.device, task.setting.threads)


def _machine_of_numpy() -> str:
    return f"{processor_name()} ({_numpy_instructions()}, {_numpy_threads()})"


def _machine_of_torch(device: str, threads: int) -> str:
    import torch

    name = processor_name()
    if device.startswith("cuda") and torch.cuda.is_available():  # workers may be on a machine that has one
        name = f"{torch.cuda.get_device_name(device)}, {name}"
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}, torch threads {threads}, {_numpy_threads()})"


# The machine of this process, for arithmetic on networks, and for modules on a torch device with a number of threads.
arithmetic_machine = cache(_machine_of_numpy)
module_machine = cache(_machine_of_torch)


def _numpy_threads() -> str:
    return f"numpy threads {os.environ.get('OPENBLAS_NUM_THREADS') or os.cpu_count()}"


def _numpy_instructions() -> str:
    """Return the widest group of vector instructions that numpy uses on this processor."""
    groups = np.show_config(mode="dicts")["SIMD Extensions"]
    return str((groups.get("found") or groups["baseline"])[-1])
