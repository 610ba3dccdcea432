"""Errors that users can act on, which the command line prints without a traceback, and the warning about old names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

OFFERED = 3  # largest number of names of devices that a message offers
STEM = 3  # least number of letters before the first digit or sign by which a name of a device is offered
MAKE_TABLE = (
    "To make a table: `nasctl device profile` measures this machine, `nasctl device kit` another device, and"
    " `nasctl device adapt` needs five timed networks"
)


class NasctlError(Exception):
    """Base class of the errors that nasctl raises on purpose. The message is one line that names a remedy."""


class UnknownName(NasctlError):
    """A name that nothing of its kind has.

    Args:
        kind: Kind of thing, such as "space", for the message.
        name: The unknown name.
        known: Names that exist; the nearest is offered.
    """

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        close = get_close_matches(name, known, n=1)
        listed = f"there is: {', '.join(known)}" if known else "there is none"
        hint = f"did you mean {close[0]!r}?" if close else listed
        super().__init__(f"no {kind} is called {name!r}; {hint}")


class UnknownDevice(UnknownName):
    """A device without a latency table.

    Args:
        name: The unknown name.
        known: Names of devices that exist; the nearest are offered, or the file of the name with ".json" alone.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        lower = {one.lower(): one for one in known}
        stem = re.split(r"[^a-z]", name.lower())[0]
        begun = [one for one in lower if len(stem) >= STEM and one.startswith(stem)]
        alike = get_close_matches(name.lower(), lower, n=OFFERED)
        near = [repr(lower[one]) for one in dict.fromkeys([*alike, *begun])][:OFFERED]
        if (file := f"{name}.json") in known:
            near = [repr(file)]
        last = " or ".join([", ".join(near[:-1])] * (len(near) > 1) + near[-1:])
        hint = f"did you mean {last}?" if near else "`nasctl device list --all` names all."
        NasctlError.__init__(self, f"no device is called {name!r}; {hint} {MAKE_TABLE}")


class BadOption(NasctlError):
    """An option, or a value of an option, that a plug-in does not take."""


class InvalidGenome(NasctlError):
    """A genome that is not in its search space."""


class AmbiguousGenome(InvalidGenome):
    """A list of numbers that two programs read as two different architectures."""


class MissingBlock(NasctlError):
    """A block that a latency table has no row for.

    Args:
        device: Name of the table's device.
        key: Key of the block.
    """

    def __init__(self, device: str, key: str) -> None:
        super().__init__(
            f"device {device!r} has no row for {key!r}, and nothing that its operators could be estimated from;"
            " measure the space with `nasctl device profile`, or choose another device"
        )


class RunChanged(NasctlError):
    """A replayed run that left its former path, because the code or a library has changed since."""


class RenamedWarning(FutureWarning):
    """The use of an old name. The message gives the new name."""


def without_traceback(failure: Exception) -> Exception:
    """Return a copy of an error without its traceback, which keeps the local variables of every frame alive."""
    try:
        copied = type(failure)(str(failure))
    except TypeError:  # the class takes more than a message
        copied = RuntimeError(str(failure))
    for note in getattr(failure, "__notes__", ()):
        copied.add_note(note)
    return copied
