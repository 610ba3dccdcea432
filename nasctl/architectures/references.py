"""Published networks of a search space, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache

from nasctl import registry
from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome, HasMissingReferences, HasReferences, Reference, SearchSpace
from nasctl.system.wording import listed


def references(space: SearchSpace) -> dict[str, Reference]:
    """Return the published networks of a space by name, with canonical genomes; none if the space names none."""
    return {name: replace(one, genome=space.canonical(one.genome)) for name, one in _as_written(space).items()}


def reference_names(space: SearchSpace) -> dict[Genome, str]:
    """Return the names of the published networks of a space by canonical genome."""
    return {one.genome: name for name, one in references(space).items()}


def missing_references(space: SearchSpace) -> dict[str, str]:
    """Return why a space lacks published networks that users look for in it, by name."""
    return dict(space.missing_references) if isinstance(space, HasMissingReferences) else {}


def spaces_with_references() -> dict[str, int]:
    """Return the number of published networks of each space that has some at its default options."""
    counts = Counter(space for found in _index().values() for space, _ in found)
    return dict(sorted(counts.items()))


def visited_references(space: SearchSpace, visited: Iterable[Evaluation]) -> dict[str, Evaluation]:
    """Return the evaluations of the published networks among those of a run, by name."""
    names = reference_names(space)
    return {names[one.genome]: one for one in visited if one.genome in names}


def differing_references(space: SearchSpace, genomes: Iterable[Genome]) -> list[str]:
    """Return sentences on published networks that a space has with other options than those that are published.

    Args:
        space: The space.
        genomes: Canonical genomes of candidates, of which the published networks are looked at.
    """
    chosen, groups = set(genomes), dict[str, list[str]]()
    for name, one in references(space).items():
        if one.options and one.genome in chosen:
            groups.setdefault(one.options, []).append(name)
    return [
        f"{listed(names)} {'has' if len(names) == 1 else 'have'} {options} here" for options, names in groups.items()
    ]


def named_reference(text: str, space: SearchSpace) -> str | None:
    """Return the name of the published network of a space that a user names; None if there is none.

    Upper and lower case are alike, and so are names with hyphens, with underscores and with neither.
    """
    return next((name for name in _as_written(space) if _plain(name) == _plain(text)), None)


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
    head, dash, _ = text.lower().partition("-")
    own = spec or (_own_space(head.partition(".")[0]) if dash else None)
    if own is not None:
        name = _names(own).get(_plain(text))
        return (own, name) if name else None
    found = _index().get(_plain(text), ())
    if len(found) > 1:
        spaces = [space for space, _ in found]
        raise NasctlError(
            f"{text!r} is a reference network of {' and '.join(spaces)}; say which with --space {spaces[0]}"
        )
    return found[0] if found else None


@lru_cache(maxsize=64)  # finding plug-ins by name takes milliseconds, and files list thousands of ids
def _own_space(head: str) -> str | None:
    """Return the space of that name; None if there is none, or if it cannot do without options."""
    try:
        name = registry.known("spaces", head)
    except UnknownName:
        return None
    return name if registry.optional("spaces", name) else None


@lru_cache(maxsize=64)
def _names(spec: str) -> dict[str, str]:
    """Return the names of the published networks of a space by plain name."""
    return {_plain(name): name for name in _as_written(registry.create("spaces", spec))}


def _as_written(space: SearchSpace) -> Mapping[str, Reference]:
    """Return the published networks by name, without making their genomes canonical, which takes a while on cells."""
    return space.references if isinstance(space, HasReferences) else {}


@cache  # makes every space, which takes a while
def _index() -> dict[str, list[tuple[str, str]]]:
    """Return the spaces and names of all published networks by plain name."""
    index: dict[str, list[tuple[str, str]]] = {}
    for space in registry.names_without_options("spaces"):
        for plain, name in _names(space).items():
            index.setdefault(plain, []).append((space, name))
    return index


def _plain(name: str) -> str:
    """Return a name as comparisons read it: "mobilenetv3large" for "MobileNetV3_Large"."""
    return "".join(one for one in name.lower() if one not in "-_ ")
