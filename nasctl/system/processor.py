"""The processor of this machine: its name and its vector instructions."""

from __future__ import annotations

import platform
import re
from pathlib import Path


def processor_name() -> str:
    """Return the name of the processor as the operating system reports it."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
