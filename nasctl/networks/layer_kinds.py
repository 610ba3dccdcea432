"""Kinds of layers: which torch modules count as convolutions, linear layers, norms, rectifiers and so on.

All metrics ask this module, so that no two metrics disagree. Kinds are base classes, so subclasses count too. The
module imports torch only when a function is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal

from nasctl.networks.layers import (
    BatchNorm,
    Conv,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Linear,
    ReLU,
    ReLU6,
    Sigmoid,
    Swish,
)
from nasctl.networks.node import Layer, Node, attribute_name
from nasctl.networks.sequences import (
    GELU,
    ClassToken,
    Embedding,
    LayerNorm,
    PatchEmbedding,
    PositionEmbedding,
    Softmax,
    Tanh,
)
from nasctl.networks.token_mixing import HeadLinear, RelativeScores, SeparableConv1d, TokenType

LayerKind = Literal[
    "convolution",
    "linear",
    "recurrent",
    "attention",
    "embedding",
    "norm",
    "rectifier",
    "activation",
    "softmax",
    "other",
]
# The kinds of nasctl's own layers; those that are not listed are "other".
OWN_LAYERS: Mapping[type[Layer], LayerKind] = {
    **dict.fromkeys((Conv, PatchEmbedding, SeparableConv1d), "convolution"),
    **dict.fromkeys((Linear, HeadLinear), "linear"),
    **dict.fromkeys((Embedding, PositionEmbedding, ClassToken, TokenType, RelativeScores), "embedding"),
    **dict.fromkeys((BatchNorm, LayerNorm), "norm"),
    **dict.fromkeys((ReLU, ReLU6, HSwish, Swish, GELU), "rectifier"),
    **dict.fromkeys((Sigmoid, HSigmoid, Tanh), "activation"),
    Softmax: "softmax",
}
OWN_MODULES = frozenset(f"nasctl.networks.{name}" for name in ("layers", "sequences", "token_mixing"))

if TYPE_CHECKING:
    from torch import nn

    from nasctl.networks.graph import Network

    Kinds = tuple[type[nn.Module], ...]


@cache
def convolutions() -> Kinds:
    """Return the classes of convolutions: plain, transposed and lazy, of one to three dimensions."""
    from torch.nn.modules.conv import _ConvNd

    return (_ConvNd,)


@cache
def linear_layers() -> Kinds:
    """Return the classes of linear and bilinear layers."""
    from torch import nn

    from nasctl.networks import torch_modules

    return nn.Linear, nn.Bilinear, torch_modules.HeadLinear


@cache
def recurrent_layers() -> Kinds:
    """Return the classes of recurrent layers and cells of torch."""
    from torch import nn

    return nn.RNNBase, nn.RNNCellBase


@cache
def attention_layers() -> Kinds:
    """Return the classes of attention that hold their projections themselves."""
    from torch import nn

    return (nn.MultiheadAttention,)


@cache
def embeddings() -> Kinds:
    """Return the classes of embeddings: tables of learned vectors for tokens, segments, positions and distances."""
    from torch import nn

    from nasctl.networks import torch_modules as own

    added = (own.PositionEmbedding, own.ClassToken, own.TokenType, own.RelativeScores)
    return nn.Embedding, nn.EmbeddingBag, *added


@cache
def batch_norms() -> Kinds:
    """Return the classes of norms over the examples of a batch."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return (_BatchNorm,)


@cache
def norms() -> Kinds:
    """Return the classes of norms: batch, instance, group, layer, root-mean-square and local response norms."""
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase

    return _NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d


@cache
def rectifiers() -> Kinds:
    """Return the classes of rectifiers: activations that pass inputs above a point and damp inputs below it.

    `switch_point` returns the point. ReLU6 is a `Hardtanh`.
    """
    from torch import nn

    smooth = (nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish, nn.ELU, nn.CELU, nn.SELU)
    return nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Threshold, *smooth


@cache
def activations() -> Kinds:
    """Return the classes of all elementwise activations: rectifiers, sigmoids, and shrinking functions."""
    from torch import nn

    sigmoids = (nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Tanh, nn.Softsign)
    return *rectifiers(), *sigmoids, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink


@cache
def softmaxes() -> Kinds:
    """Return the classes of softmaxes."""
    from torch import nn

    return nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax


