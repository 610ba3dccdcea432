"""The block table of a trained supernet: a loss of every choice of every gene, whose sums predict those of networks."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from nasctl.errors import BadOption, NasctlError
from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy import ScoresGenomes
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.hull import DoesNotFit
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES
from nasctl.supernets.shared_weights import UntrainedWeights
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.supernets.validation import evaluate_subnet, stored_batches
from nasctl.system import files

PER_CHOICE = 4  # default number of networks for each choice of each gene


@dataclass(frozen=True)
class BlockTable:
    """Losses of all choices, and how well their sums predict networks that a second fit did not see.

    Attributes:
        space: The search space.
        column: Name of the objective that the losses are of: "loss@NAME", or "score@NAME" for a strategy that scores
            networks by itself.
        losses: Losses of the choices of each gene, G arrays of (K,). The sum over genes is the loss of a network.
        networks: Number of random networks whose losses were fitted.
        left_out: Number of drawn networks whose weights no step of the training has reached, or whose loss is
            not finite.
        absent: Number of choices that none of the networks has; each has the mean loss of its gene.
        tau: Kendall's tau of half of the networks with the sums of a table that is fitted to the other half.
        share: Share of the variance of this half that the sums explain.
    """

    space: SearchSpace
    column: str
    losses: Sequence[np.ndarray]
    networks: int
    left_out: int
    absent: int
    tau: float
    share: float

    def write(self, path: Path) -> None:
        """Write the table as CSV with the columns gene, choice and the objective.

        Raises:
            NasctlError: The file cannot be written.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["gene", "choice", self.column])
        for gene, losses in zip(self.space.genes, self.losses, strict=True):
            rows.writerows(zip([gene.name] * len(losses), gene.choices, losses.tolist(), strict=True))
        files.write(path, text.getvalue())


def block_table(supernet: TrainedSupernet, networks: int | None = None, seed: int = 0) -> BlockTable:
    """Return the block table of a supernet: for each choice the mean loss of random networks that have it.

    Every choice is in equally many networks as far as the space allows. A least-squares fit of the losses to all genes
    takes the effects of the other genes out of the mean. Losses are those of `loss@NAME`, on the first 500 validation
    examples of the file. A strategy that scores networks by itself gives scores in their place.

    Args:
        supernet: The supernet.
        networks: Number of random networks; four for each choice of each gene if None.
        seed: Seed of the networks.

    Raises:
        BadOption: Fewer networks are asked for than sums over genes have free numbers.
        NasctlError: The file has no validation examples, or too few of the networks are trained.

    References:
        Bercovich et al., "Puzzle: Distillation-based NAS for inference-optimized LLMs", ICML 2025, arXiv:2411.19146.
    """
    genes, space = supernet.space.genes, supernet.space
    counts = np.array([len(gene.choices) for gene in genes])
    least = 1 + int((counts - 1).sum())
    number = PER_CHOICE * int(counts.sum()) if networks is None else networks
    if number < least:
        raise BadOption(
            f"Cannot fit a table of {counts.sum()} choices to {number} networks: sums over genes have {least} free"
            f" numbers. Give --networks {least} or more."
        )
    drawn = balanced_genomes(supernet, number, seed)
    scored = isinstance(supernet.strategy, ScoresGenomes)
    losses = np.array([_score(supernet, one) if scored else _loss(supernet, one) for one in drawn])
    known = [one for one, loss in zip(drawn, losses.tolist(), strict=True) if np.isfinite(loss)]
    losses = losses[np.isfinite(losses)]
    if len(known) < least:
        raise NasctlError(
            f"Cannot fit a table to the supernet {supernet.name}: of {number} random networks {len(known)} have trained"
            f" weights, and {least} are needed. Train it for longer, or give more --networks."
        )
    tau, share = _held_out(known, losses, counts)
    weights, constant = _fitted(known, losses, counts)
    return BlockTable(
        space=space,
        column=f"{'score' if scored else 'loss'}@{supernet.name}",
        # A table has no constant, so each gene takes its part of it.
        losses=[one + constant / len(genes) for one in np.split(weights, np.cumsum(counts)[:-1])],
        networks=len(known),
        left_out=number - len(known),
        absent=int(counts.sum()) - len({pair for one in known for pair in enumerate(one)}),
        tau=tau,
        share=share,
    )


def balanced_genomes(supernet: TrainedSupernet, number: int, seed: int) -> list[Genome]:
    """Return random canonical genomes in which all choices of a gene are equally frequent, before `canonical`.

    Args:
        supernet: The supernet, which has the weights of all of them.
        number: Number of genomes.
        seed: Seed of the genomes.

    Raises:
        NasctlError: The supernet lacks the weights of most random networks.
    """
    context = TrainingContext(supernet.weights.hull, supernet.facts.seed, supernet.facts.steps)
    rng, space = np.random.default_rng(seed), supernet.space
    columns = [_column(rng, len(gene.choices), number) for gene in space.genes]
    genomes = [space.canonical(tuple(int(one) for one in row)) for row in zip(*columns, strict=True)]
    return [one if context.holds(one) else context.draw(rng) for one in genomes]


def _column(rng: np.random.Generator, count: int, number: int) -> np.ndarray:
    """Return the choices of a gene in all genomes, (number,)."""
    rounds = -(-number // count)
    return np.concatenate([rng.permutation(count) for _ in range(rounds)])[:number]


def _loss(supernet: TrainedSupernet, genome: Genome) -> float:
    """Return the loss of a network; NaN if no step of the training has reached some of its weights."""
    try:
        return evaluate_subnet(supernet, genome, stored_batches(supernet, DEFAULT_IMAGES)).loss
    except (DoesNotFit, UntrainedWeights):
        return float("nan")


def _score(supernet: TrainedSupernet, genome: Genome) -> float:
    found = supernet.score(genome)
    return float("nan") if found is None else found


def _fitted(genomes: Sequence[Genome], losses: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the effects of all choices, (all choices,), and a constant, by least squares.

    Of the effects that fit equally well, those of the smallest norm are taken: a choice of no genome has none.
    """
    features = _encoded(genomes, counts)
    centre, mean = features.mean(0), float(losses.mean())
    weights = np.linalg.lstsq(features - centre, losses - mean, rcond=1e-9)[0]
    return weights, mean - float(centre @ weights)


def _encoded(genomes: Sequence[Genome], counts: np.ndarray) -> np.ndarray:
    """Return one number for each choice of each gene, (genomes, all choices)."""
    found = np.zeros((len(genomes), int(counts.sum())))
    np.put_along_axis(found, np.cumsum(counts) - counts + np.array(genomes), 1.0, axis=1)
    return found


def _held_out(genomes: Sequence[Genome], losses: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Return Kendall's tau and the explained variance of every second network under a fit to the others."""
    once = dict(zip(genomes, losses.tolist(), strict=True))  # `canonical` may make two draws equal
    genomes, losses = list(once), np.array(list(once.values()))
    weights, constant = _fitted(genomes[::2], losses[::2], counts)
    own, predicted = losses[1::2], _encoded(genomes[1::2], counts) @ weights + constant
    spread = float(((own - own.mean()) ** 2).sum())
    share = 1 - float(((own - predicted) ** 2).sum()) / spread if spread else 0.0
    return float(np.nan_to_num(kendalltau(own, predicted).statistic)), share


__all__ = ["BlockTable", "balanced_genomes", "block_table"]
