"""The pass that metrics of transformers share: one forward and, if gradients are needed, one backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from nasctl.candidates.gradients import Weight
from nasctl.candidates.transformer_layers import Roles, roles
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import node_modules


@dataclass(frozen=True, slots=True)
class Attention:
    """The results of the pass over a transformer, by the names of layers."""

    roles: Roles
    # Of each projection, the maximum over places, averaged over examples and values.
    confidences: Mapping[str, float]
    # Of each layer of attention weights, the maximum over heads, averaged over everything else.
    softmaxes: Mapping[str, float]
    # Of each activation on the first example, the number of equal signs between two places, over all pairs of places.
    agreements: Mapping[str, int]
    # The weights of linear layers with the gradient of the sum of all outputs; None if gradients were not needed.
    weights: Mapping[str, Weight] | None


def attention_pass(network: Network, module: nn.Module, examples: Tensor, *, weighed: bool) -> Attention:
    """Run the module forward on the batch and, if `weighed`, backward.

    Args:
        network: The network of the module.
        module: The module. The pass changes it, so use it for nothing else.
        examples: (B, T) tokens or (B, C, H, W) images.
        weighed: Whether gradients are needed.

    Raises:
        ArithmeticError: The outputs of the module are not finite.
    """
    found = roles(network)
    parts = {node.name: part for node, part in zip(network.nodes, node_modules(module, network), strict=True)}
    module.requires_grad_(False)
    weights = {name: parts[name].get_parameter("weight") for name in (*found.mixing, *found.forward) if weighed}
    for weight in weights.values():
        weight.requires_grad_()
    confidences, softmaxes, agreements = dict[str, float](), dict[str, float](), dict[str, int]()
    for name in found.projections:
        parts[name].register_forward_hook(partial(_note_confidence, confidences, name))
    for name in found.weights:
        parts[name].register_forward_hook(partial(_note_confidence, softmaxes, name))
    for name, heads in found.transforms.items():
        parts[name].register_forward_hook(partial(_note_transform, softmaxes, name, heads))
    for name in found.activations:
        parts[name].register_forward_pre_hook(partial(_note_agreement, agreements, name))
    outputs = module(examples)
    if not torch.isfinite(outputs).all():
        raise ArithmeticError("the outputs of the network are not finite")
    gradients = torch.autograd.grad(outputs.sum(), [*weights.values()], materialize_grads=True) if weights else ()
    given = zip(weights.items(), gradients, strict=True)
    scored = {name: Weight(weight.detach(), gradient) for (name, weight), gradient in given}
    return Attention(found, confidences, softmaxes, agreements, scored if weighed else None)


def _note_confidence(found: dict[str, float], name: str, part: nn.Module, inputs: object, output: Tensor) -> None:
    """Note the mean of the maxima over places of (B, T, D), or over heads of (B, heads, T, S)."""
    found[name] = float(output.detach().amax(1).mean(dtype=torch.double))


def _note_transform(
    found: dict[str, float], name: str, heads: int, part: nn.Module, inputs: object, output: Tensor
) -> None:
    """Note the maximum over heads of a transform's output, (B, T, D), after a softmax over each head's values.

    The network has no such softmax; the metric defines it.
    """
    split = output.detach().view(*output.shape[:2], heads, -1).transpose(1, 2)  # (B, heads, T, D / heads)
    _note_confidence(found, name, part, inputs, split.softmax(-1))


def _note_agreement(found: dict[str, int], name: str, part: nn.Module, inputs: tuple[Tensor]) -> None:
    """Note the agreements of an activation's input on the first example, (T, D)."""
    # A unit that is on at n places has equal signs in n^2 + (T - n)^2 pairs of places.
    on = (inputs[0][0] > 0).sum(0)  # (D,)
    found[name] = int((on**2 + (inputs[0].shape[1] - on) ** 2).sum())
