"""The distinct blocks of a space: the rows that a latency table of it has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from nasctl.api import Genome, NasctlError, SearchSpace, Span

DRAWS = 100  # genomes for each that is wanted, after which a space is used up
MOST = 20_000  # blocks that can be measured one by one
PATIENCE = 1000  # genomes in a row without a new block, after which all blocks count as found


def distinct_blocks(space: SearchSpace) -> dict[str, Span]:
    """One span for every key that random genomes of the space have, in the order of the keys.

    A rare block can be missed; a look-up then takes it from the operator model, or names it as missing.

    Raises:
        NasctlError: There are too many.
    """
    found: dict[str, Span] = {}
    stale = 0
    for genome in random_genomes(space, seed=0):
        fresh = {span.emission.key: span for span in space.network(genome).spans if span.emission.key not in found}
        stale = 0 if fresh else stale + 1
        found |= fresh
        if len(found) > MOST:
            raise NasctlError(
                f"the space has more than {MOST} different blocks, too many to measure; measure whole networks, and see"
                " `nasctl device fit`"
            )
        if stale == PATIENCE:
            break
    return dict(sorted(found.items()))


def random_genomes(space: SearchSpace, seed: int) -> Iterator[Genome]:
    """Canonical genomes, drawn uniformly gene by gene, without end."""
    rng = np.random.default_rng(seed)
    cardinalities = [len(gene.choices) for gene in space.genes]
    while True:
        yield space.canonical(tuple(rng.integers(cardinalities).tolist()))


def distinct_genomes(space: SearchSpace, number: int, seed: int) -> list[Genome]:
    """The first so many different ones of `random_genomes`, or fewer where the space is used up."""
    found: dict[Genome, None] = {}
    for genome in islice(random_genomes(space, seed), number * DRAWS):
        found[genome] = None
        if len(found) == number:
            break
    return list(found)
