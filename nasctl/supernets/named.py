"""The supernet that a user names where weights of a training may be named too."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from nasctl.supernets.folder import supernet_names, weights_of
from nasctl.supernets.trained_supernet import KEY, TrainedSupernet
from nasctl.training.folder import trainings_folder


def supernet_named(name: str, store: str | Path) -> TrainedSupernet | None:
    """Return the supernet that a user names as weights; None if the name is not that of a supernet.

    A training of exactly that name comes first.

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
    if name in supernet_names(store) and not (trainings_folder(store) / name).is_dir():
        return TrainedSupernet(weights_of(name, store))
    return None


def _holds_supernet(path: Path) -> bool:
    """Return whether a file is that of a supernet; False if it is no safetensors file."""
    try:
        with safe_open(path, framework="pt") as opened:
            return KEY in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return False


__all__ = ["supernet_named"]
