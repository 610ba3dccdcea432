"""Published networks of a search space, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from nasctl import registry
from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome, HasReferences, Reference, SearchSpace


def references(space: SearchSpace) -> dict[str, Reference]:
    """Return the published networks of a space by name, with canonical genomes; none if the space names none."""
    if not isinstance(space, HasReferences):
        return {}
    return {name: replace(one, genome=space.canonical(one.genome)) for name, one in space.references.items()}


def reference_names(space: SearchSpace) -> dict[Genome, str]:
    """Return the names of the published networks of a space by canonical genome."""
    return {one.genome: name for name, one in references(space).items()}


def visited_references(space: SearchSpace, visited: Iterable[Evaluation]) -> dict[str, Evaluation]:
    """Return the evaluations of the published networks among those of a run, by name."""
    names = reference_names(space)
    return {names[one.genome]: one for one in visited if one.genome in names}


def named_reference(text: str, space: SearchSpace) -> str | None:
    """Return the name of the published network of a space that a user names; None if there is none.

    Upper and lower case are alike, and so are names with hyphens, with underscores and with neither.
    """
    return next((name for name in references(space) if _plain(name) == _plain(text)), None)


def find_reference(text: str, spec: str | None = None) -> tuple[str, str] | None:
    """Return the spec of the space and the name of a published network that a user names; None if there is none.

    A name that begins with the name of a space, such as "attentivenas-a0", is looked up there alone, and any other one
    in all spaces with their default options.

    Args:
        text: The name, spelled as `named_reference` takes it.
        spec: The space; None to look for it.

    Raises:
        NasctlError: Several spaces have a network of that name.
    """
    own = spec or _own_space(text)
    if own is not None:
        name = named_reference(text, registry.create("spaces", own))
        return (own, name) if name else None
    found = _index().get(_plain(text), ())
    if len(found) > 1:
        spaces = [space for space, _ in found]
        raise NasctlError(
            f"{text!r} is a reference network of {' and '.join(spaces)}; say which with --space {spaces[0]}"
        )
    return found[0] if found else None


def _own_space(text: str) -> str | None:
    """Return the space whose name a text with a hyphen begins with; None if there is none."""
    head, dash, _ = text.lower().partition("-")
    try:
        return registry.known("spaces", head.partition(".")[0]) if dash else None
    except UnknownName:
        return None


@cache  # makes every space, which takes a while
def _index() -> dict[str, list[tuple[str, str]]]:
    """Return the spaces and names of all published networks by plain name."""
    index: dict[str, list[tuple[str, str]]] = {}
    for space in registry.trusted("spaces"):
        if registry.optional("spaces", space):
            for name in references(registry.create("spaces", space)):
                index.setdefault(_plain(name), []).append((space, name))
    return index


def _plain(name: str) -> str:
    """Return a name as comparisons read it: "mobilenetv3large" for "MobileNetV3_Large"."""
    return "".join(one for one in name.lower() if one not in "-_ ")
