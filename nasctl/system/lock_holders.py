"""Processes that hold a `flock` on a file, as Linux lists them in /proc/locks; other systems list none."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST_COMMAND = 100  # characters of a command line that are shown
SHOWN = 3  # processes that are named


def lock_holders(path: Path) -> list[int]:
    """Return the ids of the processes that hold a lock on a file, sorted, without children of other holders.

    The list is empty if the system does not say, as where it numbers file systems in another way than the file itself.
    """
    try:
        about = path.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    file = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    rows = [line.split() for line in lines if "->" not in line]  # an arrow marks a process that waits
    pids = {int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] == file}
    return sorted(pid for pid in pids if pid > 0 and _parent(pid) not in pids)


def processes_text(pids: list[int]) -> str:
    """Return the processes with their command lines: "process 12 (nasctl search nb201)"; "" for none."""
    texts = [f"process {pid}{f' ({command})' if (command := _command(pid)) else ''}" for pid in pids[:SHOWN]]
    more = [f"{len(pids) - SHOWN} more"] if len(pids) > SHOWN else []
    return ", ".join([*texts, *more])


def _command(pid: int) -> str:
    """Return the command line of a process from the word `nasctl` on, cut if it is long; "" if it is not known."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return ""
    names = [word.rpartition("/")[2] for word in words]
    if "nasctl" in names:
        words = ["nasctl", *words[names.index("nasctl") + 1 :]]
    text = " ".join(" ".join(words).split())
    return text if len(text) <= LONGEST_COMMAND else f"{text[:LONGEST_COMMAND]}..."


def _parent(pid: int) -> int:
    """Return the id of the parent of a process; 0 if it is not known."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
