"""The supernet that a user names where weights of a training may be named too."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from nasctl.supernets.folder import begun_name, supernet_names, weights_of
from nasctl.supernets.trained_supernet import KEY, TrainedSupernet
from nasctl.training.folder import trainings_folder


def supernet_named(name: str, store: str | Path) -> TrainedSupernet | None:
    """Return the supernet that a user names as weights; None if the name is not that of a supernet.

    A training of exactly that name comes first. The beginning of a name is enough if nothing else begins so.

    Args:
        name: Name of a supernet of the store, or the path of its file or folder; or of something else.
        store: Path of the store.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return TrainedSupernet(path) if _holds_supernet(path) else None
    file = path / "weights.safetensors"
    if file.is_file():
        return TrainedSupernet(file) if _holds_supernet(file) else None
    whole = begun_name(name, supernet_names(store))
    trainings = [one.name for one in trainings_folder(store).glob("*") if name and one.name.startswith(name)]
    if whole is None or name in trainings or (whole != name and trainings):
        return None
    return TrainedSupernet(weights_of(whole, store))


def _holds_supernet(path: Path) -> bool:
    """Return whether a file is that of a supernet; False if it is no safetensors file."""
    try:
        with safe_open(path, framework="pt") as opened:
            return KEY in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return False


__all__ = ["supernet_named"]
