"""The choices that a supernet's strategy has learned: their probabilities, their history, and draws from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from nasctl.errors import NasctlError
from nasctl.problem.choice_bandit import drawn_choices
from nasctl.problem.choice_strategy import DrawsGenomes
from nasctl.problem.space import Gene, Genome
from nasctl.problem.strategy import LearnsChoices, Strategy
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.training.folder import TrainingFolder

HISTORY = "strategy/history"  # of the tensors of weights and checkpoints

LEAST_SHOWN = 0.005  # least probability of a choice that is shown, if it is not the most probable one

LEAST_DRAWS = 1000  # draws that shares are estimated from, at least

MOST_DRAWS = 100  # draws for each wanted architecture, after which no more are expected


def history_of(folder: TrainingFolder) -> np.ndarray | None:
    """Return the probabilities of all choices after each per cent of the training, (101, choices of all genes).

    They are those of the weights or else of the newest checkpoint, NaN after its step; None if no choices are learned.
    """
    for path in [folder.weights, *reversed(folder.checkpoints)]:
        with suppress(OSError, SafetensorError), safe_open(path, framework="numpy") as opened:
            if HISTORY not in opened.keys():  # noqa: SIM118
                return None
            found: np.ndarray = opened.get_tensor(HISTORY)
            return found
    return None


def learned(strategy: Strategy) -> tuple[list[int] | None, list[list[float]]]:
    """Return the genome that a strategy chooses and the probabilities of its choices; None and [] without any."""
    if not isinstance(strategy, LearnsChoices):
        return None, []
    return list(strategy.chosen()), [one.tolist() for one in strategy.probabilities()]


def last_probabilities(history: np.ndarray, genes: Sequence[Gene]) -> list[np.ndarray]:
    """Return the newest probabilities of a history, (genes,) arrays of (choices,); [] if there are none yet."""
    known = np.flatnonzero(~np.isnan(history).any(axis=1))
    ends = np.cumsum([len(gene.choices) for gene in genes])
    return np.split(history[known[-1]], ends[:-1]) if len(known) and ends[-1] == history.shape[1] else []


def named(probabilities: Sequence[Sequence[float] | np.ndarray], genes: Sequence[Gene]) -> dict[str, dict[str, float]]:
    """Return probabilities by the names of genes and choices."""
    return {
        gene.name: {str(choice): float(share) for choice, share in zip(gene.choices, shares, strict=True)}
        for gene, shares in zip(genes, probabilities, strict=True)
    }


def entropy(shares: Sequence[float] | np.ndarray) -> float:
    """Return the entropy of probabilities, in bits."""
    some = np.asarray(shares, float)
    some = some[some > 0]
    return float(max(0.0, -(some * np.log2(some)).sum()))


def choice_rows(choices: Mapping[str, Mapping[str, float]]) -> list[list[Any]]:
    """Return a row for each gene: its name, most probable choice with its probability, entropy and the other choices.

    Other choices below half a per cent are left out.

    Args:
        choices: Probabilities by the names of genes and choices.
    """
    rows: list[list[Any]] = []
    for gene, shares in choices.items():
        ordered = sorted(shares.items(), key=lambda one: -one[1])
        (top, share), others = ordered[0], ordered[1:]
        shown = ", ".join(f"{name} {100 * own:.0f}%" for name, own in others if own >= LEAST_SHOWN)
        bits = f"{entropy(list(shares.values())):.2f} of {np.log2(len(shares)):.2f}"
        rows.append([gene, top, f"{100 * share:.0f}%", bits, shown])
    return rows


def certainty_text(choices: Mapping[str, Mapping[str, float]]) -> str:
    """Return how far the genes are decided: "probabilities of the best choices 41% to 97%, mean entropy 0.6 of ..."."""
    best = [max(shares.values()) for shares in choices.values()]
    bits = [entropy(list(shares.values())) for shares in choices.values()]
    most = [np.log2(len(shares)) for shares in choices.values()]
    return (
        f"probabilities of the best choices {100 * min(best):.0f}% to {100 * max(best):.0f}%, mean entropy"
        f" {np.mean(bits):.2f} of {np.mean(most):.2f} bits"
    )


def draws(supernet: TrainedSupernet, number: int, seed: int = 0) -> dict[Genome, float]:
    """Return different canonical genomes drawn from what a supernet's strategy has learned, in the order of the draws.

    Args:
        supernet: The supernet.
        number: Number of genomes; fewer are returned if 100 draws for each, and 1,000 in all, find no more.
        seed: Seed of the draws.

    Returns:
        The share of the draws that gave each genome. There are 1,000 draws, or more if they are needed.

    Raises:
        NasctlError: The strategy learns no choices.
    """
    strategy, space, rng = supernet.strategy, supernet.space, np.random.default_rng(seed)
    if not isinstance(strategy, LearnsChoices):
        raise NasctlError(
            f"Cannot draw architectures from the supernet {supernet.name}: its strategy {supernet.facts.strategy}"
            " learns no choices. Give one that was trained by a strategy such as manas or enas."
        )
    probabilities, fits = strategy.probabilities(), supernet.weights.hull.fits
    found: Counter[Genome] = Counter()
    for done in range(max(LEAST_DRAWS, MOST_DRAWS * number)):
        if len(found) >= number and done >= LEAST_DRAWS:
            break
        if isinstance(strategy, DrawsGenomes):
            genome = strategy.draw(rng)
        else:
            genome = space.canonical(drawn_choices(probabilities, rng))
        if fits(genome):
            found[genome] += 1
    total = found.total()
    return {genome: count / total for genome, count in list(found.items())[:number]}


__all__ = [
    "certainty_text",
    "choice_rows",
    "draws",
    "entropy",
    "history_of",
    "last_probabilities",
    "learned",
    "named",
]
