"""The module that a task trains, made of a network, and the reasons why a network cannot be trained."""

from __future__ import annotations

from math import prod, sqrt

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.networks.early_exit import thresholds_of
from nasctl.networks.executable import Executable
from nasctl.networks.graph import Network
from nasctl.networks.node import attribute_name
from nasctl.networks.quantized_layer import QuantizedLayer
from nasctl.networks.sparse_layer import SparseLayer
from nasctl.networks.weights import initialised
from nasctl.problem.space import Input
from nasctl.training.recipe import TrainingTask
from nasctl.training.streams import torch_stream


class MaskedWordModel(nn.Module):
    """An encoder with a head of masked-language modelling: tokens (B, T) and masked places (B, T) -> (M, vocabulary).

    Places are true where a token is masked. The head reads the features of these M tokens: a linear layer to the width
    of the token embedding, GELU, a layer norm, and the product with the embedding matrix, plus a bias for each word.
    The product is divided by the square root of that width, because nasctl draws embeddings from N(0, 1), not from
    N(0, 0.02) as BERT does.
    The encoder's own classifier keeps its initial weights: a task with labels trains it later.

    Args:
        network: The encoder's description.
        module: The encoder, whose parameters this module shares.
        features: Position of the node that puts out the features, (T, D).

    References:
        Devlin et al., NAACL 2019, arXiv:1810.04805; the head is `BertLMPredictionHead` of its published code.
    """

    def __init__(self, network: Network, module: nn.Module, features: int) -> None:
        super().__init__()
        nodes = network.nodes[: features + 1]
        parts = [module.get_submodule(attribute_name(node.name)) for node in nodes]
        self.body = Executable(nodes, features, parts)
        embeddings = [part for part in parts if isinstance(part, nn.Embedding)]
        if not embeddings:
            raise NasctlError(
                "Cannot learn masked words: the network has no embedding of words. Choose a space of encoders, such as"
                " bert or flexibert."
            )
        self.words = embeddings[0].weight
        vocabulary, width = self.words.shape
        self.head = nn.Sequential(nn.Linear(nodes[features].out_shape[1], width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tokens: Tensor, chosen: Tensor) -> Tensor:
        features: Tensor = self.body(tokens)
        # The head runs at the masked places alone: logits of all places would take the most memory of the training.
        found = self.head(features[chosen]) / sqrt(self.words.shape[1])
        return nn.functional.linear(found, self.words, self.bias)


def trainable(network: Network, wanted: Input, task: TrainingTask, classes: int | None, seed: int) -> nn.Module:
    """Return a network's module with the initial weights of a seed, after checking that the task can train it.

    Args:
        network: The network.
        wanted: The input of its space.
        task: The task.
        classes: Number of classes of the data; None for words.
        seed: Seed of the weights.

    Raises:
        NasctlError: The task cannot train the network.
    """
    check_task(network, wanted, task, classes)
    return initialised(network, seed)


def learner(network: Network, module: nn.Module, wanted: Input, task: TrainingTask, seed: int) -> nn.Module:
    """Return the module whose output the loss reads: the network's own, or one that shares its parameters.

    Args:
        network: The network.
        module: Its module.
        wanted: The input of its space.
        task: The task.
        seed: Seed of the weights of a head that only the training has.
    """
    if task != "masked words":
        return module
    with torch_stream(seed, "head"):
        return MaskedWordModel(network, module, token_features(network, wanted))


def check_task(network: Network, wanted: Input, task: TrainingTask, classes: int | None) -> None:
    """Raise an error if a task cannot train a network; see `trainable`."""
    if len(network.input_shapes) != 1 or network.output < 0:
        raise NasctlError("Cannot train this network: it has several inputs, or no layer. Choose another architecture.")
    if any(isinstance(node.layer, QuantizedLayer) for node in network.nodes):
        raise NasctlError("Cannot train quantised layers: their weights are integers. Train the given network.")
    if any(isinstance(node.layer, SparseLayer) for node in network.nodes):
        raise NasctlError("Cannot train layers with pruned weights: their weights are fixed. Train the given network.")
    if thresholds_of(network):
        raise NasctlError(
            "Cannot train a network with early exits: its output is that of one exit. Train the given network; the"
            " search trains its exits."
        )
    out = network.out_shape
    kind = "images" if task == "classes" else "tokens"
    if wanted.kind != kind:
        raise NasctlError(
            f"Cannot learn {task}: the networks of this space read {wanted.kind}. Give"
            f" {'a text' if wanted.kind == 'tokens' else 'labelled images'} as --data."
        )
    if task == "classes":
        if len(out) != 1:
            raise NasctlError(
                f"Cannot train this space on classes: its networks put out {_shape(out)} numbers for an example, not"
                " one for each class. Choose a space of classifiers."
            )
        if classes is not None and out[0] != classes:
            raise NasctlError(
                f"Cannot train on {classes} classes: the network has {out[0]} outputs. Choose a space of {classes}"
                f" outputs; most take the option classes={classes}."
            )
    elif task == "next words" and out != (*wanted.shape, wanted.vocabulary):
        raise NasctlError(
            f"Cannot learn next words: the network puts out {_shape(out)} numbers for an example, not a logit for each"
            " word at each place. Choose a space of language models, such as rnn."
        )
    elif task == "masked words":
        token_features(network, wanted)


def token_features(network: Network, wanted: Input) -> int:
    """Return the position of the last node with one vector for each token on the way to the output.

    Raises:
        NasctlError: The network has no such node.
    """
    (length,) = wanted.shape if len(wanted.shape) == 1 else (0,)
    position = network.output
    while position >= 0:
        shape = network.nodes[position].out_shape
        if len(shape) == 2 and shape[0] == length:
            return position
        inputs = network.nodes[position].inputs
        # A head such as pooling has one input; where several meet, the largest has the tokens.
        position = max(inputs, key=lambda one: prod(network.nodes[one].out_shape) if one >= 0 else 0)
    raise NasctlError(
        "Cannot learn masked words: the network has no vector for each word before its output. Choose a space of"
        " encoders, such as bert or flexibert."
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no"


__all__ = ["MaskedWordModel", "check_task", "learner", "token_features", "trainable"]
