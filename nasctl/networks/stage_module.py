"""The torch module of a part of a network: some of its layers, from given values to given values."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from nasctl.networks.graph import Network
from nasctl.networks.node import attribute_name


class StageModule(nn.Module):
    """Some layers of a network, with the parameters of the network's module.

    Args:
        network: The network.
        module: The module of the network.
        nodes: Positions of the layers, in an order in which they can run.
        inputs: Positions of the values that the module takes, in their order; -1 is the network's input.
        outputs: Positions of the values that it returns, in their order.
    """

    def __init__(
        self, network: Network, module: nn.Module, nodes: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
    ) -> None:
        super().__init__()
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        last = {source: k for k in nodes for source in network.nodes[k].inputs} | dict.fromkeys(outputs, -1)
        self._steps = []
        for k in nodes:
            node = network.nodes[k]
            name = attribute_name(node.module_of or node.name)
            if name not in self._modules:
                self.add_module(name, module.get_submodule(name))
            spent = tuple(one for one in set(node.inputs) if last[one] == k)
            self._steps.append((k, name, node.inputs, node.layer.rows, spent))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the values at the outputs, (B, ...) each, for the values at the inputs."""
        values = dict(zip(self._inputs, inputs, strict=True))
        for k, name, sources, rows, spent in self._steps:
            part, given = self._modules[name], [values[one] for one in sources]
            assert part is not None
            if rows is None:
                values[k] = part(*given)
            else:
                values[k] = part(*[one.flatten(0, 1) for one in given]).unflatten(0, (-1, rows))
            for one in spent:
                del values[one]
        return tuple(values[k] for k in self._outputs)


__all__ = ["StageModule"]
