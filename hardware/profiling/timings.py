"""Repeated timings of blocks and networks, kept in a file so that a stopped profile resumes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nasctl.api import NasctlError
from nasctl.hardware.tables_schema import Row
from nasctl.system.files import write

VISITS = 6  # timings that each block or network needs, spread over the whole profile
MAX_RELATIVE_ERROR = 0.05  # largest error of a median, as a share of that median
NEGLIGIBLE_ERROR = 0.01  # ms; an error of a median up to this size is always accepted


class Timings:
    """Latencies in ms by the name of a block or network, one per visit, in memory and optionally in a file.

    The file has JSON lines: the setting first, then an object of names and ms per visit. Lines are only appended, so
    an interrupted append costs at most the line that was being written.
    """

    def __init__(self, path: Path | None = None, setting: Mapping[str, str | int] | None = None) -> None:
        """Read the timings that the file already holds, or create the file.

        Args:
            path: File to resume or create; None keeps the timings in memory only.
            setting: Setting that the timings hold for, stored in the first line.

        Raises:
            NasctlError: The file has another setting, is not a file of timings, or cannot be read or written.
        """
        self.path = path
        self._ms: defaultdict[str, list[float]] = defaultdict(list)
        if path is not None:
            self._open(path, dict(setting or {}))

    def _open(self, path: Path, setting: Mapping[str, str | int]) -> None:
        """Read the complete lines of the file, and write it only if it is new or its last line is incomplete."""
        try:
            text = path.read_text() if path.exists() else ""
        except UnicodeDecodeError:
            raise _not_timings(path) from None
        except OSError as error:
            raise NasctlError(f"{path} cannot be used ({error.strerror}); name another file with -o") from None
        complete = text[: text.rfind("\n") + 1]  # An interrupted append leaves an incomplete last line.
        self._parse(path, complete, setting)
        if not complete or complete != text:
            write(path, complete or json.dumps(setting) + "\n", "name another file with -o")

    def _parse(self, path: Path, text: str, setting: Mapping[str, str | int]) -> None:
        lines = text.splitlines()
        try:
            stored = json.loads(lines[0]) if lines else setting
            for line in lines[1:]:
                for name, ms in json.loads(line).items():
                    self._ms[name].append(float(ms))
            differing = [field for field in setting if stored.get(field) != setting[field]]
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise _not_timings(path) from None
        if differing:
            field = differing[0]
            raise NasctlError(
                f"{path} has the {field} {stored.get(field)!r}, not {setting[field]!r}; "
                "name another file with -o, or add --force"
            )

    def add(self, visits: Mapping[str, float]) -> None:
        """Record one visit, in ms, of each of some blocks or networks.

        Raises:
            NasctlError: The file cannot be written.
        """
        if self.path is not None:
            try:
                with self.path.open("a") as file:
                    file.write(json.dumps(visits) + "\n")
            except OSError as error:
                raise NasctlError(
                    f"{self.path} cannot be written ({error.strerror}); make room and type the same command again"
                ) from None
        for name, ms in visits.items():
            self._ms[name].append(ms)

    def number(self, name: str) -> int:
        """Return the number of visits of a block or network."""
        return len(self._ms[name])

    def row(self, name: str, accept_noise: bool = False) -> Row | None:
        """Return median and interquartile range over the visits, or None while the median is too uncertain.

        The error of the median is estimated as the interquartile range over the square root of the number of visits;
        for normal noise this is about its standard error. It must not exceed `MAX_RELATIVE_ERROR` of the median, or
        `NEGLIGIBLE_ERROR` where that is larger.

        Args:
            name: Name of the block or network.
            accept_noise: Return an uncertain median too.
        """
        ms = self._ms[name]
        if len(ms) < VISITS:
            return None
        low, median, high = np.percentile(ms, [25, 50, 75])
        if not accept_noise and high - low > max(MAX_RELATIVE_ERROR * median, NEGLIGIBLE_ERROR) * len(ms) ** 0.5:
            return None
        return Row(round(float(median), 6), round(float(high - low), 6), len(ms))

    def relative_error(self, name: str) -> float:
        """Return the estimated error of the median of a block or network, as a share of the median."""
        row = self.row(name, accept_noise=True)
        return row.iqr / row.ms / row.n**0.5 if row is not None and row.ms else 0.0

    def noisy(self, name: str) -> bool:
        """Return whether there were enough visits, but their median is too uncertain."""
        return self.number(name) >= VISITS and self.row(name) is None


def _not_timings(path: Path) -> NasctlError:
    return NasctlError(f"{path} is not a file of timings; add --force to begin anew")
