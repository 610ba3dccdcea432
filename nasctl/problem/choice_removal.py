"""Discretisation of a mixture by removing choices: what the loss of the mixture says when a choice is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nasctl.problem.space import MixableSpace

Removal = tuple[int, int]  # place of the gene, and choice

Allowed = Sequence[Sequence[int]]  # choices of each gene, (genes,)


def without_choice(allowed: Allowed, gene: int, choice: int) -> list[list[int]]:
    """Return the choices of all genes without one choice of one gene."""
    return [[c for c in choices if (g, c) != (gene, choice)] for g, choices in enumerate(allowed)]


def effective_choices(space: MixableSpace, counts: Sequence[int]) -> list[list[int]]:
    """Return the choices of each gene whose removal changes the mixture of all choices, or one where no removal does.

    A choice such as "none" adds nothing to a sum, so its removal cannot show what it is worth.

    Args:
        space: The space.
        counts: Number of choices of each gene.
    """
    everything = [list(range(count)) for count in counts]
    whole = space.supernet(everything)
    kept = []
    for gene, choices in enumerate(everything):
        several = len(choices) > 1
        added = [c for c in choices if several and space.supernet(without_choice(everything, gene, c)) != whole]
        kept.append(added or choices[:1])
    return kept


def trial_removals(allowed: Allowed, genes: Sequence[int] | None = None) -> list[Removal]:
    """Return each removal that leaves its gene a choice.

    Args:
        allowed: Choices of each gene.
        genes: Places of the genes to look at; all if None.
    """
    places = range(len(allowed)) if genes is None else genes
    return [(gene, choice) for gene in places if len(allowed[gene]) > 1 for choice in allowed[gene]]


def removal_importance(losses: np.ndarray) -> np.ndarray:
    """Return the importance of each removed choice: ranks of the losses without it, summed over objectives, (N,).

    Equal losses have equal ranks. A removal that makes an objective fail has the highest rank.

    Args:
        losses: Losses of the mixture without each choice, (N, M), or (N,) for one objective.
    """
    table = np.asarray(losses, float).reshape(len(losses), -1)
    filled = np.where(np.isnan(table).any(axis=1, keepdims=True), np.inf, table)
    ranks = [np.unique(column, return_inverse=True)[1] for column in filled.T]
    return np.asarray(np.sum(ranks, axis=0))


def least_important(tried: Sequence[Removal], losses: np.ndarray) -> list[Removal]:
    """Return the removal of each gene that hurts least, in the order of the genes; the first one of equal ones.

    Args:
        tried: Removals, (N,).
        losses: Losses of the mixture without each choice, (N, M) or (N,).
    """
    importance = dict(zip(tried, removal_importance(losses).tolist(), strict=True))
    genes = dict.fromkeys(gene for gene, _ in tried)
    return [min((one for one in tried if one[0] == gene), key=importance.__getitem__) for gene in genes]


def all_but_most_important(tried: Sequence[Removal], losses: np.ndarray) -> list[Removal]:
    """Return all removals but the one of each gene that hurts most; the first one of equal ones.

    Args:
        tried: Removals, (N,).
        losses: Losses of the mixture without each choice, (N, M) or (N,).
    """
    importance = dict(zip(tried, removal_importance(losses).tolist(), strict=True))
    genes = dict.fromkeys(gene for gene, _ in tried)
    kept = {max((one for one in tried if one[0] == gene), key=importance.__getitem__) for gene in genes}
    return [one for one in tried if one not in kept]


def remove_choices(
    allowed: Allowed,
    evaluate: Callable[[list[list[int]]], np.ndarray],
    order: Sequence[int] | None = None,
) -> Iterator[list[Removal]]:
    """Remove choices until each gene has one, and yield the removals of each round.

    Without `order`, a round tries each removal of all genes, and each gene loses the choice whose removal hurts least
    (TE-NAS). With it, a round is about one gene, which keeps the choice whose removal hurts most (DARTS-PT).

    References:
        Chen, Gong and Wang, "Neural architecture search on ImageNet in four GPU hours: A theoretically inspired
        perspective" (TE-NAS), ICLR 2021, arXiv:2102.11535, algorithm 1. Wang et al., "Rethinking architecture selection
        in differentiable NAS" (DARTS-PT), ICLR 2021, arXiv:2108.04392, algorithm 1.

    Args:
        allowed: Choices of each gene, (genes,), one or more of each.
        evaluate: Returns the losses of the mixture of the allowed choices, (M,) or (), NaN where an objective fails.
        order: Places of all genes in the order in which they are decided; None for rounds over all genes.
    """
    left = [list(choices) for choices in allowed]
    queue = None if order is None else [gene for gene in order if len(left[gene]) > 1]
    while any(len(choices) > 1 for choices in left):
        tried = trial_removals(left, None if queue is None else [queue.pop(0)])
        losses = np.array([evaluate(without_choice(left, gene, choice)) for gene, choice in tried])
        removed = (least_important if queue is None else all_but_most_important)(tried, losses)
        for gene, choice in removed:
            left[gene].remove(choice)
        yield removed


__all__ = [
    "Allowed",
    "Removal",
    "all_but_most_important",
    "effective_choices",
    "least_important",
    "removal_importance",
    "remove_choices",
    "trial_removals",
    "without_choice",
]
