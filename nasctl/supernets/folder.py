"""The place of supernets: a folder beside the store, with a folder for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nasctl.errors import NasctlError, UnknownName
from nasctl.training.folder import CURRENT_STORE


def supernets_folder(store: Path | str) -> Path:
    """Return the folder of all supernets of a store: `nasctl-supernets` beside `nasctl.db`."""
    return Path(store).with_name(f"{Path(store).stem}-supernets")


def supernet_names(store: Path | str) -> list[str]:
    """Return the names of the supernets beside a store that are trained to the end, sorted."""
    return sorted(path.parent.name for path in supernets_folder(store).glob("*/weights.safetensors"))


def begun_name(name: str, names: Sequence[str]) -> str | None:
    """Return a name, or the only one of several that begins as it does; None if none or several do."""
    if name in names:
        return name
    begun = [one for one in names if name and one.startswith(name)]
    return begun[0] if len(begun) == 1 else None


def weights_of(name: str, store: Path | str | None = None) -> Path:
    """Return the file of a trained supernet.

    Args:
        name: Its name, the only beginning of a name among the trained ones, or the path of its file or folder.
        store: Path of the store; that of the running command if None.

    Raises:
        UnknownName: There is no such supernet, or its training has not ended.
        NasctlError: Several names begin so.
    """
    path = Path(name)
    if path.suffix == ".safetensors" and path.is_file():
        return path.absolute()
    store = CURRENT_STORE.get() if store is None else store
    for folder in (path, supernets_folder(store) / name):
        if (folder / "weights.safetensors").is_file():
            return (folder / "weights.safetensors").absolute()
    names = supernet_names(store)
    if (whole := begun_name(name, names)) is not None:
        return (supernets_folder(store) / whole / "weights.safetensors").absolute()
    if begun := [one for one in names if name and one.startswith(name)]:
        raise NasctlError(f"several supernets begin with {name!r}: {', '.join(begun)}; write more of the name")
    raise UnknownName("supernet", name, names)


__all__ = ["CURRENT_STORE", "begun_name", "supernet_names", "supernets_folder", "weights_of"]
