"""Networks that are drawn from a trained supernet, and the probabilities of their choices."""

from __future__ import annotations

import numpy as np

from nasctl.problem.space import Genome
from nasctl.problem.strategy import LearnsChoices
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.learned_choices import draws
from nasctl.supernets.trained_supernet import TrainedSupernet

ROUNDS = 50  # uniform draws for each wanted genome, after which fewer genomes are returned


def distribution_of(supernet: TrainedSupernet) -> list[np.ndarray]:
    """Return the probability of each choice of each gene, (genes,) arrays of (choices,).

    All choices of a gene are equally probable where the strategy of the supernet learns none.

    Args:
        supernet: The supernet.
    """
    strategy = supernet.strategy
    if isinstance(strategy, LearnsChoices):
        return [np.asarray(one, float) for one in strategy.probabilities()]
    return [np.full(len(gene.choices), 1 / len(gene.choices)) for gene in supernet.space.genes]


def drawn_genomes(supernet: TrainedSupernet, number: int, seed: int, uniform: bool = False) -> list[Genome]:
    """Return distinct canonical genomes, whose weights are in the supernet.

    They come from what the strategy has learned. If it learns no choices, genes are uniform.

    Args:
        supernet: The supernet.
        number: Number of genomes. Fewer are returned if the distribution has hardly more.
        seed: Seed of the draws.
        uniform: Whether genes are uniform, whatever the strategy has learned.
    """
    if isinstance(supernet.strategy, LearnsChoices) and not uniform:
        return list(draws(supernet, number, seed))
    context = TrainingContext(supernet.weights.hull, supernet.facts.seed, supernet.facts.steps)
    rng, found = np.random.default_rng(seed), dict[Genome, None]()
    for _ in range(ROUNDS * number):
        if len(found) == number:
            break
        found[context.draw(rng)] = None
    return list(found)


__all__ = ["distribution_of", "drawn_genomes"]
