"""Search spaces in files of users: their networks are kept, and an error tells which candidate it is about.

A search asks for the network of a genome many times: each range, check and objective has a candidate of its own. A
network that is traced from a module takes milliseconds to seconds, unlike those of nasctl's own spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, wraps
from pathlib import Path
from traceback import walk_tb
from types import FunctionType, ModuleType
from typing import Any

from nasctl.errors import InvalidGenome, NasctlError

NAMED_FILES = f"{__package__}.named_files"  # the package of the modules of all files that users name

MEMBERS = ("canonical", "reduced")  # methods that a class with a method `network` has beside it if it is a space
KEPT = 256  # networks that are kept; one takes about 6 kB for each layer
NOTE = "network of genome "  # begins the note on an error

Build = Callable[[Any, Any], Any]  # a method `network`: takes the space and a genome


class BrokenNetwork(NasctlError):
    """A network of a user's space that cannot be built. The message names the genome, its choices and the line."""


def keep_networks(module: ModuleType) -> None:
    """Replace the methods `network` of a user's module by ones that keep networks and name candidates in errors.

    Args:
        module: The module, whose classes with the methods of a search space are changed.
    """
    for one in list(vars(module).values()):
        if not isinstance(one, type) or one.__module__ != module.__name__:
            continue
        build = vars(one).get("network")
        if isinstance(build, FunctionType) and all(callable(getattr(one, name, None)) for name in MEMBERS):
            one.network = _keeping(build)  # type: ignore[attr-defined]


def place_of(failure: BaseException) -> str:
    """Return the last line of a user's file that an exception or its cause has passed, such as "own.py, line 12"."""
    found = ""
    for one in (failure, failure.__cause__):
        for frame, line in walk_tb(one.__traceback__ if one else None):
            if str(frame.f_globals.get("__name__", "")).startswith(f"{NAMED_FILES}."):
                found = f"{Path(frame.f_code.co_filename).name}, line {line}"
    return found


def candidate_of(failure: BaseException) -> str:
    """Return the note on the candidate whose network an exception is about, with its line; "" if it has none."""
    notes = getattr(failure, "__notes__", ())
    return next((str(note) for note in notes if str(note).startswith(NOTE)), "")


def broken_text(failure: BaseException) -> str:
    """Return the sentence about a network that an exception of a user's code has stopped; "" without a note."""
    if not (note := candidate_of(failure)):
        return ""
    reason = " ".join(f"{type(failure).__name__}: {failure}".split())
    return f"Cannot build the {note}: {reason}. Mend the file, or take the choice out of its gene."


class _Asked:
    """A network that is asked for: equal for spaces of one class with equal attributes.

    Raises:
        TypeError: The space has attributes that cannot be compared by hash.
    """

    def __init__(self, build: Build, space: Any, genome: Sequence[int]) -> None:
        self.build, self.space, self.genome = build, space, genome
        attributes = frozenset((name, type(value), value) for name, value in vars(space).items())
        self._key = (build, type(space), space.input, attributes, tuple(genome))
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._key == other._key


@lru_cache(maxsize=KEPT)
def _kept(asked: _Asked) -> Any:
    """Return a network, which is immutable."""
    return asked.build(asked.space, asked.genome)


def _keeping(build: Build) -> Build:
    """Return a method `network` that keeps networks, and that names the candidate in errors."""

    @wraps(build)
    def network(self: Any, genome: Any) -> Any:
        asked = None
        with suppress(TypeError, AttributeError):  # attributes without a hash, such as lists, or slots
            asked = _Asked(build, self, genome)
        try:
            return build(self, genome) if asked is None else _kept(asked)
        except (InvalidGenome, BrokenNetwork):
            raise
        except NasctlError as failure:
            note = _note(self, genome, failure)
            reason = str(failure).rstrip(".")
            raise BrokenNetwork(
                f"Cannot build the {note}: {reason}. Mend the file, or take the choice out of its gene."
            ) from failure
        except Exception as failure:  # an executor counts the candidate as failed, by the class of the error
            if not candidate_of(failure):
                failure.add_note(_note(self, genome, failure))
            raise

    return network


def _note(space: Any, genome: Any, failure: Exception) -> str:
    """Return the note on a candidate: "network of genome 0,2 (width=8, kernel=7; own.py, line 12)"."""
    facts = []
    with suppress(Exception):  # genes of a user's space may be anything
        chosen = [(gene.name, gene.choices[k]) for gene, k in zip(space.genes, genome, strict=True)]
        facts.append(", ".join(f"{name}={getattr(choice, '__name__', choice)}" for name, choice in chosen))
    facts += filter(None, [place_of(failure)])
    return f"{NOTE}{','.join(map(str, genome))} ({'; '.join(facts)})"
