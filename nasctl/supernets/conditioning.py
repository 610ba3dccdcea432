"""Measures of a recurrent controller: whether the choices that it draws depend on those that it has read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nasctl.networks.graph import Network
from nasctl.problem.choice_controller import ChoiceController
from nasctl.problem.choice_strategy import HasController
from nasctl.problem.space import Genome, SearchSpace
from nasctl.supernets.trained_supernet import TrainedSupernet

PASTS = 100  # genomes whose conditional probabilities and states are compared

RIDGE = 1e-3  # L2 penalty of the linear read-out, in units of the mean variance of the states


@dataclass(frozen=True)
class Conditioning:
    """Measures of a controller on random genomes.

    Attributes:
        change: Mean total variation distance, from 0 to 1, between the probabilities of a gene's choices after two
            random pasts; 0 if no choice depends on an earlier one.
        recalled: Share of the choices that a linear read-out of the last hidden state tells right on other genomes.
        guessed: The same for the most frequent choice of each gene, which needs no state.
        genomes: Spearman correlation over pairs of genomes of the cosine similarity of their hidden states with the
            share of genes in which they agree.
        graphs: Spearman correlation of the same with the share of layers that their networks have in common.
    """

    change: float
    recalled: float
    guessed: float
    genomes: float
    graphs: float


def conditioning(controller: ChoiceController, space: SearchSpace, seed: int = 0) -> Conditioning:
    """Return the measures of a controller on 100 genomes with uniform genes.

    Two networks' similarity is the number of layers that both have, with the same name, options and inputs, divided by
    the number of layers that either has.

    Args:
        controller: The controller.
        space: Its space.
        seed: Seed of the genomes.

    References:
        Adam & Lorraine, "Understanding neural architecture search techniques", arXiv:1904.00438, which correlates the
        hidden states of controllers with similarities of graphs.
    """
    rng = np.random.default_rng(seed)
    raw = rng.integers([len(gene.choices) for gene in space.genes], size=(2 * PASTS, len(space.genes)))
    genomes: list[Genome] = [tuple(one) for one in raw[:PASTS].tolist()]
    pairs = np.array(list(combinations(range(PASTS), 2)))
    states = controller.states([tuple(one) for one in raw.tolist()]).astype(float)
    own = states[:PASTS] - states[:PASTS].mean(axis=0)
    own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    near = (own[pairs[:, 0]] * own[pairs[:, 1]]).sum(axis=1)
    agree = (raw[pairs[:, 0]] == raw[pairs[:, 1]]).mean(axis=1)
    layers = [layer_set(space.network(space.canonical(one))) for one in genomes]
    shared = np.array([len(layers[a] & layers[b]) / len(layers[a] | layers[b]) for a, b in pairs.tolist()])
    recalled, guessed = _recalled(states, raw, controller.counts)
    return Conditioning(
        _change(controller.conditionals(genomes), pairs),
        recalled,
        guessed,
        _correlation(near, agree),
        _correlation(near, shared),
    )


def conditionings(supernet: TrainedSupernet, seed: int = 0) -> dict[str, Conditioning] | None:
    """Return the measures of a supernet's controller as "trained", and those of its initial weights as "untrained".

    None if the strategy has no controller.
    """
    strategy = supernet.strategy
    if not isinstance(strategy, HasController):
        return None
    trained = strategy.controller
    fresh = ChoiceController(trained.counts, supernet.facts.seed, trained.options)
    space = supernet.space
    return {"trained": conditioning(trained, space, seed), "untrained": conditioning(fresh, space, seed)}


def layer_set(network: Network) -> frozenset[str]:
    """Return the layers of a network as texts of their names, options and inputs."""
    names = ["input" if place < 0 else network.nodes[place].name for place in range(-1, len(network.nodes))]
    return frozenset(
        f"{node.name} {node.layer!r} {[names[max(-1, place) + 1] for place in node.inputs]}" for node in network.nodes
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation of two samples, (N,); 0 if all values of a sample are equal."""
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic) if np.ptp(first) > 0 and np.ptp(second) > 0 else 0.0


def _change(conditionals: Sequence[np.ndarray], pairs: np.ndarray) -> float:
    """Return the mean total variation distance over pairs of pasts and over all genes but the first; 0 for one gene."""
    distances = [np.abs(one[pairs[:, 0]] - one[pairs[:, 1]]).sum(axis=1).mean() / 2 for one in conditionals[1:]]
    return float(np.mean(distances)) if distances else 0.0


def _recalled(states: np.ndarray, raw: np.ndarray, counts: Sequence[int]) -> tuple[float, float]:
    """Return the accuracy of a linear read-out of choices from states, and that of the most frequent choices.

    The first half of the genomes fits the read-out by ridge regression, the second half judges it.
    """
    half = len(states) // 2
    centre = states[:half].mean(axis=0)
    known, judged = states[:half] - centre, states[half:] - centre
    gram = known.T @ known
    gram += RIDGE * max(float(np.trace(gram)) / len(gram), 1e-12) * np.eye(len(gram))
    right, usual = [], []
    for gene, count in enumerate(counts):
        targets = np.eye(count)[raw[:half, gene]]
        frequent = targets.mean(axis=0)
        scores = judged @ np.linalg.solve(gram, known.T @ (targets - frequent)) + frequent
        right.append((scores.argmax(axis=1) == raw[half:, gene]).mean())
        usual.append((raw[half:, gene] == frequent.argmax()).mean())
    return float(np.mean(right)), float(np.mean(usual))


__all__ = ["Conditioning", "conditioning", "conditionings", "layer_set"]
