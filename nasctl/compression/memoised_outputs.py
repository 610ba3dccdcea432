"""Outputs of many variants of a network for the same images: values that variants have in common are computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nasctl.networks.node import Node

KEPT_BYTES = 256 << 20  # of values that are kept in memory

NUMBERED = 1 << 20  # values that are told apart, after which all are forgotten


@runtime_checkable
class ReadsAllBatches(Protocol):
    """A layer whose output for a batch depends on other batches too, such as a norm that is recalibrated on some."""

    def on_batches(self, batches: list[Tensor]) -> list[Tensor]:
        """Return the output for each batch.

        Args:
            batches: The inputs, (B, ...) each.
        """
        ...


class MemoisedOutputs:
    """The outputs of variants of a network that differ in some of their layers, for fixed images.

    A value is that of a layer with its choice and its inputs, so variants share the values of all layers before the
    first one that differs, in every branch. The values that were used last are kept.

    Args:
        nodes: The layers.
        output: Position of the output.
        batches: Images, (B, C, H, W) each.
        kept: Positions of the layers whose values are worth keeping; those of cheap layers are computed again.
        limit: Bytes of the values that are kept.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        output: int,
        batches: Sequence[Tensor],
        kept: frozenset[int],
        limit: int = KEPT_BYTES,
    ) -> None:
        self._nodes, self._output, self._kept, self._limit = nodes, output, kept, limit
        self._batches = list(batches)
        self._values: OrderedDict[int, list[Tensor]] = OrderedDict()
        self._bytes = 0
        self._numbers: dict[Hashable, int] = {}  # of the values, by layer, choice and inputs

    @torch.no_grad()
    def __call__(self, choices: Sequence[Hashable], part: Callable[[int], nn.Module]) -> list[Tensor]:
        """Return the outputs of a variant for each batch.

        Args:
            choices: The choice of each layer; equal choices mean equal modules.
            part: Returns the module of a layer by its position.
        """
        if len(self._numbers) > NUMBERED:
            self._numbers.clear()
            self._values.clear()
            self._bytes = 0
        numbers: dict[int, int] = {-1: -1}
        for k, node in enumerate(self._nodes):
            key = k, choices[k], tuple(numbers[source] for source in node.inputs)
            numbers[k] = self._numbers.setdefault(key, len(self._numbers))
        needed, known = self._needed(numbers)
        computed = [k for k in needed if k not in known]
        last = {source: k for k in computed for source in self._nodes[k].inputs} | {self._output: len(self._nodes)}
        values: dict[int, list[Tensor]] = {-1: self._batches, **known}
        for k in computed:
            node = self._nodes[k]
            values[k] = _outputs(part(k), node, [values[source] for source in node.inputs])
            if k in self._kept:
                self._keep(numbers[k], values[k])
            for source in set(node.inputs):
                if source >= 0 and last[source] == k:
                    del values[source]
        return values[self._output]

    def _needed(self, numbers: dict[int, int]) -> tuple[list[int], dict[int, list[Tensor]]]:
        """Return the positions of the layers whose values are needed, in order, and the values that are kept of these.

        The kept values are returned, because room for new ones may be made of them.
        """
        waiting, found, known = [self._output], set[int](), dict[int, list[Tensor]]()
        while waiting:
            k = waiting.pop()
            if k < 0 or k in found:
                continue
            found.add(k)
            if (value := self._values.get(numbers[k])) is None:
                waiting += self._nodes[k].inputs
            else:
                known[k] = value
                self._values.move_to_end(numbers[k])
        return sorted(found), known

    def _keep(self, number: int, value: list[Tensor]) -> None:
        self._values[number] = value
        self._bytes += sum(one.nbytes for one in value)
        while self._bytes > self._limit and self._values:
            self._bytes -= sum(one.nbytes for one in self._values.popitem(last=False)[1])


def _outputs(part: nn.Module, node: Node, inputs: Sequence[list[Tensor]]) -> list[Tensor]:
    """Return the outputs of a layer for each batch."""
    if isinstance(part, ReadsAllBatches):
        return part.on_batches(inputs[0])
    rows = node.layer.rows
    if rows is None:
        return [part(*given) for given in zip(*inputs, strict=True)]
    return [part(*[one.flatten(0, 1) for one in given]).unflatten(0, (-1, rows)) for given in zip(*inputs, strict=True)]


__all__ = ["MemoisedOutputs"]
