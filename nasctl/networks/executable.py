"""The torch module that runs a network, and the construction of its layers' modules from their calls."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nasctl.networks.memory_layout import usual_layout
from nasctl.networks.node import Call, Node, attribute_name, check_names
from nasctl.networks.quantized_weights import QuantizedWeights
from nasctl.networks.sparse_weights import SparseWeights
from nasctl.networks.torch_modules import (
    Add,
    AttentionScores,
    ClassToken,
    Concat,
    ConcatFeatures,
    Cosine,
    DynamicConv,
    EarlyExit,
    FirstToken,
    FlattenMap,
    Fourier,
    HeadLinear,
    MeanToken,
    Multiply,
    PositionEmbedding,
    RelativeScores,
    SeparableConv1d,
    TokenType,
    UnflattenMap,
    WeightedSum,
    WeightedValues,
    Zero,
)

# The module classes of nasctl that a `Call` may name, beside those of torch.nn.
NASCTL_MODULES: dict[str, type[nn.Module]] = {
    part.__name__: part
    for part in (
        Add,
        WeightedSum,
        Multiply,
        Concat,
        Zero,
        PositionEmbedding,
        ClassToken,
        FlattenMap,
        UnflattenMap,
        AttentionScores,
        WeightedValues,
        FirstToken,
        MeanToken,
        TokenType,
        Fourier,
        Cosine,
        SeparableConv1d,
        DynamicConv,
        ConcatFeatures,
        HeadLinear,
        RelativeScores,
        QuantizedWeights,
        SparseWeights,
        EarlyExit,
    )
}


class ModuleAgain(nn.Module):
    """The module of an earlier node, for a node that runs it again; it has no parameters of its own."""

    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        self._owner = (owner,)  # in a tuple, so that torch does not register it twice

    def forward(self, *inputs: Tensor) -> Tensor:
        found: Tensor = self._owner[0](*inputs)
        return found


class Executable(nn.Module):
    """A torch module that runs the nodes of a network.

    The state dict has the names of the nodes, with "_" in place of ".", as prefixes of its keys.

    Args:
        nodes: The nodes, in the order in which they run.
        output: Position of the node whose value the module returns.
        parts: A module for each node; constructed from the nodes' calls if None.

    Raises:
        NasctlError: The modules of two nodes would have the same attribute.
    """

    def __init__(self, nodes: Sequence[Node], output: int, parts: Sequence[nn.Module] | None = None) -> None:
        super().__init__()
        check_names(nodes)
        last = {source: k for k, node in enumerate(nodes) for source in node.inputs} | {output: len(nodes)}
        self._steps = [
            (
                attribute_name(node.name),
                node.inputs,
                tuple(i for i in set(node.inputs) if last[i] == k),
                node.layer.rows,
            )
            for k, node in enumerate(nodes)
        ]
        self._output = output
        parts = [construct(node.layer.module(*node.in_shapes)) for node in nodes] if parts is None else parts
        for node, part in zip(nodes, parts, strict=True):
            owner = self._modules[attribute_name(node.module_of)] if node.module_of else None
            self.add_module(attribute_name(node.name), part if owner is None else ModuleAgain(owner))
        for node in nodes:
            for own, layer, other, _ in node.shared:
                modules = [self.get_submodule(attribute_name(name)) for name in (node.name, layer)]
                share_tensor(modules[0], own, modules[1], other)

    def forward(self, *inputs: Tensor) -> Tensor:
        values = {-1 - k: value for k, value in enumerate(inputs)}
        for position, (attribute, sources, spent, parts) in enumerate(self._steps):
            given = [values[source] for source in sources]
            if parts is None:
                values[position] = self._modules[attribute](*given)  # type: ignore[misc]
            else:
                found = self._modules[attribute](*[value.flatten(0, 1) for value in given])  # type: ignore[misc]
                values[position] = found.unflatten(0, (-1, parts))
            for source in spent:  # frees memory as early as possible
                del values[source]
        return values[self._output]


def share_tensor(part: nn.Module, own: str, source: nn.Module, other: str) -> None:
    """Give a module a parameter or buffer of another.

    Args:
        part: The module of a layer.
        own: Name of the parameter or buffer in it.
        source: The module of an earlier layer.
        other: Name of the tensor in the earlier layer's module.
    """
    path, _, name = own.rpartition(".")
    tensor: object = source
    for word in other.split("."):
        tensor = getattr(tensor, word)
    setattr(part.get_submodule(path), name, tensor)


def construct(call: Call) -> nn.Module:
    """Construct the torch module that a call describes."""
    kind = module_class(call)
    made = kind(*call.args, **call.options)
    if not isinstance(call.factory, str) and not kind.__module__.startswith("torch."):
        made.register_forward_pre_hook(usual_layout)  # classes of plug-ins may take views of images
    return made


def module_class(call: Call) -> type[nn.Module]:
    """Return the module class that a call names."""
    if not isinstance(call.factory, str):
        return call.factory
    factory: type[nn.Module] = NASCTL_MODULES.get(call.factory) or getattr(nn, call.factory.removeprefix("nn."))
    return factory
