"""Errors that are the user's to act on; the command line prints them without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


class NasctlError(Exception):
    """Base of every error that nasctl raises on purpose; its message says what to do next."""


class UnknownName(NasctlError):
    """Nothing of that kind has that name."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(known) or 'none'}"
        super().__init__(f"no {kind} is called {name!r}; {hint}")


class BadOption(NasctlError):
    """A plug-in does not take an option that it was given, or not that value."""


class InvalidGenome(NasctlError):
    """A genome that its space does not have."""


class MissingBlock(NasctlError):
    """A latency table has no row for a block."""

    def __init__(self, device: str, key: str) -> None:
        super().__init__(
            f"device {device!r} has no row for {key!r}, and nothing that its operators could be estimated from;"
            " measure the space with `nasctl device profile`, or choose another device"
        )


class RunChanged(NasctlError):
    """A run, replayed, left the path it took before: the code or a library has changed in between."""


class RenamedWarning(FutureWarning):
    """An old name was used for something that now has another one; the message gives the new name."""


def without_traceback(failure: Exception) -> Exception:
    """The same error without its traceback, which would keep alive all that was at hand when it was raised."""
    try:
        return type(failure)(str(failure))
    except TypeError:  # a class that wants more than a message
        return RuntimeError(str(failure))
