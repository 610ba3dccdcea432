"""The torch module that runs a network, and the constructor of each of its layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nasctl.networks.node import Call, Node, attribute_name
from nasctl.networks.torch_modules import (
    Add,
    AttentionScores,
    ClassToken,
    Concat,
    ConcatFeatures,
    Cosine,
    DynamicConv,
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
    WeightedValues,
    Zero,
)

OWN: dict[str, type[nn.Module]] = {  # what a Call may name beside torch.nn
    part.__name__: part
    for part in (
        Add,
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
    )
}


class Executable(nn.Module):
    """A network's nodes as a torch module; its state dict is keyed by their names, with "_" for ".".

    Args:
        nodes: In the order in which they run.
        output: Position of the node whose value the module returns.
        parts: A module for each node; made by their own constructors if not given.
    """

    def __init__(self, nodes: Sequence[Node], output: int, parts: Sequence[nn.Module] | None = None) -> None:
        super().__init__()
        last = {source: k for k, node in enumerate(nodes) for source in node.inputs} | {output: len(nodes)}
        self._steps = [
            (attribute_name(node.name), node.inputs, tuple(i for i in set(node.inputs) if last[i] == k))
            for k, node in enumerate(nodes)
        ]
        self._output = output
        parts = [made(node.layer.module(*node.in_shapes)) for node in nodes] if parts is None else parts
        for (attribute, _, _), part in zip(self._steps, parts, strict=True):
            self.add_module(attribute, part)

    def forward(self, *inputs: Tensor) -> Tensor:
        values = {-1 - k: value for k, value in enumerate(inputs)}
        for position, (attribute, sources, spent) in enumerate(self._steps):
            values[position] = self._modules[attribute](*[values[source] for source in sources])  # type: ignore[misc]
            for source in spent:  # so that memory is freed as early as it can be
                del values[source]
        return values[self._output]


def made(call: Call) -> nn.Module:
    """The torch module that a call describes."""
    factory = factory_of(call)
    return factory(*call.args, **call.options)


def factory_of(call: Call) -> type[nn.Module]:
    """The module class that a call names."""
    if not isinstance(call.factory, str):
        return call.factory
    factory: type[nn.Module] = OWN.get(call.factory) or getattr(nn, call.factory.removeprefix("nn."))
    return factory
