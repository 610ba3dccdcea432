"""Idle blocks of a network: blocks that do not influence its output."""

from __future__ import annotations

from functools import lru_cache

from nasctl.api import Emission, Network, Span, Zero


def live_spans(network: Network) -> tuple[Span, ...]:
    """Return the blocks of a network that influence its output, in their order.

    A block is idle if its output does not reach the output of the network, or does not depend on the network's input
    because there are zeros between them. A runtime may execute idle blocks, or leave them out and compute constants
    once.
    """
    owner: dict[int, int] = {}  # index of the span, by position of the node
    varies: list[bool] = []  # True for spans whose output depends on the network's input
    for k, span in enumerate(network.spans):
        owner |= dict.fromkeys(range(span.start, span.start + len(span.emission.nodes)), k)
        read = [span.inputs[j] for j in _read_inputs(span.emission)]
        # A value without an owner is of an idle block that was left out before.
        varies.append(any(i < 0 or (i in owner and varies[owner[i]]) for i in read))
    reached = [False] * len(varies)
    if network.output in owner:
        reached[owner[network.output]] = True
    for k in reversed(range(len(varies))):
        if reached[k] and varies[k]:
            for j in _read_inputs(network.spans[k].emission):
                if (i := network.spans[k].inputs[j]) in owner:
                    reached[owner[i]] = True
    return tuple(span for k, span in enumerate(network.spans) if varies[k] and reached[k])


def unavoidable_spans(network: Network) -> tuple[Span, ...]:
    """Return the blocks on every path from the input to the output, as if zeros passed it on, outside of zeros' cells.

    They are what every network of a space runs, such as the stem, the reductions and the head, whatever operations are
    chosen in its cells. A cell is what the names of its blocks begin with: "stage1.0" in "stage1.0.edge13". Operations
    beside zeros in a cell are choices, and networks of one function may differ in them.

    These are the dominators of the output (Lengauer & Tarjan, TOPLAS 1(1), 1979), found in the order of the blocks.
    """
    owner = {
        i: k for k, span in enumerate(network.spans) for i in range(span.start, span.start + len(span.emission.nodes))
    }
    above: list[frozenset[int] | None] = []  # blocks on every path from the input to the block; None without a path
    for k, span in enumerate(network.spans):
        read = [frozenset[int]() if i < 0 else above[owner[i]] for i in span.inputs if i < 0 or i in owner]
        paths = [one for one in read if one is not None]
        above.append(frozenset.intersection(*paths) | {k} if paths else None)
    last = owner.get(network.output)
    kept = frozenset() if last is None else above[last] or frozenset({last})
    read_none = [span for span in network.spans if not _read_inputs(span.emission)]
    cells = {span.name.rpartition(".")[0] for span in read_none} - {""}
    spans = ((k, span) for k, span in enumerate(network.spans) if k in kept and span not in read_none)
    return tuple(span for _, span in spans if span.name.rpartition(".")[0] not in cells)


@lru_cache(maxsize=1 << 16)
def _read_inputs(emission: Emission) -> frozenset[int]:
    """Return the numbers of the inputs that the output of a block depends on."""
    read: list[frozenset[int]] = []  # by node
    for node in emission.nodes:
        parts = (frozenset({-1 - i}) if i < 0 else read[i] for i in node.inputs)
        read.append(frozenset() if isinstance(node.layer, Zero) else frozenset().union(*parts))
    return read[emission.output] if emission.output >= 0 else frozenset({-1 - emission.output})
