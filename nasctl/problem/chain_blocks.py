"""The blocks of networks that are chains, and the genes of each block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nasctl.errors import BadOption
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, SearchSpace


class ChainBlock(NamedTuple):
    """A run of layers that genes change, and that reads the output of the run before it alone."""

    groups: tuple[str, ...]  # first parts of the names of its layers, in their order
    genes: np.ndarray  # whether each gene changes it and no earlier block, (genes,)
    channels: int  # most channels that it puts out


def _group(name: str) -> str:
    return name.partition(".")[0]


def block_ends(network: Network, blocks: Sequence[ChainBlock]) -> list[str | None]:
    """Return the names of the last layer before the first block and of each block; None stands for the input.

    A block without layers ends where the one before it ends.
    """
    found: list[str | None] = [None]
    known: set[str] = set()
    for block in blocks:
        known.update(block.groups)
        found.append(next((span.name for span in reversed(network.spans) if _group(span.name) in known), None))
    return found


def _runs(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the keys of the layers of each group, in their order, without the group that ends the network."""
    found: dict[str, tuple[str, ...]] = {}
    for span in network.spans:
        name = _group(span.name)
        found[name] = (*found.get(name, ()), f"{span.name} {span.emission.key}")
    found.pop(next(_group(span.name) for span in reversed(network.spans) if span.start <= network.output))
    return found


def chain_blocks(space: SearchSpace, anchors: Sequence[Genome]) -> list[ChainBlock]:
    """Return the blocks of the networks of a space that genes change.

    A block is a run of layers with the same first part of their names, which genes change that no earlier block has.
    Other layers belong to the block before or after them. The layers that end the network belong to none.

    Args:
        space: The space.
        anchors: Canonical genomes, the largest first. All choices of every gene are tried on each.

    Raises:
        BadOption: The networks are no chain of blocks.
    """
    order, changed = list(_runs(space.network(anchors[0]))), dict[str, np.ndarray]()
    for anchor in anchors:
        before = _runs(space.network(anchor))
        for gene, one in enumerate(space.genes):
            for choice in range(len(one.choices)):
                other = space.canonical((*anchor[:gene], choice, *anchor[gene + 1 :]))
                after = _runs(space.network(other))
                for name in order:
                    if before.get(name) != after.get(name):
                        changed.setdefault(name, np.zeros(len(space.genes), bool))[gene] = True
    found: list[ChainBlock] = []
    waiting: tuple[str, ...] = ()  # groups that no gene changes belong to the next block
    for name in order:
        if name not in changed:
            waiting = (*waiting, name)
            continue
        taken = np.any([one.genes for one in found], axis=0) if found else np.zeros(len(space.genes), bool)
        own, groups, waiting = changed[name] & ~taken, (*waiting, name), ()
        if own.any() or not found:
            found.append(ChainBlock(groups, own, 0))
        else:  # what only genes of earlier blocks change cannot be scored apart from them
            found[-1] = found[-1]._replace(groups=(*found[-1].groups, *groups))
    return [_measured(space.network(anchors[0]), found, place) for place in range(len(found))]


def _measured(network: Network, blocks: Sequence[ChainBlock], place: int) -> ChainBlock:
    """Return a block with its channels in the largest network, after checking that it reads one value.

    Raises:
        BadOption: It reads several values of earlier blocks.
    """
    before, after = block_ends(network, blocks)[place : place + 2]
    places = {span.name: k for k, span in enumerate(network.spans)}
    first, last = (-1 if one is None else places[one] for one in (before, after))
    end = network.spans[first].start + network.spans[first].emission.output if first >= 0 else -1
    inside = network.spans[first + 1 : last + 1]
    if any(one < (inside[0].start if inside else 0) and one != end for span in inside for one in span.inputs):
        raise BadOption(
            f"Cannot train block {blocks[place].groups[-1]} alone: it reads several values of earlier layers. Choose a"
            " space whose blocks follow one another."
        )
    shape = network.spans[last].emission.out_shape
    return blocks[place]._replace(channels=shape[0] if len(shape) == 3 else shape[-1])


__all__ = ["ChainBlock", "block_ends", "chain_blocks"]
