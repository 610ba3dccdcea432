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


@lru_cache(maxsize=1 << 16)
def _read_inputs(emission: Emission) -> frozenset[int]:
    """Return the numbers of the inputs that the output of a block depends on."""
    read: list[frozenset[int]] = []  # by node
    for node in emission.nodes:
        parts = (frozenset({-1 - i}) if i < 0 else read[i] for i in node.inputs)
        read.append(frozenset() if isinstance(node.layer, Zero) else frozenset().union(*parts))
    return read[emission.output] if emission.output >= 0 else frozenset({-1 - emission.output})
