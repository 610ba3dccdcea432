"""The training that a strategy belongs to: genomes, costs and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy_step import GeneKind
from nasctl.supernets.entangled_mixture import EntangledMixture
from nasctl.supernets.entanglement import Entanglement, entanglement_of
from nasctl.supernets.hull import Hull, random_genome
from nasctl.supernets.shared_weights import layers
from nasctl.supernets.teacher import TrainedTeacher
from nasctl.training.streams import generator

if TYPE_CHECKING:
    from nasctl.training.labelled import TrainingData

TRIES = 1000  # random genomes that are drawn for one whose weights are in the supernet


class TrainingContext:
    """The context of a strategy; see `nasctl.problem.strategy.StrategyContext`.

    Args:
        hull: The slots of the supernet.
        seed: Seed of the training.
        steps: Steps of the whole training.
        data: The data, which a teacher's words and pixels are compared with; None outside of a training.
    """

    def __init__(self, hull: Hull, seed: int, steps: int, data: TrainingData | None = None) -> None:
        self._hull, self.seed, self.steps, self._data = hull, seed, steps, data
        self.space: SearchSpace = hull.networks.space
        self.macs = lru_cache(maxsize=1 << 14)(self._macs)
        self.largest, self.smallest = extremes(self.space, self.macs, hull)
        self.layers = layers(hull)

    def rng(self, step: int) -> np.random.Generator:
        """Return the random generator of a step."""
        return generator(self.seed, "genomes", step)

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return a canonical genome with uniform genes, whose weights are in the supernet.

        Raises:
            NasctlError: None of many random genomes is.
        """
        for _ in range(TRIES):
            if self._hull.fits(genome := random_genome(self.space, rng)):
                return genome
        raise NasctlError("Cannot draw networks for this supernet: none of 1,000 has its weights in it.")

    def holds(self, genome: Genome) -> bool:
        """Return whether the weights of a canonical genome are in the supernet."""
        return self._hull.fits(genome)

    def gene_kinds(self) -> tuple[GeneKind, ...]:
        """Return for each gene how its choices differ from the largest network, (genes,)."""
        return self.entanglement.kinds

    @cached_property
    def entanglement(self) -> Entanglement | EntangledMixture:
        """How the choices of the networks are mixed in one pass; trying the choices takes some passes."""
        return entanglement_of(self._hull, self.largest)

    def teacher(self, path: Path, known: np.ndarray) -> TrainedTeacher:
        """Return the trained network of a file.

        Args:
            path: The file.
            known: Its digest when the training began, (16,) uint8, or zeros, which are overwritten.

        Raises:
            NasctlError: The file cannot be read, holds no network that nasctl trained, has changed, or numbers words
                otherwise than the data.
        """
        found = TrainedTeacher(path, self._data)
        digest = np.frombuffer(found.digest.encode(), np.uint8)
        if known.any() and not np.array_equal(known, digest):
            raise NasctlError(
                f"Cannot continue: the teacher {path} has changed since the training began. Give the file that it began"
                " with."
            )
        known[...] = digest
        return found

    def _macs(self, genome: Genome) -> float:
        return float(self.space.network(genome).macs)


def extremes(space: SearchSpace, macs: Callable[[Genome], float], hull: Hull) -> tuple[Genome, Genome]:
    """Return the genomes with the most and the fewest multiply-accumulates.

    Where every gene is ordered these are the last and the first choices. Elsewhere single genes are changed, starting
    from there, as long as that helps; the result is a local optimum.
    """
    last = space.canonical(tuple(len(gene.choices) - 1 for gene in space.genes))
    first = space.canonical((0,) * len(space.genes))
    if all(gene.ordered for gene in space.genes):
        return last, first
    best = max(last, first, key=macs), min(last, first, key=macs)
    return _climbed(space, best[0], macs, 1, hull), _climbed(space, best[1], macs, -1, hull)


def _climbed(space: SearchSpace, genome: Genome, macs: Callable[[Genome], float], sign: int, hull: Hull) -> Genome:
    """Return the genome that changes of single genes lead to, each the best choice of its gene."""
    for _ in range(len(space.genes)):
        before = genome
        for place, gene in enumerate(space.genes):
            others = [
                space.canonical((*genome[:place], choice, *genome[place + 1 :])) for choice in range(len(gene.choices))
            ]
            genome = max((genome, *(one for one in others if hull.fits(one))), key=lambda one: sign * macs(one))
        if genome == before:
            break
    return genome


__all__ = ["TrainingContext", "extremes"]
