"""A trained network that a search space is made of: its layers, its weights, and the inputs that it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.memory_layout import channels_last
from nasctl.problem.space import Input

DIGITS = 16  # hexadecimal digits of a digest

LEAST_DEVIATION = 1e-6  # of a channel of one colour everywhere, as trainings of nasctl have it


@dataclass(frozen=True, eq=False)
class TrainedBase:
    """A network with its trained weights, and what is needed to evaluate it.

    Attributes:
        name: The name to show.
        network: The network.
        state: The state dict of the network's module.
        input: Its input.
        class_names: Names of the classes in the order of the outputs; None if they are not known.
        mean: Mean of each channel that images are normalised with, in pixels from 0 to 255, (C,).
        deviation: Standard deviation of each channel, in pixels from 0 to 255, (C,).
        data: Identity of the data of the training, with its split; "" if it is not known.
        result: Results of the training, by part of the data: the fields of `nasctl.training.evaluation.Result`.
    """

    name: str
    network: Network
    state: Mapping[str, Tensor]
    input: Input
    class_names: tuple[str, ...] | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    data: str = ""
    result: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """The first digits of the SHA-256 of everything that outputs for an image follow from.

        It does not depend on the format of the file or its path.
        """
        digest = hashlib.sha256()
        wiring = [
            (node.name, repr(node.layer), node.inputs, node.module_of, node.shared) for node in self.network.nodes
        ]
        facts = [wiring, self.network.output, self.input, self.class_names, self.mean, self.deviation]
        digest.update(repr(facts).encode())
        for key in sorted(self.state):
            value = self.state[key].detach().cpu().contiguous()
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
        return digest.hexdigest()[:DIGITS]

    def module(self) -> nn.Module:
        """Return a new module of the network with its weights, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):  # the constructors draw weights first
            made = self.network.module()
        made.load_state_dict(self.state)
        return made.eval()

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return images as the network takes them, (B, C, H, W) float32.

        Args:
            pixels: Images with values from 0 to 255, (B, C, H, W).
        """
        mean, deviation = (torch.tensor(one, dtype=torch.float32) for one in (self.mean, self.deviation))
        images = channels_last(pixels.float())
        return (images - mean.view(1, -1, 1, 1)) / deviation.clamp(min=LEAST_DEVIATION).view(1, -1, 1, 1)


def check_finite(name: str, state: Mapping[str, Tensor]) -> None:
    """Check that all weights are finite numbers.

    Args:
        name: The name of the network, for the message.
        state: The weights.

    Raises:
        NasctlError: Some are infinite or no numbers.
    """
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise NasctlError(
                f"Cannot use the trained network {name}: its weights {key!r} have values that are not finite, as after"
                " a training that diverged. Train it again."
            )


__all__ = ["TrainedBase", "check_finite"]
