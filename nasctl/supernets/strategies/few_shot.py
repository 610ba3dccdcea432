"""Several copies of the shared weights, each for a part of the space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from nasctl.api import BadOption, Genome, Pass, StrategyContext, UnknownName
from nasctl.supernets.strategies._conditional import check_bins, covering_list, uniform_list

__all__ = ["FewShot"]

UNKNOWN = -1.0  # multiply-accumulates of an edge that is not found yet

TRIES = 100  # genomes that are drawn for one of a part before one of a list is taken


class FewShot:
    """Train one supernet for a share of the training, then a copy of it for each part of the space.

    Parts are the choices of a gene, or bands of multiply-accumulates with equal numbers of random networks. Parts take
    turns after the split, one in each step. Each copy then has the networks of its part alone. The copies take a
    multiple of the memory of the weights.

    Differences from the papers: they train each copy to the end with a schedule of its own. Here copies share the rest
    of one schedule, (1 - after) / copies of the steps each, and all begin without momentum.

    Args:
        by: Name of a gene, or "macs" for bands of multiply-accumulates.
        bands: Number of bands; a gene has a part for each choice.
        after: Share of the training before the split.
        sandwich: Whether each step trains the largest network of the part on labels, and its smallest and a random one
            on the outputs of the largest, as AutoDistil does. Otherwise it trains a random one.
        listed: Random networks of the space, which say where bands end, and which networks a part has.

    References:
        Zhao et al., "Few-shot neural architecture search", ICML 2021, arXiv:2006.06863. Xu et al.,
        "AutoDistil: few-shot task-agnostic neural architecture search for distilling large language models", NeurIPS
        2022, arXiv:2201.12507, for bands of sizes.
    """

    def __init__(
        self,
        context: StrategyContext,
        by: str = "macs",
        bands: int = 3,
        after: float = 0.5,
        sandwich: bool = False,
        listed: int = 2000,
    ) -> None:
        if not 0 <= after < 1:
            raise BadOption(f"Cannot use few_shot with after={after:g}. Give a share from 0 to below 1.")
        names = [gene.name for gene in context.space.genes]
        if by != "macs" and by not in names:
            raise BadOption(str(UnknownName("gene of the space", by, ["macs", *names])))
        check_bins("few_shot", bands, listed)
        self._context, self._sandwich, self._number = context, sandwich, listed
        self.zero_last_gains = sandwich
        self._gene = None if by == "macs" else names.index(by)
        # Multiply-accumulates between bands. A trained supernet keeps them: they say which copy a network has.
        self._edges = np.full(bands - 1 if by == "macs" else 0, UNKNOWN)
        self.copies = bands if self._gene is None else len(context.space.genes[self._gene].choices)
        self.splits_at = min(round(after * context.steps), max(0, context.steps - 1))

    def copy_of(self, genome: Genome) -> int:
        """Return the copy that has the weights of a canonical genome."""
        if self._gene is not None:
            return genome[self._gene]
        return int(np.searchsorted(self._found_edges(), self._context.macs(genome), side="right"))

    @cached_property
    def parts(self) -> list[list[Genome]]:
        """Listed genomes of each part, from the fewest to the most multiply-accumulates."""
        found: list[list[Genome]] = [[] for _ in range(self.copies)]
        for genome, _ in sorted(self._listed(), key=lambda one: (one[1], one[0])):
            found[self.copy_of(genome)].append(genome)
        return found

    def passes(self, step: int) -> Sequence[Pass]:
        rng, context = self._context.rng(step), self._context
        self._found_edges()  # a checkpoint has them from the first step on
        if step < self.splits_at:
            return self._trained(context.draw(rng), context.largest, context.smallest, 0)
        reached = [k for k, part in enumerate(self.parts) if part]  # some choices of a gene may be in no network
        copy = reached[step % len(reached)]
        part = self.parts[copy]
        return self._trained(self._draw(rng, copy), part[-1], part[0], copy)

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {"edges": self._edges}

    def _found_edges(self) -> np.ndarray:
        """Return the multiply-accumulates between bands, (bands - 1,), which are found once."""
        if (self._edges == UNKNOWN).any():
            self._edges[:] = self._quantiles(len(self._edges) + 1)
        return self._edges

    def _trained(self, drawn: Genome, largest: Genome, smallest: Genome, copy: int) -> Sequence[Pass]:
        """Return the passes of a step of one copy."""
        if not self._sandwich:
            return (Pass((drawn,), copy=copy),)
        taught = (Pass((one,), learns="teacher", copy=copy) for one in (drawn, smallest))
        return (Pass((largest,), teaches=True, copy=copy), *taught)

    def _draw(self, rng: np.random.Generator, copy: int) -> Genome:
        """Return a random genome of a part."""
        context, gene = self._context, self._gene
        for _ in range(TRIES):
            genome = context.draw(rng)
            if gene is not None:
                genome = context.space.canonical((*genome[:gene], copy, *genome[gene + 1 :]))
            if self.copy_of(genome) == copy and context.holds(genome):
                return genome
        return self.parts[copy][int(rng.integers(len(self.parts[copy])))]

    def _listed(self) -> list[tuple[Genome, float]]:
        """Return listed genomes; for a gene, each also with all other choices of the gene."""
        context, listed = self._context, covering_list(self._context, self._number)
        if self._gene is None:
            return listed
        choices = range(len(context.space.genes[self._gene].choices))
        before, after = slice(self._gene), slice(self._gene + 1, None)
        found = {context.space.canonical((*one[before], k, *one[after])) for one, _ in listed for k in choices}
        return [(one, context.macs(one)) for one in found if context.holds(one)]

    def _quantiles(self, bands: int) -> np.ndarray:
        """Return the multiply-accumulates between bands, (bands - 1,).

        Raises:
            BadOption: The networks of the space have too few different costs.
        """
        costs = [macs for _, macs in uniform_list(self._context, self._number)]
        edges: np.ndarray = np.quantile(costs, np.arange(1, bands) / bands, method="higher")
        if len({min(costs), *edges}) < bands:
            raise BadOption(
                f"Cannot split this space into {bands} bands of MACs: too many of its networks cost the same. Give"
                " fewer bands, or split by a gene."
            )
        return edges
