"""What a trained supernet has learned about choices: its genome, its distribution, and networks drawn from it."""

from __future__ import annotations

import numpy as np

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy import LearnsChoices
from nasctl.supernets.trained_supernet import TrainedSupernet

ROUNDS = 50  # draws per wanted genome before fewer genomes are returned


def chosen_genome(supernet: TrainedSupernet) -> Genome:
    """Return the canonical genome that the strategy of a supernet has chosen.

    Raises:
        NasctlError: The strategy learns no choices.
    """
    strategy = supernet.strategy
    if not isinstance(strategy, LearnsChoices):
        raise NasctlError(
            f"Cannot take the choice of the supernet {supernet.name}: its strategy, {supernet.facts.strategy}, learns"
            " none. Give --by top-samples or --by perturbation."
        )
    return strategy.chosen()


def distribution_of(supernet: TrainedSupernet, uniform: bool = False) -> list[np.ndarray]:
    """Return the probability of each choice of each gene, (genes,) arrays of (choices,).

    Args:
        supernet: The supernet.
        uniform: Whether all choices are equally probable, as they are where the strategy learns none.
    """
    strategy = supernet.strategy
    if isinstance(strategy, LearnsChoices) and not uniform:
        return [np.asarray(one, float) for one in strategy.probabilities()]
    return [np.full(len(gene.choices), 1 / len(gene.choices)) for gene in supernet.space.genes]


def drawn_genomes(
    supernet: TrainedSupernet, number: int, rng: np.random.Generator, uniform: bool = False
) -> list[Genome]:
    """Return distinct canonical genomes with independent genes, whose weights are in the supernet.

    Args:
        supernet: The supernet.
        number: Number of genomes. Fewer are returned if the distribution has hardly more.
        rng: Source of randomness.
        uniform: Whether all choices are equally probable.
    """
    probabilities = distribution_of(supernet, uniform)
    found: dict[Genome, None] = {}
    for _ in range(ROUNDS * number):
        if len(found) == number:
            break
        genome = draw(supernet.space, probabilities, rng)
        if supernet.weights.hull.fits(genome):
            found[genome] = None
    return list(found)


def draw(space: SearchSpace, probabilities: list[np.ndarray], rng: np.random.Generator) -> Genome:
    """Return a canonical genome with independent genes.

    Args:
        space: The space.
        probabilities: Probability of each choice of each gene.
        rng: Source of randomness.
    """
    return space.canonical(tuple(int(rng.choice(len(one), p=one / one.sum())) for one in probabilities))


__all__ = ["chosen_genome", "distribution_of", "draw", "drawn_genomes"]
