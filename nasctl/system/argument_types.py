"""Checks of the arguments of the library's functions, with errors that name the argument and its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from nasctl.errors import NasctlError

LONGEST = 60  # characters of a value that a message shows

# Words for types, without an article where a type stands for several values.
NOUNS: Mapping[Any, str] = {
    bool: "True or False",
    float: "a number",
    int: "a whole number",
    str: "a text",
    NoneType: "None",
}


def check_arguments(what: str, function: Callable[..., object], given: Mapping[str, object]) -> None:
    """Check that arguments have the annotated types of a function or of the fields of a class.

    A list is accepted where a tuple is annotated, a whole number where a number is, and numpy's numbers where Python's
    are. Text is no sequence of texts, although Python takes it for one.

    Args:
        what: The action that fails, such as "search", which follows "Cannot".
        function: The function, or a dataclass, whose annotations hold.
        given: Arguments by name.

    Raises:
        NasctlError: An argument has another type.
    """
    for name, hint in _hints(function).items():
        if name in given and not _fits(given[name], hint):
            value, kind = repr(given[name]), type(given[name]).__name__
            short = value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}..."
            raise NasctlError(f"Cannot {what}: {name} is {short}, of type {kind}. Give {_noun(hint)}.")


def check_least(what: str, least: float, **given: float | None) -> None:
    """Check that numbers are not below a bound; None stands for no number.

    Raises:
        NasctlError: A number is below the bound, or is no number (NaN).
    """
    for name, value in given.items():
        if value is not None and not value >= least:
            raise NasctlError(f"Cannot {what}: {name} is {value}. Give {least:g} or more.")


@lru_cache
def _hints(function: Callable[..., object]) -> dict[str, Any]:
    """Return the annotations of arguments or fields by name.

    The annotation of what a function returns is not resolved: it may be a type that only type checkers import.
    """
    if isinstance(function, type):
        return get_type_hints(function)
    arguments = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    return get_type_hints(type("Arguments", (), {"__annotations__": arguments, "__module__": function.__module__}))


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value has an annotated type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple or origin is Sequence:
        return isinstance(value, (list, tuple)) and all(_fits(one, inner[0]) for one in value)
    if origin is not None:
        return isinstance(value, origin)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return isinstance(value, hint)


def _noun(hint: Any) -> str:
    """Return words for an annotated type, such as "a text or a list of texts"."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        # The names of the members are in the order of the annotation; None comes last.
        return " or ".join(_noun(one) for one in sorted(inner, key=lambda one: one is NoneType))
    if origin is tuple or origin is Sequence:
        return f"a list of {_noun(inner[0]).removeprefix('a ')}s"
    if hint in NOUNS:
        return NOUNS[hint]
    name = getattr(origin or hint, "__name__", str(hint))
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}" if name != "Path" else "a path"
