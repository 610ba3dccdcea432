"""Trainings of single networks that begin with their slices of a supernet's weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import save_file

from nasctl import registry
from nasctl.architectures import ids
from nasctl.candidates.determinism import deterministic_torch
from nasctl.errors import NasctlError
from nasctl.problem.space import Genome
from nasctl.store.store import Store
from nasctl.supernets.folder import supernet_names
from nasctl.supernets.named import supernet_named
from nasctl.supernets.subnets import check_space, subnet_state
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.system.files import replacement
from nasctl.training.labelled import TrainingData
from nasctl.training.request import TrainRequest, weights_file

FOLDER = "slices"  # beside the weights of a supernet


@dataclass(frozen=True, eq=False)
class StartingSlices:
    """The files with which trainings begin: one for each network, in a folder beside the supernet's weights.

    A file is written once, since the last digits of statistics depend on the machine. A training's name holds the
    digest of its file, so the same command resumes the training.

    Args:
        supernet: The supernet.
    """

    supernet: TrainedSupernet

    def __call__(self, space: str, genome: Genome) -> Path:
        """Return the file of a network's slices and calibrated statistics, and write the file if there is none.

        Args:
            space: Spec of the space. Its networks may have other numbers of classes than the supernet's.
            genome: The genome.

        Raises:
            NasctlError: The network is none of the supernet's space, its weights are untrained, or the file cannot be
                written.
        """
        supernet = self.supernet
        check_space(supernet, registry.create("spaces", space), space)
        genome = supernet.space.canonical(genome)
        arch = ids.encode(supernet.facts.space, supernet.space.genes, genome)
        path = supernet.path.with_name(FOLDER) / f"{arch}-{supernet.digest}.safetensors"
        if path.is_file():
            return path
        try:
            with deterministic_torch(1):
                state = subnet_state(supernet, genome)
        except NasctlError as error:
            raise NasctlError(f"Cannot begin {arch} with the weights of supernet {supernet.name}: {error}.") from None
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise NasctlError(
                f"Cannot write the weights that {arch} begins with into {path.parent} ({error.strerror}). Copy the"
                " supernet to a folder with room and permission to write, and give its path."
            ) from None
        with replacement(path, "free some space, and give the same command again") as draft:
            save_file({key: value.contiguous() for key, value in state.items()}, draft)
        return path


def located(request: TrainRequest, store: Store) -> TrainRequest:
    """Return a request with its starting weights found: a file, a training of the store, or slices of a supernet.

    Args:
        request: The request as the user typed it.
        store: The store.

    Raises:
        NasctlError: There are no such weights, or they are not there yet.
    """
    if request.start is None:
        return request
    if (supernet := supernet_named(str(request.start), store.path)) is not None:
        return replace(request, start=None, slices=StartingSlices(supernet))
    return replace(request, start=starting_file(request.start, store))


def starting_file(start: Path, store: Store) -> Path:
    """Return the file of the weights that a user names: a file, a training of the store, or a supernet.

    Args:
        start: The path or the name.
        store: The store.

    Raises:
        NasctlError: There are no such weights, or they are not there yet.
    """
    if (supernet := supernet_named(str(start), store.path)) is not None:
        return supernet.path
    try:
        return weights_file(start, store)
    except NasctlError as error:
        names = ", ".join(supernet_names(store.path))
        raise NasctlError(f"{error}; supernets: {names}" if names else str(error)) from None


def start_doubts(request: TrainRequest, data: TrainingData) -> list[str]:
    """Return a warning if the supernet that a training begins with has learned examples that the training tests on.

    Args:
        request: The request, located.
        data: The data of the training.
    """
    if not isinstance(request.slices, StartingSlices):
        return []
    return split_doubts("the supernet", request.slices.supernet.facts.data, data)


def split_doubts(what: str, learned_data: str, data: TrainingData) -> list[str]:
    """Return a warning if given weights have learned examples that a training tests on.

    Args:
        what: The given weights, for the sentence.
        learned_data: Identity of the data that they were trained on.
        data: The data of the training.
    """
    learned, asked = learned_data.rpartition(" split="), str(data).rpartition(" split=")
    if learned[0] != asked[0] or learned[2] == asked[2]:
        return []
    split, _, seed = learned[2].partition(" seed=")
    return [
        f"Warning: {what} was trained on another split of this data, so it has learned some validation and test"
        f" examples, and results are too good. Give --split {split.replace('-', ',')} --split-seed {seed or 0}."
    ]


__all__ = ["StartingSlices", "located", "split_doubts", "start_doubts", "starting_file"]
