"""The processor of this machine: its name and its vector instructions."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

# Flags of Linux that torch asks for, by its name of the instruction set, the widest first: `DispatchStub.cpp` of torch.
INSTRUCTIONS = {"AVX512": {"avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"}, "AVX2": {"avx2", "fma"}}


def processor_name() -> str:
    """Return the name of the processor as the operating system reports it."""
    return _fact("model name") or platform.processor() or platform.machine()


def host_processor() -> str:
    """Return the processor and its instruction set by torch's name, such as "AMD EPYC 7763 (AVX2)".

    The instruction set follows from the flags of Linux on x86, because importing torch takes seconds.
    """
    flags = set(_fact("flags").split())
    found = next((name for name, needed in INSTRUCTIONS.items() if needed <= flags), "")
    if found and "ATEN_CPU_CAPABILITY" not in os.environ:
        return f"{processor_name()} ({found})"
    import torch

    return f"{processor_name()} ({torch.backends.cpu.get_cpu_capability()})"


def _fact(name: str) -> str:
    """Return the first line of a name in Linux's description of the processors, or ""."""
    try:
        found = re.search(rf"^{name}\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else ""
