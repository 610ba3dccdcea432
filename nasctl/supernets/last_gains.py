"""The norms that end residual branches, whose gains may begin at zero."""

from __future__ import annotations

from nasctl.networks.graph import Network
from nasctl.networks.layers import Add
from nasctl.networks.node import attribute_name
from nasctl.supernets.skeleton import NORMS, template

SHORTER = 2  # layers by which the other way to the sum is shorter, at least


def last_gains(network: Network) -> frozenset[str]:
    """Return the gains of norms that end a residual branch, by their names in the network's module.

    The only reader of such a norm is a sum of two values within its block, of which the other is computed in fewer
    layers. Sums of equal branches and of the edges of a cell have no shortcut that is always there: with all gains at
    zero nothing would learn.

    References:
        Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677, section 5.1.
    """
    nodes = network.nodes
    blocks = [k for k, span in enumerate(network.spans) for _ in span.emission.nodes]
    readers: dict[int, int] = {}
    depth: dict[int, int] = {}  # layers on the longest way from the input
    for place, node in enumerate(nodes):
        depth[place] = 1 + max((depth.get(one, 0) for one in node.inputs), default=0)
        for one in node.inputs:
            readers[one] = readers.get(one, 0) + 1
    found = set()
    for place, node in enumerate(nodes):
        if not isinstance(node.layer, Add) or len(node.inputs) != 2:
            continue
        short, deep = sorted(node.inputs, key=lambda one: depth.get(one, 0))
        if (
            deep < 0
            or blocks[deep] != blocks[place]
            or readers[deep] > 1
            or depth[deep] < depth.get(short, 0) + SHORTER
        ):
            continue
        if isinstance(template(nodes[deep].layer, nodes[deep].in_shapes), NORMS):
            found.add(f"{attribute_name(nodes[deep].name)}.weight")
    return frozenset(found)


__all__ = ["last_gains"]
