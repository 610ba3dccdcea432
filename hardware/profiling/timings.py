"""What was measured so far, visit by visit, in a file that a killed run leaves whole."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nasctl.api import NasctlError
from nasctl.hardware.tables_schema import Row

VISITS = 6  # that each thing gets, spread over the whole time
NOISE = 0.05  # of the median, above which its own error is too large,
FLOOR = 0.01  # ms, an error that no network notices


class Timings:
    """Milliseconds that each thing took, a figure a visit; in memory, or in a file of JSON lines too."""

    def __init__(self, path: Path | None = None, setting: Mapping[str, str | int] | None = None) -> None:
        """Read what is there.

        Args:
            path: To go on with, or to begin.
            setting: That the figures hold for; they stand in the first line.

        Raises:
            NasctlError: The file is of another setting, is no such file, or cannot be written.
        """
        self.path = path
        self._ms: defaultdict[str, list[float]] = defaultdict(list)
        if path is not None:
            try:
                text = path.read_text() if path.exists() else ""
                whole = text[: text.rfind("\n") + 1]  # a killed run may leave half a line
                self._read(whole, dict(setting or {}))
                path.write_text(whole or json.dumps(setting) + "\n")
            except UnicodeDecodeError:
                raise NasctlError(f"{path} is not what a profile leaves; add --force to begin anew") from None
            except OSError as error:
                raise NasctlError(f"{path} cannot be used ({error.strerror}); name another file with -o") from None

    def _read(self, text: str, setting: Mapping[str, str | int]) -> None:
        lines = text.splitlines()
        try:
            found = json.loads(lines[0]) if lines else setting
            for line in lines[1:]:
                for thing, ms in json.loads(line).items():
                    self._ms[thing].append(float(ms))
            wrong = [name for name in setting if found.get(name) != setting[name]]
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise NasctlError(f"{self.path} is not what a profile leaves; add --force to begin anew") from None
        if wrong:
            ours, theirs = setting[wrong[0]], found.get(wrong[0])
            raise NasctlError(
                f"{self.path} has the {wrong[0]} {theirs!r}, not {ours!r}; name another file with -o, or add --force"
            )

    def add(self, found: Mapping[str, float]) -> None:
        """Note one visit of each of some things.

        Raises:
            NasctlError: The file cannot be written.
        """
        if self.path is not None:
            try:
                with self.path.open("a") as file:
                    file.write(json.dumps(found) + "\n")
            except OSError as error:
                raise NasctlError(
                    f"{self.path} cannot be written ({error.strerror}); make room and type the same command again"
                ) from None
        for thing, ms in found.items():
            self._ms[thing].append(ms)

    def number(self, thing: str) -> int:
        """How many there were."""
        return len(self._ms[thing])

    def row(self, thing: str) -> Row | None:
        """Median and interquartile range over the visits; None while that is not known well enough.

        The interquartile range over the square root of the number of visits, which for normal noise is about the
        standard error of the median, must not exceed `NOISE` of the median, nor `FLOOR` where that is more.
        """
        ms = self._ms[thing]
        if len(ms) < VISITS:
            return None
        low, median, high = np.percentile(ms, [25, 50, 75])
        if high - low > max(NOISE * median, FLOOR) * len(ms) ** 0.5:
            return None
        return Row(round(float(median), 6), round(float(high - low), 6), len(ms))

    def noisy(self, thing: str) -> bool:
        """Whether there were enough visits, had they agreed."""
        return self.number(thing) >= VISITS and self.row(thing) is None
