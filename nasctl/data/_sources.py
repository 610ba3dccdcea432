"""Data by the name or path that a user types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nasctl import registry
from nasctl.data._protocols import Data, DataFormat, DataPlugin, Kind, TokenData
from nasctl.data.dead_leaves import DeadLeaves
from nasctl.data.text_folder import TextFolder
from nasctl.data.tokens import DrawnTokens
from nasctl.errors import NasctlError, UnknownName


def source(name: str) -> Data:
    """Return the data that a user names.

    Args:
        name: The name of a data plug-in, with options if it takes any (`dead-leaves`, `noise`, `tokens`); or the path
            of a file or folder; or FORMAT:PATH, to read a path in a format that does not claim it, or that may run
            only where it is named. A name of nasctl's own comes before a path, and a path before all other names.

    Raises:
        NasctlError: No data has that name, or the path holds nothing that can be read.
    """
    if (own := _own(name)) is not None:
        return own()
    path = Path(name).expanduser()
    if path.exists():
        return _read(path)
    found = _named(name)
    if found is None:
        raise NasctlError(
            f"no data is called {name!r}; give {_choices('images')}; or, for a space of text, {_choices('tokens')}"
        )
    return found


def is_path(name: str) -> bool:
    """Return whether a user names data by the path of a file or folder, also as FORMAT:PATH."""
    head, _, rest = name.partition(":")
    if _own(name) is not None:
        return False
    if Path(name).expanduser().exists():
        return True
    return bool(rest) and head in registry.available("data") and isinstance(registry.load("data", head), DataFormat)


def default_source(kind: Kind) -> Data:
    """Return the default data of a space that takes "images" or "tokens"."""
    return DrawnTokens() if kind == "tokens" else DeadLeaves()


def check(data: Data, kind: Kind) -> None:
    """Check that data suits a space that takes "images" or "tokens".

    Raises:
        NasctlError: The data is of the other kind.
    """
    if isinstance(data, TextFolder) and kind == "images":
        raise NasctlError(
            f"Cannot use {data.name!r}: there are no images in it, only texts, and this space takes images. Give a"
            f" folder with a folder of images for each class, such as {data.name}/cat/1.jpg and {data.name}/dog/2.jpg."
        )
    if isinstance(data, TokenData) != (kind == "tokens"):
        other = "words" if isinstance(data, TokenData) else "images"
        raise NasctlError(f"{data} is data of {other}, and this space takes {kind}; give {_choices(kind)} with --data")


def _own(name: str) -> Callable[[], Data] | None:
    """Return nasctl's own plug-in of a name; None if there is none, or if it reads files."""
    plugin = registry.available("data").get(name.replace("-", "_"))
    own: Any = plugin.load() if plugin is not None and plugin.point is None else None
    return None if isinstance(own, DataFormat) else own


def _named(spec: str) -> Data | None:
    """Return the data of a spec, NAME:key=value,... or FORMAT:PATH; None if there is none."""
    head, _, rest = spec.partition(":")
    try:
        plugin = registry.load("data", head)
    except UnknownName:
        return None
    if not isinstance(plugin, DataFormat):
        made: Data = registry.create("data", spec)
        return made
    path = Path(rest).expanduser()
    return plugin.at(path) if rest and path.exists() else None


def _read(path: Path) -> Data:
    """Return the data at an existing path, read by the first format that claims the path."""
    formats = _formats()
    try:
        found = next((one for one in formats if one.claims(path)), None)
    except OSError as error:
        raise NasctlError(f"{path} cannot be read: {error}") from None
    if found is None:
        raise NasctlError(f"{path} is of no kind that can be read; give {_paths(formats)}")
    return found.at(path)


def _plugins() -> dict[str, DataPlugin]:
    """Return the data plug-ins that may run unnamed, by name."""
    return {name: registry.load("data", name) for name in registry.trusted("data")}


def _formats() -> list[DataFormat]:
    """Return the formats in the order in which they are asked for a path."""
    return sorted((one for one in _plugins().values() if isinstance(one, DataFormat)), key=lambda one: one.generic)


def _choices(kind: Kind) -> str:
    """Return the names and paths that a user may give for a space of a kind, as the end of a sentence."""
    suited = {name: one for name, one in _plugins().items() if one.kind == kind}
    drawn = [name.replace("_", "-") for name, one in suited.items() if not isinstance(one, DataFormat)]
    return ", ".join([*drawn, f"or the path of {_paths(one for one in _formats() if one.kind == kind)}"])


def _paths(formats: Iterable[DataFormat]) -> str:
    """Return the paths that formats accept, as "a", "a or b", or "a, b, or c"; generic formats come first."""
    choices = [one.accepted for one in sorted(formats, key=lambda one: not one.generic)]
    return " or ".join(choices) if len(choices) < 3 else f"{', '.join(choices[:-1])}, or {choices[-1]}"
