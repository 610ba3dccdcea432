"""Pieces of a network: the values of chosen layers, from the network's inputs or from given values of other layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.networks.graph import Network
from nasctl.networks.node import attribute_name


class Pieces(nn.Module):
    """A module that runs some of a network's layers, as `body`.

    Args:
        network: The network.
        body: A module of it, whose attributes are the layers.
    """

    def __init__(self, network: Network, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self._nodes = network.nodes
        self._positions = {node.name: place for place, node in enumerate(self._nodes)}
        for span in network.spans:
            output = span.emission.output
            self._positions[span.name] = span.start + output if output >= 0 else span.inputs[-1 - output]
        self._positions[""] = network.output

    def needed(self, wanted: Sequence[str], given: Mapping[str, Tensor]) -> list[int]:
        """Return the positions of the layers that run, in order.

        Raises:
            NasctlError: The network has no layer or block of a name.
        """
        known = {self._position(name) for name in given}
        open_, found = [self._position(name) for name in wanted], set[int]()
        while open_:
            place = open_.pop()
            if place >= 0 and place not in known and place not in found:
                found.add(place)
                open_ += self._nodes[place].inputs
        return sorted(found)

    def owners(self, places: Sequence[int]) -> set[str]:
        """Return the attributes of the layers whose parameters the layers at some positions use."""
        found: set[str] = set()
        for place in places:
            node = self._nodes[place]
            names = [node.module_of or node.name, *(one.layer for one in node.shared)]
            found.update(map(attribute_name, names))
        return found

    def forward(
        self, inputs: Sequence[Tensor], wanted: Sequence[str], given: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        values = {-1 - place: value for place, value in enumerate(inputs)}
        values |= {self._position(name): value for name, value in given.items()}
        for place in self.needed(wanted, given):
            node = self._nodes[place]
            part, own = self.body.get_submodule(attribute_name(node.name)), [values[one] for one in node.inputs]
            if node.layer.rows is None:
                values[place] = part(*own)
            else:
                values[place] = part(*[one.flatten(0, 1) for one in own]).unflatten(0, (-1, node.layer.rows))
        return {name: values[self._position(name)] for name in wanted}

    def _position(self, name: str) -> int:
        try:
            return self._positions[name]
        except KeyError:
            raise NasctlError(f"Cannot run a piece of this network: it has no layer or block {name!r}.") from None


__all__ = ["Pieces"]
