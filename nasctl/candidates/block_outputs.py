"""The blocks of a network, and the layers that put out the feature map of each block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from nasctl.networks.graph import Network, Span
from nasctl.networks.layer_kinds import is_global_pool, layer_kind
from nasctl.networks.node import Node

PARTS = 2  # parts of a span's name that may name a block: "stage1.0" of "stage1.0.edge01"


def map_positions(network: Network) -> list[int]:
    """Return the positions of the nodes whose outputs are the maps of blocks, from the stem to the global pool.

    A space may declare where its blocks end (`Builder.build`). Otherwise the blocks follow from names and wiring; see
    `block_names`. The map of a block is then its last output that another block reads. A block that is the identity has
    no layer, and so no map. Maps have channels first: (C, H, W), (C, L) or (C, D, H, W).
    """
    nodes, stop = network.nodes, _pool_position(network)
    before_pool = (lambda position: True) if stop < 0 else (lambda position: position < stop)
    if network.block_ends is not None:
        ends = sorted(set(network.block_ends))
        return [one for one in ends if one >= 0 and len(nodes[one].out_shape) > 1 and before_pool(one)]
    blocks = [
        name if stop < 0 or span.start < stop else ""  # the pool and the layers after it are no block
        for span, name in zip(network.spans, block_names(network), strict=True)
        for _ in span.emission.nodes
    ]
    read = {
        source for k, node in enumerate(nodes) for source in node.inputs if source >= 0 and blocks[source] != blocks[k]
    }
    last = {
        blocks[position]: position
        for position in sorted(read | {network.output})
        if position >= 0 and len(nodes[position].out_shape) > 1 and before_pool(position)
    }
    return sorted(last.values())


def _pool_position(network: Network) -> int:
    """Return the position of the layer that ends the maps (the global pool, or a reshape before it), or -1."""
    nodes, path, position = network.nodes, list[int](), network.output
    # The path back from the output follows first inputs. A gate is a second input, so no gate lies on the path.
    while position >= 0:
        path.append(position)
        position = nodes[position].inputs[0]
    pools = (one for one in path if is_global_pool(nodes[one]))
    vectors = (one for one in path if len(nodes[one].out_shape) == 1 < len(nodes[one].in_shapes[0]))
    stop = next(pools, next(vectors, -1))
    while stop >= 0 and (source := nodes[stop].inputs[0]) >= 0 and _reshapes(nodes[source]):
        stop = source
    return stop


def _reshapes(node: Node) -> bool:
    """Return whether a layer only arranges the values of its input in another number of dimensions."""
    before, after = node.in_shapes[0], node.out_shape
    return len(node.inputs) == 1 and len(before) != len(after) and prod(before) == prod(after)


def block_names(network: Network) -> list[str]:
    """Return the name of the block that each span of a network belongs to.

    Spans whose names share a first part are one block ("cell1" of "cell1.edge01"), unless the groups of spans that also
    share the second part follow one another in a chain; each of these is a block then ("stage1.0" of
    "stage1.0.edge01"). In a chain, each group reads one value, the output of the group before. Of single layers without
    a common name, such as traced ones, norms and activations belong to the block of the layer before. So do layers
    beside a shortcut: every path from the input to the output passes the end of a block.
    """
    spans = network.spans
    groups: dict[str, dict[str, list[Span]]] = {}
    for span in spans:
        first, whole = span.name.split(".")[0], ".".join(span.name.split(".")[:PARTS])
        groups.setdefault(first, {}).setdefault(whole, []).append(span)
    chained = {first: _is_chain([*parts.values()]) for first, parts in groups.items()}
    names = [
        ".".join(span.name.split(".")[:PARTS]) if chained[span.name.split(".")[0]] else span.name.split(".")[0]
        for span in spans
    ]
    return _joined(network, names)


def _is_chain(groups: Sequence[Sequence[Span]]) -> bool:
    """Return whether each of several groups of spans reads one value, the output of the group before."""
    before: tuple[int, int] | None = None  # the positions of the nodes of the group before
    for group in groups:
        start, stop = group[0].start, _stop(group[-1])
        outside = {source for span in group for source in span.inputs if not start <= source < stop}
        if len(outside) > 1 or (before is not None and not all(before[0] <= source < before[1] for source in outside)):
            return False
        before = start, stop
    return True


def _stop(span: Span) -> int:
    """Return the position after the last node of a span."""
    return span.start + len(span.emission.nodes)


def _joined(network: Network, names: Sequence[str]) -> list[str]:
    """Return names of blocks in which single layers are joined to the blocks that they belong to."""
    spans, cuts = network.spans, _cut_values(network)
    counts = Counter(names)
    alone = [
        len(span.emission.nodes) == 1 and span.name == name and counts[name] == 1
        for span, name in zip(spans, names, strict=True)
    ]
    if not any(alone):
        return [*names]
    found = [*names]
    for k in range(1, len(spans)):
        following = alone[k] and spans[k].inputs == (spans[k - 1].start + spans[k - 1].emission.output,)
        if following and _belongs_before(spans[k].emission.nodes[0]):
            found[k] = found[k - 1]
    start = next((k for k, span in enumerate(spans) if not (alone[k] and _reshapes(span.emission.nodes[0]))), 0)
    found[:start] = [found[start]] * start  # a reshape of the input is no block
    for k in range(len(spans) - 2, -1, -1):
        end = spans[k].start + spans[k].emission.output
        if alone[k] and end not in cuts:
            found[k] = found[k + 1]
    return found


def _belongs_before(node: Node) -> bool:
    """Return whether a single layer belongs to the block of the layer before: a norm, an activation, a reshape."""
    if layer_kind(node) in ("norm", "rectifier", "activation"):
        return True
    traced = type(node.layer).__name__ == "Function"  # functions without a layer, such as a flattening or a product
    return _reshapes(node) or (traced and len(node.inputs) == 1 and prod(node.in_shapes[0]) == prod(node.out_shape))


def _cut_values(network: Network) -> frozenset[int]:
    """Return the positions of the spans' outputs that every path from the input to the output passes."""
    reach: dict[int, int] = {}  # the last span that reads a value, by the position of the value
    for k, span in enumerate(network.spans):
        reach |= dict.fromkeys(span.inputs, k)
    found, open_until = set[int](), max((reach[one] for one in reach if one < 0), default=-1)
    for k, span in enumerate(network.spans):
        end = span.start + span.emission.output
        if open_until <= k:  # no earlier value is read after this span
            found.add(end)
        open_until = max(open_until, reach.get(end, k))
    return frozenset(found)


def grouping_changed(network: Network) -> bool:
    """Return whether nasctl 0.1, which took the first two parts of a span's name, had other blocks for a network."""
    before = [".".join(span.name.split(".")[:PARTS]) for span in network.spans]
    return network.block_ends is not None or before != block_names(network)
