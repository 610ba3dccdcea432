"""Distinct blocks of a search space, which are the rows of its latency table, and random genomes to find them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from nasctl.api import Genome, NasctlError, SearchSpace, Span

DRAWS_PER_GENOME = 100  # random genomes drawn per distinct genome wanted, before a space counts as exhausted
MAX_BLOCKS = 20_000  # distinct blocks of a space that can still be measured one by one
DRAWS_WITHOUT_NEW_BLOCK = 1000  # successive random genomes without a new block, after which the search ends


def distinct_blocks(space: SearchSpace) -> dict[str, Span]:
    """Return one span per distinct block of random genomes of the space, by emission key, sorted by key.

    A rare block can be missed. A lookup then prices it by the operator model, or raises `MissingBlock`.

    Raises:
        NasctlError: The space has more than `MAX_BLOCKS` distinct blocks.
    """
    found: dict[str, Span] = {}
    stale = 0
    for genome in random_genomes(space, seed=0):
        fresh = {span.emission.key: span for span in space.network(genome).spans if span.emission.key not in found}
        stale = 0 if fresh else stale + 1
        found |= fresh
        if len(found) > MAX_BLOCKS:
            raise NasctlError(
                f"the space has more than {MAX_BLOCKS} different blocks, too many to measure; "
                "measure whole networks, and see `nasctl device fit`"
            )
        if stale == DRAWS_WITHOUT_NEW_BLOCK:
            break
    return dict(sorted(found.items()))


def random_genomes(space: SearchSpace, seed: int) -> Iterator[Genome]:
    """Yield canonical genomes without end; each gene is drawn uniformly."""
    rng = np.random.default_rng(seed)
    cardinalities = [len(gene.choices) for gene in space.genes]
    while True:
        yield space.canonical(tuple(rng.integers(cardinalities).tolist()))


def distinct_genomes(space: SearchSpace, number: int, seed: int) -> list[Genome]:
    """Return the first `number` distinct genomes of `random_genomes`, or fewer if the space is exhausted."""
    found: dict[Genome, None] = {}
    for genome in islice(random_genomes(space, seed), number * DRAWS_PER_GENOME):
        found[genome] = None
        if len(found) == number:
            break
    return list(found)
