"""The linear network of weight magnitudes that SynFlow speaks of, and the flow through its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import (
    activations,
    attention_layers,
    convolutions,
    embeddings,
    is_custom,
    layer_title,
    linear_layers,
    node_modules,
    norms,
    recurrent_layers,
    softmaxes,
)
from nasctl.networks.layers import Multiply
from nasctl.networks.product_watch import ProductWatch
from nasctl.networks.torch_functions import (
    BIAS_FIRST,
    BIAS_THIRD,
    CONVOLUTIONS,
    MATRIX_PRODUCTS,
    NORMS,
    SIGMOIDS,
    node_facts,
    plain_name,
    rectifier_call,
)
from nasctl.networks.torch_modules import AttentionScores, Cosine, DynamicConv, Fourier, WeightedValues

# Layers that have no linear form: they multiply activations, or turn their signs.
PRODUCTS_OF_ACTIVATIONS = (nn.Bilinear, AttentionScores, WeightedValues, DynamicConv, Fourier, Cosine)
TOLERANCE = 1e-6  # of the largest value, by which a linear custom layer may be off; some compute in float32


def magnitude_flow(network: Network, module: nn.Module, ones: Tensor) -> float:
    """Return ``sum |w * dR/dw|`` over the weights of convolutions and linear layers.

    R is the sum of the outputs of the network in which every weight is replaced by its magnitude, biases are left out,
    norms and activations are the identity, and gates are 1. For a layer y = w x with non-negative w and x, the sum over
    its weights equals the sum of y * dR/dy, so no gradients of weights are needed.

    Args:
        network: The network.
        module: Its module. The pass changes it, so use it for nothing else.
        ones: One example of ones, (1, ...) float64.

    Returns:
        The sum; 0 if no path leads from the input to the output.

    Raises:
        ValueError: A layer on a path to the output has no linear form; the message names the layer.
    """
    weighted: list[Tensor] = []
    output = _linear_output(network, module, ones, weighted)
    if not weighted:
        return 0.0
    signals = torch.autograd.grad(output.sum(), weighted, allow_unused=True)
    terms = zip(weighted, signals, strict=True)
    return sum(float((y.detach() * signal).sum()) for y, signal in terms if signal is not None)


def weight_flows(network: Network, module: nn.Module, ones: Tensor) -> dict[str, Tensor]:
    """Return ``|w * dR/dw|`` of each weight of convolutions and linear layers of torch.nn, by the name of the layer.

    R is that of `magnitude_flow`. A layer that has no path to the output is left out.

    Args:
        network: The network.
        module: Its module. The pass changes it, so use it for nothing else.
        ones: One example of ones, (1, ...) float64.

    Returns:
        The flow through each weight, float64 in the shape of the weight.

    Raises:
        ValueError: A layer on a path to the output has no linear form; the message names the layer.
    """
    leaves: dict[str, Tensor] = {}
    output = _linear_output(network, module, ones, [], leaves)
    if not leaves:
        return {}
    signals = torch.autograd.grad(output.sum(), list(leaves.values()), allow_unused=True)
    found = zip(leaves.items(), signals, strict=True)
    return {name: weight.detach() * signal for (name, weight), signal in found if signal is not None}


def _linear_output(
    network: Network,
    module: nn.Module,
    ones: Tensor,
    weighted: list[Tensor],
    leaves: dict[str, Tensor] | None = None,
) -> Tensor:
    """Return the output of the linear network of magnitudes; see `magnitude_flow`.

    Args:
        network: The network.
        module: Its module, which is changed.
        ones: One example of ones, (1, ...) float64.
        weighted: Takes the outputs of products with weights.
        leaves: Takes the magnitudes of the weights of layers of torch.nn by the name of the layer; None for none.
    """
    modules = node_modules(module, network)
    sources = [node.inputs[:1] if isinstance(node.layer, Multiply) else node.inputs for node in network.nodes]
    live = {network.output}
    for k in reversed(range(len(sources))):
        live |= set(sources[k]) if k in live else set()
    values: dict[int, Tensor] = {-1: ones.requires_grad_()}
    module.requires_grad_(False)
    for k in sorted(live - {-1}):
        part, inputs = modules[k], [values[source] for source in sources[k]]
        if isinstance(network.nodes[k].layer, Multiply):
            values[k] = inputs[0]
        elif not isinstance(part, _refused_kinds()) and (any(map(is_custom, part.modules())) or [*part.children()]):
            learned = not any(map(is_custom, part.modules())) or bool(node_facts(network.nodes[k]).weights)
            values[k] = _run_custom(network.nodes[k].name, part, inputs, weighted if learned else [])
        else:
            values[k] = _run_layer(network.nodes[k].name, part, inputs, weighted, leaves)
    return values[network.output]


def _refused_kinds() -> tuple[type[nn.Module], ...]:
    """Return the classes of layers that are never linear."""
    return *recurrent_layers(), *attention_layers(), *softmaxes(), *embeddings(), *PRODUCTS_OF_ACTIVATIONS


def _run_layer(
    name: str,
    part: nn.Module,
    inputs: list[Tensor],
    weighted: list[Tensor],
    leaves: dict[str, Tensor] | None,
) -> Tensor:
    """Return the output of a layer of torch.nn or nasctl in the linear network, and note the outputs of weights."""
    if isinstance(part, (*norms(), *activations())):
        return inputs[0]
    if isinstance(part, nn.GLU):  # the second half is a gate
        return inputs[0].chunk(2, part.dim)[0]
    if isinstance(part, _refused_kinds()):
        raise ValueError(f"synflow needs layers that are linear in their input, and {layer_title(name, part)} is not")
    if isinstance(part, (*convolutions(), *linear_layers())):
        weight = part.get_parameter("weight").detach().abs().double()
        if leaves is not None:
            leaves[name] = weight.requires_grad_()
        weighted.append(_apply_without_bias(part, inputs[0], weight))
        return weighted[-1]
    for parameter in part.parameters():
        parameter.data.abs_()
    out: Tensor = part.double().eval()(*inputs)
    return out


def _run_custom(name: str, part: nn.Module, inputs: list[Tensor], weighted: list[Tensor]) -> Tensor:
    """Return the output of a custom layer in the linear network, and note the outputs of its products with weights.

    Raises:
        ValueError: The layer is not linear on non-negative values, or puts out negative ones.
    """
    for parameter in part.parameters():
        parameter.data.abs_()
    part.double().eval()
    try:
        with MagnitudeMode(weighted):
            out: Tensor = part(*inputs)
        with MagnitudeMode([]):
            twice: Tensor = part(*(2 * x.detach() + 0 * x for x in inputs))
    except (RuntimeError, TypeError, ValueError, IndexError) as failure:
        reason = str(failure).partition("\n")[0]
        raise ValueError(f"synflow cannot run {layer_title(name, part)} on magnitudes in float64: {reason}") from None
    if not out.is_floating_point():
        raise ValueError(f"synflow needs layers that are linear in their input, and {layer_title(name, part)} is not")
    error, largest = float((twice - 2 * out).detach().abs().max()), float(out.detach().abs().max())
    if error > TOLERANCE * largest or float(out.detach().min()) < -TOLERANCE * largest:
        raise ValueError(f"synflow needs layers that are linear in their input, and {layer_title(name, part)} is not")
    return out


class MagnitudeMode(TorchFunctionMode):
    """A mode in which functions of torch run as in the linear network of magnitudes.

    Tensors that depend on the input require gradients, and all others do not.

    Args:
        weighted: Takes the outputs of products of one value of the network with tensors that are none.
    """

    def __init__(self, weighted: list[Tensor]) -> None:
        super().__init__()
        self._weighted = weighted

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = plain_name(func), dict(kwargs or {})
        x = args[0] if args else kwargs.get("input")
        if isinstance(x, Tensor) and (name in NORMS or name in SIGMOIDS or rectifier_call(name, args, kwargs)):
            return x
        if name == "glu":
            return x.chunk(2, args[1] if len(args) > 1 else kwargs.get("dim", -1))[0]
        if name in CONVOLUTIONS | MATRIX_PRODUCTS:
            args, kwargs = _without_bias(name, args, kwargs)
        else:
            with ProductWatch() as watch:
                result = func(*args, **kwargs)
            if not watch.found or not isinstance(result, Tensor):
                return result
        result = func(*_magnitudes(args), **{key: _magnitudes(one) for key, one in kwargs.items()})
        given = [one for one in (*args, *kwargs.values()) for one in (one if isinstance(one, tuple | list) else [one])]
        active = [one.requires_grad for one in given if isinstance(one, Tensor)]
        if active.count(True) == 1 and len(active) > 1:
            self._weighted.append(result)
        return result


def _without_bias(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a product without its bias."""
    if name in BIAS_THIRD:
        return (*args[:2], *((None,) if len(args) > 2 else ()), *args[3:]), {
            key: one for key, one in kwargs.items() if key != "bias"
        }
    if name in BIAS_FIRST and isinstance(args[0], Tensor) and not args[0].requires_grad:
        return (torch.zeros_like(args[0]), *args[1:]), dict(kwargs)
    return args, dict(kwargs)


