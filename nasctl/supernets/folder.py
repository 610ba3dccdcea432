"""The place of supernets: a folder beside the store, with a folder for each."""

from __future__ import annotations

from pathlib import Path

from nasctl.errors import UnknownName
from nasctl.training.folder import CURRENT_STORE


def supernets_folder(store: Path | str) -> Path:
    """Return the folder of all supernets of a store: `nasctl-supernets` beside `nasctl.db`."""
    return Path(store).with_name(f"{Path(store).stem}-supernets")


def supernet_names(store: Path | str) -> list[str]:
    """Return the names of the supernets beside a store that are trained to the end, sorted."""
    return sorted(path.parent.name for path in supernets_folder(store).glob("*/weights.safetensors"))


def weights_of(name: str, store: Path | str | None = None) -> Path:
    """Return the file of a trained supernet.

    Args:
        name: Its name, or the path of its file or folder.
        store: Path of the store; that of the running command if None.

    Raises:
        UnknownName: There is no such supernet, or its training has not ended.
    """
    path = Path(name)
    if path.suffix == ".safetensors" and path.is_file():
        return path.absolute()
    store = CURRENT_STORE.get() if store is None else store
    for folder in (path, supernets_folder(store) / name):
        if (folder / "weights.safetensors").is_file():
            return (folder / "weights.safetensors").absolute()
    raise UnknownName("supernet", name, supernet_names(store))


__all__ = ["CURRENT_STORE", "supernet_names", "supernets_folder", "weights_of"]
