"""Uniform mutation of genes, shared by searchers that breed populations."""

from __future__ import annotations

import numpy as np


def redraw_genes(
    rng: np.random.Generator, genomes: np.ndarray, cardinalities: np.ndarray, probability: float
) -> np.ndarray:
    """Return genomes in which genes are redrawn uniformly among their other choices, (N, G) -> (N, G).

    Args:
        rng: Source of all randomness. Which genes change is drawn before their new choices. Another order would lead
            each seed to other genomes.
        genomes: Choices of each gene, (N, G).
        cardinalities: Number of choices of each gene, (G,). A gene with one choice never changes.
        probability: Probability that a gene changes.
    """
    redrawn = (rng.random(genomes.shape) < probability) & (cardinalities > 1)
    steps = rng.integers(1, np.maximum(cardinalities, 2), size=genomes.shape)
    return shift_genes(genomes, redrawn, steps, cardinalities)


def shift_genes(genomes: np.ndarray, redrawn: np.ndarray, steps: np.ndarray, cardinalities: np.ndarray) -> np.ndarray:
    """Return genomes in which some genes move a number of choices ahead and wrap around, (N, G) -> (N, G).

    Steps drawn uniformly from 1 to the cardinality minus 1 make every other choice of a gene equally likely.

    Args:
        genomes: Choices of each gene, (N, G).
        redrawn: True for genes that change, (N, G).
        steps: Number of choices to move ahead, (N, G).
        cardinalities: Number of choices of each gene, (G,).
    """
    return np.asarray(np.where(redrawn, (genomes + steps) % cardinalities, genomes))