def _magnitudes(value: Any) -> Any:
    """Return the magnitudes of tensors that do not depend on the input, and other values as they are."""
    if isinstance(value, tuple | list):
        return type(value)([_magnitudes(one) for one in value])
    return value.abs() if isinstance(value, Tensor) and not value.requires_grad and value.is_floating_point() else value


def _apply_without_bias(part: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """Apply a convolution or a linear layer without its bias, with other weights."""
    if isinstance(part, nn.Linear):
        return F.linear(x, weight)
    if isinstance(part, nn.Conv2d):
        square = all(len(set(pair)) == 1 for pair in (part.kernel_size, part.stride, part.padding))
        if square and part.dilation == (1, 1) and part.groups == part.in_channels == part.out_channels > 1:
            return _depthwise(x, weight, part.stride[0], int(part.padding[0]))
    if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        convolved: Tensor = part._conv_forward(x, weight, None)
        return convolved
    biases = {name: torch.zeros_like(one).double() for name, one in part.named_parameters() if name == "bias"}
    out: Tensor = torch.func.functional_call(part, {"weight": weight, **biases}, x)
    return out


def _depthwise(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Compute a depthwise convolution as products with banded matrices.

    PyTorch convolves double precision on CPUs one group at a time, which took most of this metric's time.

    Args:
        x: Input, (B, C, H, W).
        weight: Kernels, (C, 1, k, k).
        stride: Stride in both directions.
        padding: Zero padding on all sides.
    """
    batch, channels, _, width = x.shape
    taps = weight.shape[-1]
    out_width = (width + 2 * padding - taps) // stride + 1
    tap, source, target = (torch.arange(size, device=x.device) for size in (taps, width, out_width))
    reached = source[:, None] == target * stride + tap[:, None, None] - padding  # (k, W, W')
    bands = weight.view(channels * taps, taps) @ reached.view(taps, -1).to(x.dtype)  # one band per kernel row
    rows = F.pad(x, (0, 0, padding, padding)).unfold(2, taps, stride)  # (B, C, H', W, k)
    rows = rows.permute(1, 0, 2, 4, 3).reshape(channels, -1, taps * width)  # (C, B H', k W)
    out = rows @ bands.view(channels, taps * width, out_width)
    return out.view(channels, batch, -1, out_width).transpose(0, 1)