def layer_kind(node: Node) -> LayerKind:
    """Return the kind of a layer.

    Args:
        node: The layer in a network. Layers of nasctl are known without torch.
    """
    kind = type(node.layer)
    if kind in OWN_LAYERS or kind.__module__ in OWN_MODULES:
        return OWN_LAYERS.get(kind, "other")
    from nasctl.networks.executable import module_class

    return class_kind(module_class(node.layer.module(*node.in_shapes)))  # type: ignore[arg-type]  # classes are hashable


def module_kind(part: nn.Module) -> LayerKind:
    """Return the kind of a module."""
    return class_kind(type(part))  # type: ignore[arg-type]  # classes are hashable


def is_batch_norm(part: Node | nn.Module) -> bool:
    """Return whether a layer of a network, or a module, is a batch norm."""
    if isinstance(part, Node):
        if isinstance(part.layer, BatchNorm):
            return True
        if layer_kind(part) != "norm" or isinstance(part.layer, LayerNorm):
            return False
        from nasctl.networks.executable import module_class

        return issubclass(module_class(part.layer.module(*part.in_shapes)), batch_norms())
    return isinstance(part, batch_norms())


@cache
def class_kind(kind: type[nn.Module]) -> LayerKind:
    """Return the kind of the layers of a module class."""
    kinds: dict[LayerKind, Kinds] = {
        "convolution": convolutions(),
        "linear": linear_layers(),
        "recurrent": recurrent_layers(),
        "attention": attention_layers(),
        "embedding": embeddings(),
        "norm": norms(),
        "rectifier": rectifiers(),
        "activation": activations(),
        "softmax": softmaxes(),
    }
    return next((name for name, classes in kinds.items() if issubclass(kind, classes)), "other")


def is_global_pool(node: Node) -> bool:
    """Return whether a layer pools each channel of a map to one value."""
    if isinstance(node.layer, GlobalAvgPool):
        return True
    if len(node.out_shape) < 2 or set(node.out_shape[1:]) != {1}:
        return False
    from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd

    from nasctl.networks.executable import module_class

    return issubclass(module_class(node.layer.module(*node.in_shapes)), _AdaptiveAvgPoolNd | _AdaptiveMaxPoolNd)


def switch_point(rectifier: nn.Module) -> float:
    """Return the input above which a unit of a rectifier is on."""
    from torch import nn

    if isinstance(rectifier, nn.Threshold):
        return float(rectifier.threshold)
    return float(rectifier.min_val) if isinstance(rectifier, nn.Hardtanh) else 0.0


@cache
def _weight_kind(kind: type[nn.Module]) -> str:
    """Return "one" for classes whose only weight is `weight`, "several" for classes with other weights, else ""."""
    if issubclass(kind, (*convolutions(), *linear_layers())):
        return "one"
    return "several" if issubclass(kind, (*recurrent_layers(), *attention_layers())) else ""


def weight_names(part: nn.Module) -> tuple[str, ...]:
    """Return the names of the parameters that a module itself multiplies with its input in products of matrices.

    These are the weights of convolutions and linear layers, the projections of attention, and the weights of recurrent
    layers. Biases, embeddings, and the scales of norms do not count. Parameters of submodules are not included.
    """
    kind = _weight_kind(type(part))  # type: ignore[arg-type]  # classes are hashable
    if kind == "one":
        return ("weight",)
    parameters = part._parameters if kind else {}
    return tuple(name for name, one in parameters.items() if one is not None and "weight" in name)


@cache
def _is_custom(kind: type[nn.Module]) -> bool:
    home = next((one.__module__ for one in kind.__mro__ if "forward" in vars(one)), "")
    if home.startswith("nasctl.networks."):
        return kind.__name__ == "FunctionCalls"
    return not f"{home}.".startswith("torch.nn.")


def is_custom(part: nn.Module) -> bool:
    """Return whether the forward method of a module is written neither in torch.nn nor in nasctl's own layers.

    Such a module may call any function of torch. A module traced from functions, `FunctionCalls`, is custom, and so is
    a subclass of a layer with a forward method of its own.
    """
    return _is_custom(type(part))  # type: ignore[arg-type]  # classes are hashable


def node_modules(module: nn.Module, network: Network) -> list[nn.Module]:
    """Return the module of each node of a network; a node may run the module of an earlier one.

    Args:
        module: The module of the network.
        network: The network.
    """
    owners = (attribute_name(getattr(node, "module_of", "") or node.name) for node in network.nodes)
    return [module.get_submodule(owner) for owner in owners]


def layer_title(name: str, part: nn.Module) -> str:
    """Return the name of a layer with its class, for messages: "stage1_0_conv (Conv1d)"."""
    return f"{name} ({type(part).__name__})" if name else type(part).__name__
