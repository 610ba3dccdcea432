"""The members that a plug-in of each kind must have, and the values that members of objectives may have.

The classes of nasctl's own plug-ins are checked by mypy. A class of a user's file or of another distribution is checked
when it is made, so that one message names everything that is missing or wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from nasctl.errors import BadOption

MEMBERS: Mapping[str, tuple[str, ...]] = {
    "spaces": ("input", "genes", "canonical", "network", "reduced"),
    "objectives": ("unit", "direction", "transform", "needs", "version", "__call__"),
    "searchers": ("ask", "tell"),
}  # names of required members, by kind of plug-in

HINTS = {
    "canonical": "canonical (a method that may return its genome)",
    "reduced": "reduced (a method that may return self)",
}  # members of the least content, by name

PAGES = {
    "spaces": "docs/spaces.md, 'A space of your own'",
    "objectives": "docs/metrics.md, 'A metric of your own'",
    "searchers": "CONTRIBUTING.md, 'Adding a plug-in'",
}  # the page with an example, by kind

WORDS: Mapping[str, tuple[str, ...]] = {
    "direction": ("max", "min"),
    "transform": ("identity", "log10", "-log10(-s)"),
}  # values that members of objectives may have

NEEDS = (
    "network",
    "scored",
    "module",
    "activations",
    "gradients",
    "input_gradients",
    "second_gradients",
    "curvature",
    "saliences",
    "samples",
    "features",
    "attention",
    "attention_gradients",
    "training",
    "trained_weights",
)  # names that `needs` of objectives may have


def check_members(kind: str, name: str, made: Any) -> None:
    """Check that a plug-in has the members of its kind, and that those of an objective have possible values.

    Args:
        kind: Kind of plug-in, such as "objectives".
        name: Its name, for the message.
        made: The plug-in, an instance of its class.

    Raises:
        BadOption: Members are missing or wrong. The message names all of them.
    """
    missing = [member for member in MEMBERS.get(kind, ()) if not _has(made, member)]
    faults = [f"it has no {', '.join(HINTS.get(one, one) for one in missing)}"] if missing else []
    if kind == "objectives":
        faults += [fault for member in MEMBERS[kind] if member not in missing for fault in _faults(member, made)]
    if faults:
        article = "an" if kind[0] in "aeiou" else "a"
        raise BadOption(
            f"Cannot use {name} as {article} {kind.removesuffix('s')}: {'; '.join(faults)}. Write the class as in"
            f" {PAGES[kind]}."
        )


def _has(made: Any, member: str) -> bool:
    """Return whether an object has a member, without computing a property that has one."""
    if member == "__call__":
        return callable(made)
    try:
        inspect.getattr_static(made, member)
    except AttributeError:
        return hasattr(made, member)
    return True


def _faults(member: str, made: Any) -> Iterator[str]:
    """Yield what is wrong with a member of an objective, a clause each."""
    if member == "__call__":
        yield from _call_faults(made)
        return
    value = getattr(made, member)
    if member == "needs":
        yield from _needs_faults(value)
    elif member in WORDS and value not in WORDS[member]:
        *others, last = map(repr, WORDS[member])
        yield f"{member} is {value!r}, and must be {', '.join(others)} or {last}"
    elif not isinstance(value, str):
        yield f"{member} is {value!r}, and must be a text"


def _needs_faults(value: object) -> Iterator[str]:
    if not isinstance(value, (set, frozenset)):
        yield f'needs is {value!r}, and must be a set of names such as frozenset({{"module"}})'
        return
    for wrong in sorted(value - {*NEEDS}, key=str):
        close = get_close_matches(str(wrong), NEEDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(NEEDS)}"
        yield f"needs has {wrong!r}, which no candidate has ({hint})"


def _call_faults(made: Any) -> Iterator[str]:
    try:
        inspect.signature(made).bind(None)
    except TypeError:
        yield "__call__ must take one argument, the candidate"
    except ValueError:  # a callable of another language has no signature
        return
