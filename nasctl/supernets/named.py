"""The supernet that a user names where weights of a training may be named too."""

from __future__ import annotations

from pathlib import Path

from nasctl.supernets.folder import begun_name, supernet_names, weights_of
from nasctl.supernets.trained_supernet import TrainedSupernet, holds_supernet
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
        return TrainedSupernet(path) if holds_supernet(path) else None
    file = path / "weights.safetensors"
    if file.is_file():
        return TrainedSupernet(file) if holds_supernet(file) else None
    whole = begun_name(name, supernet_names(store))
    trainings = [one.name for one in trainings_folder(store).glob("*") if name and one.name.startswith(name)]
    if whole is None or name in trainings or (whole != name and trainings):
        return None
    return TrainedSupernet(weights_of(whole, store))


__all__ = ["supernet_named"]
