"""Trained weights as a model to export."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from nasctl import registry
from nasctl.architectures import ids
from nasctl.architectures.architecture import Architecture, architecture
from nasctl.errors import NasctlError
from nasctl.export.export import COMPARED
from nasctl.export.model import Model
from nasctl.problem.space import Genome, Input
from nasctl.training import trained_weights
from nasctl.training.folder import TrainingFolder, trainings_folder
from nasctl.training.request import trained_space


def weights_file(training: str, store: str | Path) -> Path:
    """Return the file with the weights of a training.

    Args:
        training: Name of a training of the store, its unique beginning, the path of its folder, or the path of a file
            of weights.
        store: Path of the store, whose trainings are in the folder STORE-trainings beside it.

    Raises:
        NasctlError: There is no such training, or several, or the training has not ended.
    """
    path = Path(training).expanduser()
    folder = trainings_folder(store)
    if path.is_file():
        return path
    known = sorted(one.name for one in folder.iterdir() if one.is_dir()) if folder.is_dir() else []
    if training in known:
        return _finished(folder / training)
    if path.is_dir():
        return _finished(path)
    begun = [name for name in known if name.startswith(training)]
    if len(begun) == 1:
        return _finished(folder / begun[0])
    if begun:
        several = f"{len(begun)} trainings of {folder} begin so, such as {begun[0]} and {begun[1]}"
        raise NasctlError(f"Cannot export {training!r}: {several}. Give more of the name.")
    listed = f"has {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}" if known else "has none"
    raise NasctlError(
        f"Cannot export {training!r}: it is no file, no supernet and no training of the store {store}, which {listed}. "
        "Give the name that `nasctl train` printed, or the path of its weights."
    )


def trained_model(path: Path, asked: tuple[str, Genome] | None = None, weights_name: str = "") -> Model:
    """Return the network of a file of trained weights.

    Args:
        path: The file.
        asked: Spec and genome of the architecture that the user named, if any.
        weights_name: Name of the file from which an exported Python file loads the weights.

    Raises:
        NasctlError: The file cannot be read, or holds the weights of another network than the user named.
    """
    weights, facts = trained_weights.read(path)
    described = _trained_architecture(facts)
    if asked is not None:
        _check_asked(path, described, facts, asked)
    module = described.network.module()
    try:
        module.load_state_dict(weights)
    except RuntimeError:
        raise NasctlError(
            f"Cannot export {path}: its tensors are not those of {described.id}. It was written by nasctl "
            f"{facts.nasctl}; train the network again."
        ) from None
    examples = random_examples(described.input, facts.mean, facts.deviation)
    return Model(described, module.eval(), examples, facts, weights_name)


def random_examples(given: Input, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    """Return random examples to compare files of a trained network on: pixels from 0 to 255, or words.

    Args:
        given: The input of the network.
        mean: Mean of each channel of the training images, in pixels from 0 to 255; () for words.
        deviation: Standard deviation of each channel.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (COMPARED, *given.shape)
    if given.kind == "tokens":
        return torch.randint(given.vocabulary, shape, generator=generator)
    # Far from the pixels of training, rounding errors of deep networks grow.
    drawn = torch.randn(shape, generator=generator)
    centre, width = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, deviation))
    return (drawn * width + centre).round().clamp(0, 255)


def _finished(folder: Path) -> Path:
    """Return the file of weights in the folder of a training."""
    path = TrainingFolder(folder).weights
    if not path.is_file():
        raise NasctlError(
            f"Cannot export the training {folder.name!r}: {folder} has no {path.name}, because the training has not "
            "ended. Type its `nasctl train` command again to go on with it."
        )
    return path


def _trained_architecture(facts: trained_weights.Facts) -> Architecture:
    """Return the architecture that was trained: its space has as many outputs as the data has classes."""
    described = architecture(facts.space, facts.genome)
    if facts.class_names and described.network.out_shape[-1] != len(facts.class_names):
        described = architecture(trained_space(facts.space, len(facts.class_names)), facts.genome)
    return described


def _check_asked(path: Path, trained: Architecture, facts: trained_weights.Facts, asked: tuple[str, Genome]) -> None:
    """Raise an error unless the trained network is the one that a user named, whatever its number of classes."""
    spec, genome = asked
    space = registry.create("spaces", spec)
    specs = {trained_space(one, len(facts.class_names or ())) for one in (spec, trained.space)}
    if len(specs) > 1 or space.canonical(genome) != space.canonical(trained.genome):
        whole = ids.encode(spec, space.genes, genome)
        raise NasctlError(
            f"Cannot export {whole} with the weights of {facts.training!r}: {path} holds the weights of {trained.id}, "
            f"another network. Leave --arch out to export that one."
        )
