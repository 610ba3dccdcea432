"""Scores of the trained weights of a network, by which masks keep some weights and drop the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from nasctl.candidates.gradients import module_loss, weight_gradients
from nasctl.candidates.magnitude_pass import weight_flows
from nasctl.compression.labelled_data import CALIBRATION_IMAGES
from nasctl.compression.trained_base import TrainedBase
from nasctl.compression.variant_accuracy import labelled_batches
from nasctl.errors import NasctlError
from nasctl.networks.node import Node, attribute_name
from nasctl.training.labelled import TrainingData

ScoreMethod = Literal["magnitude", "random", "snip", "synflow"]


def weight_scores(
    base: TrainedBase, nodes: Sequence[Node], method: ScoreMethod, seed: int, data: TrainingData
) -> dict[str, Tensor]:
    """Return the score of each weight of some layers, in the shape of the weight, by the names of the layers.

    "magnitude" is ``|w|``. "random" is drawn from a seed. "snip" is ``|w * dL/dw|`` with the mean cross-entropy L of
    256 training images. "synflow" is ``|w * dR/dw|`` with the sum R of the outputs of the linear network of
    magnitudes for an image of ones. The papers score weights at initialisation, and SynFlow prunes in 100 rounds so
    that no layer loses all its weights; here weights are trained, and each layer is given its share.

    Args:
        base: The trained network.
        nodes: The layers; the scored tensor is `weight` of each module.
        method: The method.
        seed: Seed of random scores.
        data: Labelled data, of which 256 images of the training part are read for "snip".

    Raises:
        NasctlError: The network has no linear form, which SynFlow needs, or the data has no training images.

    References:
        Han et al., "Learning both weights and connections for efficient neural networks", NeurIPS 2015,
        arXiv:1506.02626. Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019,
        arXiv:1810.02340, equation 5. Tanaka et al., "Pruning neural networks without any data by iteratively conserving
        synaptic flow", NeurIPS 2020, arXiv:2006.05467, equation 1.
    """
    weights = {node.name: base.state[f"{attribute_name(node.name)}.weight"] for node in nodes}
    if method == "magnitude":
        return {name: weight.abs() for name, weight in weights.items()}
    if method == "random":
        return {name: _drawn(weight, seed, name) for name, weight in weights.items()}
    found = _loss_saliency(base, weights, data) if method == "snip" else _synaptic_flow(base)
    # A layer that the output does not depend on has no score.
    return {name: found.get(name, torch.zeros_like(weight)) for name, weight in weights.items()}


def _drawn(weight: Tensor, seed: int, name: str) -> Tensor:
    """Return random scores that depend on the seed and the name of the layer alone."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.rand(weight.shape, generator=torch.Generator().manual_seed(int.from_bytes(digest[:7])))


@torch.enable_grad()  # the first candidate that needs the scores runs without gradients
def _loss_saliency(base: TrainedBase, names: Mapping[str, Tensor], data: TrainingData) -> dict[str, Tensor]:
    """Return ``|w * dL/dw|`` by the names of the layers."""
    module = base.module().requires_grad_(False)
    weights = {name: module.get_submodule(attribute_name(name)).get_parameter("weight") for name in names}
    for weight in weights.values():
        weight.requires_grad_(True)
    batches, labels = labelled_batches(base, data, "train", CALIBRATION_IMAGES)
    total = sum(map(len, labels))
    sums: dict[str, Tensor] = {}
    for images, expected in zip(batches, labels, strict=True):
        loss = module_loss(module, images, expected) * (len(expected) / total)
        for name, (_, gradient) in weight_gradients(loss, weights).items():
            sums[name] = sums.get(name, torch.zeros_like(gradient)) + gradient
    return {name: (weights[name].detach() * gradient).abs() for name, gradient in sums.items()}


@torch.enable_grad()
def _synaptic_flow(base: TrainedBase) -> dict[str, Tensor]:
    """Return ``|w * dR/dw|`` by the names of the layers."""
    ones = torch.ones(1, *base.input.shape, dtype=torch.double)
    try:
        return weight_flows(base.network, base.module(), ones)
    except ValueError as error:
        reason = str(error).removeprefix("synflow needs layers that are linear in their input, and ")
        raise NasctlError(
            f"Cannot score weights by SynFlow: {reason}. Give mask=magnitude, or another method."
        ) from None


__all__ = ["ScoreMethod", "weight_scores"]
