"""The protocol of spaces of variants of a trained network, and what their options have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from nasctl import registry
from nasctl.compression.base_sources import located, trained_base
from nasctl.compression.labelled_data import content_of, labelled_data
from nasctl.compression.trained_base import DIGITS, TrainedBase
from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, SearchSpace
from nasctl.training.labelled import TrainingData

Evaluator = Callable[[Genome], list[Tensor]]  # the logits of a genome's network for each batch of some images


@runtime_checkable
class CompressedSpace(Protocol):
    """A space of variants of a trained network. It implements `SearchSpace` and `HasTrainedWeights` too."""

    @property
    def base(self) -> TrainedBase:
        """The trained network."""
        ...

    @property
    def calibration(self) -> TrainingData:
        """The labelled data whose training part calibrates variants."""
        ...

    def module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome's network; see `HasTrainedWeights`."""
        ...

    def evaluator(self, batches: Sequence[Tensor]) -> Evaluator:
        """Return a function that computes the outputs of many variants for the same images.

        Args:
            batches: Normalised images, (B, C, H, W) each.

        Returns:
            A function of a genome. It returns the logits for each batch, (B, classes), which are those of `module`.
        """
        ...


@runtime_checkable
class HasPreparation(Protocol):
    """A space of variants of which the first ones take long, because something is computed once for all of them."""

    @property
    def preparation(self) -> str:
        """A sentence on what the first candidates wait for; "" if nothing."""
        ...


@dataclass(frozen=True)
class Given:
    """A trained network with its calibration data, as the options of a space name them.

    Args:
        path: The file of the network, as `located` returns it.
        data: Name or path of the calibration data; "" for that of the network's training.
        digest: Digest of both. Files that have changed are refused.
    """

    path: str
    data: str
    digest: str

    @classmethod
    def of(cls, of: str, data: str, digest: str) -> Given:
        """Return the network and the data that a user names.

        Args:
            of: The network, as `located` takes it.
            data: Name or path of the data; "" for that of the network's training.
            digest: The digest that is expected.

        Raises:
            NasctlError: There is no such network or data, or it has changed.
        """
        path = located(of)
        _check(path, data, digest, of)
        return cls(path, data, digest)

    @property
    def base(self) -> TrainedBase:
        """The network.

        Raises:
            NasctlError: The file has changed.
        """
        _check(self.path, self.data, self.digest, self.path)
        return trained_base(self.path)

    @property
    def calibration(self) -> TrainingData:
        """The calibration data."""
        return _calibration(self.path, self.base.digest, self.data)


def given_network(space: SearchSpace | str) -> Network | None:
    """Return the network that a space's networks are variants of; None if they are no variants.

    Args:
        space: The space, or its spec.
    """
    made = registry.create("spaces", space) if isinstance(space, str) else space
    return made.base.network if isinstance(made, CompressedSpace) else None


def with_digest(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a space with the digest of the network and the data that they name.

    Args:
        options: Options with "of", and perhaps "data" and "digest".

    Raises:
        NasctlError: There is no such network or data.
    """
    if options.get("digest"):
        return dict(options)
    return {**options, "digest": _digest(located(str(options["of"])), str(options.get("data", "")))}


def _digest(path: str, data: str) -> str:
    base = trained_base(path)
    content = f"{base.digest} {content_of(_calibration(path, base.digest, data))}"
    return hashlib.sha256(content.encode()).hexdigest()[:DIGITS]


def _check(path: str, data: str, digest: str, named: str) -> None:
    """Raise an error if a network or its data is not that of a digest."""
    if (found := _digest(path, data)) != digest:
        raise NasctlError(
            f"Cannot use the trained network {named}: it or its calibration data has changed (its digest is {found},"
            f" and that of the space {digest}). Put the old file back, or leave digest out for a new search."
        )


@lru_cache(maxsize=4)  # the digest of the network makes a changed file another entry
def _calibration(path: str, digest: str, data: str) -> TrainingData:
    return labelled_data(trained_base(path), data)


__all__ = ["CompressedSpace", "Evaluator", "Given", "HasPreparation", "TrainingData", "given_network", "with_digest"]
