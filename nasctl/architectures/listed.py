"""Architectures as users list them: ids, genomes, files of these, and JSON exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nasctl import registry
from nasctl.architectures import ids
from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, validate
from nasctl.store.store import Store
from nasctl.system import files

LIMIT = 1 << 26  # maximum size of a file in bytes


def resolve_all(texts: Sequence[str], store: Store, spec: str | None = None) -> list[tuple[str, Genome]]:
    """Return the spec of the space and the canonical genome of each architecture, without repetitions.

    Args:
        texts: Ids, beginnings of ids and genomes as `ids.resolve` takes them, or files. A file holds one of these per
            line, a JSON list of them, or what `nasctl export --format json` writes.
        store: The store that knows the options of ids.
        spec: The space of genomes; None if every text names its space.

    Raises:
        NasctlError: A text names no architecture, or a file cannot be read.
    """
    found: dict[tuple[str, Genome], None] = {}
    for text in texts:
        for space, genome in _resolved(text, store, spec):
            found[space, registry.create("spaces", space).canonical(genome)] = None
    return list(found)


def _resolved(text: str, store: Store, spec: str | None) -> Iterator[tuple[str, Genome]]:
    """Yield the architectures of a text, or of the file of that name."""
    if not _is_file(text):
        yield ids.resolve(text, store, spec)
        return
    try:
        content = files.read(text, LIMIT).decode("utf-8-sig")
    except OSError as error:
        raise NasctlError(f"the architectures of {text} cannot be read ({error.strerror}); give another file") from None
    except UnicodeDecodeError:
        raise NasctlError(
            f"{text} is no text file; give a file of ids, genomes, or of nasctl export --format json"
        ) from None
    items = _items(content)
    if not items:
        raise NasctlError(f"{text} lists no architecture; write one id or genome per line")
    for number, item in enumerate(items, 1):
        try:
            yield _one(item, store, spec)
        except NasctlError as error:
            raise NasctlError(f"entry {number} of {text}: {error}") from None


def _is_file(text: str) -> bool:
    """Return whether a text is meant as a file: it has the suffix of one, or a file of that name exists."""
    try:
        return Path(text).suffix in (".json", ".txt", ".csv") or Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def _items(content: str) -> list[Any]:
    """Return the entries of a file: of a JSON list, one JSON object, or the lines."""
    if content.lstrip().startswith(("{", "[")):
        try:
            parsed = files.parsed(content)
        except ValueError:  # lines that begin with a bracket, such as "[0, 3, 1]"
            pass
        else:
            of_genes = isinstance(parsed, list) and all(isinstance(one, int) for one in parsed)
            return [parsed] if of_genes or isinstance(parsed, dict) else list(parsed)
    return [line.strip() for line in content.splitlines() if line.strip()]


def _one(item: Any, store: Store, spec: str | None) -> tuple[str, Genome]:
    """Return the architecture of an entry.

    Raises:
        NasctlError: The entry is none.
    """
    if isinstance(item, dict):
        space, genes = item.get("space", spec), item.get("genome")
        if isinstance(space, str) and isinstance(genes, list) and all(type(one) is int for one in genes):
            validate(registry.create("spaces", space).genes, tuple(genes))
            return space, tuple(genes)
        raise NasctlError('an object needs "space" and "genome", as nasctl export --format json writes them')
    if isinstance(item, list) and item and all(type(one) is int for one in item):
        item = ",".join(map(str, item))
    if not isinstance(item, str):
        raise NasctlError(f"{str(item)[:60]} is neither an id nor a genome")
    return ids.resolve(item, store, spec)
