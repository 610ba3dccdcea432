"""Random networks of a wanted number of multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nasctl.api import BadOption, Genome, StrategyContext

TRIES = 50  # genomes that are drawn from the tables of a bin before one of the list is taken

MOST_BINS = 1000

MOST_LISTED = 1_000_000  # genomes

Costs = Sequence[tuple[Genome, float]]  # genomes with their multiply-accumulates


class CostBins:
    """Bins of multiply-accumulates of equal width, from the smallest to the largest network of a space.

    Each bin has a table for each gene: how often the listed genomes of the bin have each choice. Genes are drawn from
    these tables independently of each other, and a genome whose cost is outside the bin is drawn again.

    Args:
        context: The training.
        listed: Genomes with their multiply-accumulates.
        number: Number of bins.

    References:
        Wang et al., "AttentiveNAS: improving neural architecture search via attentive sampling", CVPR 2021,
        arXiv:2011.09011, section 3.3.
    """

    def __init__(self, context: StrategyContext, listed: Costs, number: int) -> None:
        self._context = context
        low, high = context.macs(context.smallest), context.macs(context.largest)
        self.edges = np.linspace(low, high, number + 1)  # multiply-accumulates, (number + 1,)
        self._members: list[list[Genome]] = [[] for _ in range(number)]
        for genome, macs in listed:
            self._members[self.place(macs)].append(genome)
        self.sizes = np.array([len(one) for one in self._members])  # listed genomes of each bin, (number,)
        self._tables = [self._table(one) for one in self._members]

    def place(self, macs: float) -> int:
        """Return the number of the bin of a cost. Costs outside all bins are in the first or the last one."""
        return int(np.clip(np.searchsorted(self.edges, macs, side="right") - 1, 0, len(self.edges) - 2))

    @property
    def prior(self) -> np.ndarray:
        """Return the share of the listed genomes in each bin, (number,)."""
        shares: np.ndarray = self.sizes / self.sizes.sum()
        return shares

    def draw(self, rng: np.random.Generator, place: int) -> Genome:
        """Return a canonical genome of a bin, whose weights are in the supernet.

        Args:
            rng: Source of randomness.
            place: Number of a bin with listed genomes.
        """
        context, table, members = self._context, self._tables[place], self._members[place]
        for _ in range(TRIES):
            above = rng.random(len(table))[:, None] >= table
            genome = context.space.canonical(tuple(above.sum(1).tolist()))
            if context.holds(genome) and self.place(context.macs(genome)) == place:
                return genome
        return members[int(rng.integers(len(members)))]

    def _table(self, members: Sequence[Genome]) -> np.ndarray:
        """Return the cumulative probabilities of the choices of each gene, (genes, choices of the longest gene)."""
        counts = [len(gene.choices) for gene in self._context.space.genes]
        found = np.zeros((len(counts), max(counts)))
        for genome in members:
            found[np.arange(len(counts)), genome] += 1
        found = found.cumsum(1) / max(1, len(members))
        found[:, -1] = 1
        return found


def uniform_list(context: StrategyContext, number: int) -> list[tuple[Genome, float]]:
    """Return random genomes with uniform genes, and the multiply-accumulates of each."""
    rng = _list_generator(context)
    drawn = [context.draw(rng) for _ in range(number)]
    return [(one, context.macs(one)) for one in drawn]


def covering_list(context: StrategyContext, number: int) -> list[tuple[Genome, float]]:
    """Return genomes that cover all costs, and the multiply-accumulates of each.

    Genomes with uniform genes bunch in the middle. In each genome of this list, a random share of the genes is as in
    the largest or the smallest network, and the others are uniform. The two extremes are in the list.
    """
    found = [context.largest, context.smallest, *_between_extremes(context, _list_generator(context), number)]
    return [(one, context.macs(one)) for one in found]


def _between_extremes(context: StrategyContext, rng: np.random.Generator, number: int) -> Iterator[Genome]:
    """Yield genomes between a uniform one and an extreme, where the supernet has the weights of such a mixture."""
    for k in range(number):
        extreme, other = (context.largest, context.smallest)[k % 2], context.draw(rng)
        kept = rng.random(len(extreme)) < rng.random()
        mixed = tuple(own if keep else new for own, new, keep in zip(extreme, other, kept, strict=True))
        canonical = context.space.canonical(mixed)
        yield canonical if context.holds(canonical) else other


def _list_generator(context: StrategyContext) -> np.random.Generator:
    """Return the generator of the step after the last one, whose numbers no step uses."""
    return context.rng(context.steps)


def check_bins(strategy: str, bins: int, listed: int) -> None:
    """Check the options of a strategy that has bins.

    Raises:
        BadOption: One is out of its range.
    """
    if not 1 <= bins <= MOST_BINS:
        raise BadOption(f"Cannot use {strategy} with bins={bins}. Give 1 to {MOST_BINS:,} bins of MACs.")
    if not 1 <= listed <= MOST_LISTED:
        raise BadOption(
            f"Cannot use {strategy} with listed={listed}. Give 1 to {MOST_LISTED:,} random networks for the tables of"
            " choices."
        )
