"""Distributions over the choices of genes: their history in a training, draws from them, and their best genome."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nasctl.api import Genome, StrategyContext, drawn_choices

ROWS = 101  # of a history: one for each per cent of the steps, and one for the beginning

DRAWS = 100  # genomes that are drawn from the probabilities before one with uniform genes is taken

BEST = 1000  # most probable genomes that are tried for one whose weights are in the supernet

Distribution = Sequence[np.ndarray]  # probabilities of the choices of each gene, (genes,) arrays of (choices,)


class ChoiceHistory:
    """The probabilities of all choices over a training.

    Put `array` into `Strategy.arrays` as "history", and call `note` at the end of `told`. `nasctl supernet show --plot`
    draws it.

    Args:
        counts: Number of choices of each gene, (genes,).
        steps: Steps of the training.

    Attributes:
        array: Row k has the probabilities after k% of the steps, those of all genes side by side: (101, sum(counts)),
            NaN until they are known. Row 0 has those of the beginning.
    """

    def __init__(self, counts: Sequence[int], steps: int) -> None:
        self.array = np.full((ROWS, sum(counts)), np.nan)
        self._steps = steps

    def note(self, step: int, probabilities: Distribution | Callable[[], Distribution]) -> None:
        """Write the rows that a step completes.

        Args:
            step: The step that has ended, from 0; -1 before the first one.
            probabilities: Those after the step, or a function that returns them, which is called only if a row is due.
        """
        last = min(ROWS - 1, (ROWS - 1) * (step + 1) // self._steps)
        first = last
        while first >= 0 and math.isnan(self.array[first, 0]):
            first -= 1
        if first < last:
            found = probabilities() if callable(probabilities) else probabilities
            self.array[first + 1 : last + 1] = np.concatenate(found)


def drawn_genome(context: StrategyContext, probabilities: Distribution, rng: np.random.Generator) -> Genome:
    """Return a canonical genome with independent genes, whose weights are in the supernet.

    Args:
        context: The training.
        probabilities: Probabilities of the choices of each gene.
        rng: Source of randomness.
    """
    return drawn_pair(context, probabilities, rng)[1]


def drawn_pair(
    context: StrategyContext, probabilities: Distribution, rng: np.random.Generator
) -> tuple[Genome | None, Genome]:
    """Return a raw genome with independent genes, and its canonical one, whose weights are in the supernet.

    Choices that `canonical` replaces have been drawn all the same, so they are what a bandit learns about. The raw
    genome is None if the weights of no draw are in the supernet: then another genome is returned.

    Args:
        context: The training.
        probabilities: Probabilities of the choices of each gene.
        rng: Source of randomness.
    """
    for _ in range(DRAWS):
        raw = drawn_choices(probabilities, rng)
        if context.holds(genome := context.space.canonical(raw)):
            return raw, genome
    return None, context.draw(rng)


def loss_of_chance(context: StrategyContext) -> float:
    """Return the cross-entropy of guessing: the logarithm of the number of classes, or of words, in nats."""
    given, largest = context.space.input, context.space.network(context.largest)
    return math.log(max(2, largest.out_shape[0] if given.kind == "images" else given.vocabulary))


def most_probable_genome(context: StrategyContext, probabilities: Distribution) -> Genome:
    """Return the canonical genome of the most probable choices of independent genes, whose weights are in the supernet.

    If the weights of the most probable choices are not in the supernet, the next most probable ones are taken.

    Args:
        context: The training.
        probabilities: Probabilities of the choices of each gene.
    """
    for raw, _ in zip(_by_probability(probabilities), range(BEST), strict=False):
        if context.holds(genome := context.space.canonical(raw)):
            return genome
    return context.largest


def _by_probability(probabilities: Distribution) -> Iterator[Genome]:
    """Yield raw genomes, the most probable first; equally probable choices in their order."""
    orders = [np.argsort(-one, kind="stable") for one in probabilities]
    with np.errstate(divide="ignore"):
        losses = [-np.log(one[order]) for one, order in zip(probabilities, orders, strict=True)]
    start = (0,) * len(orders)
    queue, seen = [(sum(float(one[0]) for one in losses), start)], {start}
    while queue:
        loss, places = heapq.heappop(queue)
        yield tuple(int(order[place]) for order, place in zip(orders, places, strict=True))
        for gene, place in enumerate(places):
            following = (*places[:gene], place + 1, *places[gene + 1 :])
            if place + 1 < len(orders[gene]) and following not in seen and np.isfinite(losses[gene][place + 1]):
                seen.add(following)
                heapq.heappush(queue, (loss + float(losses[gene][place + 1] - losses[gene][place]), following))
