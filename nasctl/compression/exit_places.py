"""Places of a trained network where images may leave early, and the network with exits at some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from nasctl.errors import NasctlError
from nasctl.networks.early_exit import EarlyExit, ExitHead
from nasctl.networks.graph import Network, Span, emission_of
from nasctl.networks.node import Shape

LAST = "early_exit"  # name of the layer that chooses among the exits

MOST = 0.95  # share of the MACs behind which an exit saves too little to pay for its classifier

FEW = 2  # places of a kind that are enough not to look for worse ones


class ExitPlace(NamedTuple):
    """A block of a network behind which images may leave."""

    span: int  # its place in `Network.spans`
    share: float  # MACs that have run by then, as a share of those of the network


class Exit(NamedTuple):
    """An exit of a network."""

    name: str
    span: int  # place in `Network.spans` of the block behind which it is
    head: ExitHead
    threshold: float


def exit_places(network: Network, number: int) -> list[ExitPlace]:
    """Return places for exits that divide the MACs of a network as evenly as its blocks allow, from its input on.

    An exit reads a map, or a sequence of vectors. Places between the blocks of a network are preferred.

    Args:
        network: The network.
        number: Number of places; there are fewer if the network has fewer.

    Raises:
        NasctlError: The network has no place for an exit.
    """
    found = _candidates(network, number)
    if not found:
        raise NasctlError(
            "Cannot add exits to this network: it has no map and no sequence of vectors between its layers. Give"
            " another network."
        )
    chosen = dict[float, ExitPlace]()
    for k in range(1, number + 1):
        left = [one for one in found if one.share not in chosen]
        if left:
            # Of places with the same MACs the last one is behind the norm and the activation of its convolution.
            nearest = min(reversed(left), key=lambda one, k=k: abs(one.share - k / (number + 1)))  # type: ignore[misc]
            chosen[nearest.share] = nearest
    return sorted(chosen.values())


def with_exits(network: Network, exits: Sequence[Exit]) -> Network:
    """Return a network with exits at some places; each exit runs directly behind the block that it reads.

    Args:
        network: The network.
        exits: The exits in the order of their places; without any the network is returned.
    """
    if not exits:
        return network
    behind = {one.span: one for one in exits}
    spans, moved, index = list[Span](), dict[int, int](), dict[int, int]()
    logits, size = list[int](), 0
    for place, span in enumerate(network.spans):
        index[place] = len(spans)
        spans.append(span._replace(inputs=tuple(moved.get(i, i) for i in span.inputs), start=size))
        moved |= {span.start + k: size + k for k in range(len(span.emission.nodes))}
        size += len(span.emission.nodes)
        if (one := behind.get(place)) is not None:
            source = moved[span.start + span.emission.output]
            emission = emission_of(one.head, (span.emission.out_shape,))
            spans.append(Span(one.name, (source,), size, emission))
            logits.append(size + emission.output)
            size += len(emission.nodes)
    inputs = (*logits, moved[network.output])
    chosen = emission_of(EarlyExit(tuple(one.threshold for one in exits)), (network.out_shape,) * len(inputs))
    spans.append(Span(LAST, inputs, size, chosen))
    ends = None if network.block_ends is None else tuple(moved.get(end, end) for end in network.block_ends)
    shared = tuple((index[place], one) for place, one in network.shared)
    return Network(network.input_shapes, tuple(spans), size, ends, shared)


def _candidates(network: Network, number: int) -> list[ExitPlace]:
    """Return places for exits in the order of their MACs: of the best kind that has a few.

    Behind the best places, a single value is all that later blocks read. Behind the second best, all earlier blocks
    have run, as behind the cells of DARTS, which read the outputs of two cells.
    """
    ends = [span.start + span.emission.output if span.emission.output >= 0 else -1 for span in network.spans]
    sums = list(accumulate(span.emission.macs for span in network.spans))
    needed, total = _needed_macs(network, ends), max(1, network.macs)
    found = []
    for place, span in enumerate(network.spans):
        share = needed[place] / total
        if ends[place] >= 0 and _readable(span.emission.out_shape) and 0 < share <= MOST:
            found.append(ExitPlace(place, share))
    readers: dict[int, int] = {}  # the last layer that reads a value
    for k, node in enumerate(network.nodes):
        readers |= dict.fromkeys(node.inputs, k)
    readers[network.output] = len(network.nodes)
    single = [one for one in found if _single(network, one.span, ends[one.span], readers)]
    complete = [one for one in found if needed[one.span] == sums[one.span]]
    enough = min(number, FEW)
    chosen = max((single, complete, found), key=lambda some: min(enough, len({one.share for one in some})))
    return sorted(chosen, key=lambda one: (one.share, one.span))


def _readable(shape: Shape) -> bool:
    """Return whether an exit can read values of a shape: maps and sequences of more than one position."""
    return (len(shape) == 3 and shape[1] * shape[2] > 1) or (len(shape) == 2 and shape[0] > 1)


def _needed_macs(network: Network, ends: Sequence[int]) -> list[int]:
    """Return the MACs of the blocks that the output of each block needs, its own included."""
    owner = {k: place for place, span in enumerate(network.spans) for k in _positions(span)}
    needs: list[frozenset[int]] = []
    for place, span in enumerate(network.spans):
        read = [needs[owner[i]] for i in span.inputs if i >= 0]
        needs.append(frozenset({place}).union(*read))
    return [sum(network.spans[one].emission.macs for one in each) for each in needs]


def _single(network: Network, place: int, end: int, readers: Mapping[int, int]) -> bool:
    """Return whether the output of a block is all that later blocks read of the blocks up to it."""
    last = max(_positions(network.spans[place]))
    return all(k == end for k, reader in readers.items() if k <= last < reader)


def _positions(span: Span) -> range:
    return range(span.start, span.start + len(span.emission.nodes))


__all__ = ["LAST", "Exit", "ExitPlace", "exit_places", "with_exits"]
