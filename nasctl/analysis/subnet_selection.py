"""The selection of one network of a trained supernet: the learned choice, the best of draws, or by removing choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from nasctl.analysis.score import score_genomes
from nasctl.errors import NasctlError
from nasctl.evaluation.executor import Executor
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.pareto.losses import losses
from nasctl.problem.choice_removal import effective_choices, removal_importance, remove_choices
from nasctl.problem.space import Gene, Genome, MixableSpace
from nasctl.problem.strategy import LearnsChoices, ScoresGenomes
from nasctl.store.store import Store
from nasctl.supernets.mixture_loss import MixtureLoss
from nasctl.supernets.subnet_draws import drawn_genomes
from nasctl.supernets.trained_supernet import TrainedSupernet

Follow = Callable[[Iterable[Any], int], Iterable[Any]]  # passes rows on


@dataclass(frozen=True)
class Selected:
    """The network that was selected, and how.

    Attributes:
        genome: Its canonical genome.
        about: Sentences about the selection.
        facts: The same for programs.
    """

    genome: Genome
    about: list[str]
    facts: dict[str, Any] = field(default_factory=dict)


def select_learned(supernet: TrainedSupernet) -> Selected:
    """Return the network that the strategy of a supernet has chosen.

    Raises:
        NasctlError: The strategy learns no choices.
    """
    strategy = supernet.strategy
    if not isinstance(strategy, LearnsChoices):
        raise NasctlError(
            f"Cannot take the choice of the supernet {supernet.name}: its strategy, {supernet.facts.strategy}, learns"
            " none. Give --by top-samples or --by perturbation."
        )
    return Selected(strategy.chosen(), [f"the choice that {supernet.facts.strategy} has learned"])


def select_sample(
    supernet: TrainedSupernet,
    samples: int,
    seed: int,
    task: Task | None,
    store: Store,
    *,
    uniform: bool = False,
    executor: Executor | None = None,
    follow: Follow = lambda rows, number: rows,
) -> Selected:
    """Return the best of networks that are drawn from the distribution of a supernet.

    With several objectives, the ranks of each are added up.

    Args:
        supernet: The supernet.
        samples: Number of networks, distinct as far as the distribution has so many.
        seed: Seed of the draws.
        task: The objectives that judge; None for the scores of a strategy that scores networks by itself.
        store: Store of the measurements. Only missing ones are made.
        uniform: Whether networks are drawn uniformly, whatever the strategy has learned.
        executor: Executor that measures modules. Default: this process.
        follow: Passes rows on, and may show progress; called with the rows and their number.

    Raises:
        NasctlError: No network has a value of every objective.
    """
    genomes = drawn_genomes(supernet, samples, seed, uniform)
    if task is None:
        assert isinstance(supernet.strategy, ScoresGenomes)
        names, scores = ["score"], [supernet.score(genome) for genome in genomes]
        table = np.array([[np.nan if one is None else one] for one in scores])
    else:
        names = [goal.name for goal in task.objectives]
        rows = follow(score_genomes(task, supernet.facts.space, genomes, store, executor), len(genomes))
        table = losses([row.evaluation for row in rows], task.objectives)
    whole = ~np.isnan(table).any(axis=1)
    if not whole.any():
        raise NasctlError(
            f"Cannot choose among {len(genomes)} networks of the supernet {supernet.name}: each failed in"
            f" {', '.join(names)}. Train for longer, or give other objectives with -o."
        )
    best = int(np.where(whole, removal_importance(table), len(names) * len(genomes)).argmin())
    source = "uniform draws" if uniform else "draws from its distribution"
    failed = len(genomes) - int(whole.sum())
    about = [f"the best of {len(genomes)} {source} by {', '.join(names)}"]
    about += [f"{failed} of them failed and count as worst"] if failed else []
    facts = {"samples": len(genomes), "failed": failed, "objectives": names, "uniform": uniform}
    return Selected(genomes[best], about, {**facts, "losses": table[best].tolist()})


def select_by_removal(
    supernet: TrainedSupernet,
    seed: int,
    task: Task | None,
    images: int,
    follow: Follow = lambda rows, number: rows,
) -> Selected:
    """Return the network that is left when each gene keeps the choice whose removal hurts most (DARTS-PT).

    Genes are decided in a random order. Genes whose choices cannot be mixed keep those that the strategy has learned,
    or those of the largest network if it learns none; mixtures have the largest network's. Choices that add nothing to
    a mixture, such as "none", are not tried. DARTS-PT trains between two genes; here nothing is trained.

    References:
        Wang et al., "Rethinking architecture selection in differentiable NAS", ICLR 2021, arXiv:2108.04392.

    Args:
        supernet: The supernet.
        seed: Seed of the order of the genes.
        task: Objectives of the mixture without trained weights; None for the validation loss with the shared weights.
        images: Validation examples of that loss.
        follow: Passes the decisions on, and may show progress; called with them and their number.

    Raises:
        NasctlError: The supernet has no mixture, or every removal makes an objective fail.
    """
    space: Any = supernet.space
    counts = [len(gene.choices) for gene in space.genes]
    start = _removable_choices(supernet, counts, task is not None)
    settled = set[int]()  # genes whose only choice has the factor 1
    evaluate, fixed = _mixtures(supernet, task, images, settled)
    start = [[fixed[gene]] if gene in fixed else choices for gene, choices in enumerate(start)]
    settled.update(gene for gene, choices in enumerate(start) if len(choices) == 1)
    names = ["loss"] if task is None else [goal.name for goal in task.objectives]
    tried, decided, kept = list[np.ndarray](), [], [choices[0] for choices in start]

    def noted(allowed: list[list[int]]) -> np.ndarray:
        tried.append(np.asarray(evaluate(allowed), float).reshape(-1))
        return tried[-1]

    order = np.random.default_rng(seed).permutation(len(counts)).tolist()
    for removed in follow(remove_choices(start, noted, order), len(counts) - len(settled)):
        gene, gone = removed[0][0], {choice for _, choice in removed}
        if np.isnan(tried).any(axis=1).all():
            raise NasctlError(
                f"Cannot select by {', '.join(names)}: it fails for each mixture without a choice of"
                f" {space.genes[gene].name}. Give other objectives with -o."
            )
        (kept[gene],) = [choice for choice in start[gene] if choice not in gone]
        decided.append(_decision(space.genes[gene], kept[gene], start[gene], tried))
        settled.add(gene)
        tried.clear()
    genome = space.canonical(tuple(kept))
    about = [f"{one['gene']} keeps {one['kept']} ({_values(one, names)})" for one in decided]
    held = {space.genes[gene].name: str(space.genes[gene].choices[choice]) for gene, choice in fixed.items()}
    about += _held_sentence(supernet, held)
    return Selected(genome, about, {"objectives": names, "decided": decided, "not_mixed": held})


def _mixtures(
    supernet: TrainedSupernet, task: Task | None, images: int, settled: set[int]
) -> tuple[Callable[[list[list[int]]], Any], dict[int, int]]:
    """Return what measures mixtures of allowed choices, and the choices of the genes that cannot be mixed.

    Args:
        supernet: The supernet.
        task: Objectives of mixtures without trained weights; None for the validation loss.
        images: Validation examples of that loss.
        settled: Genes whose only choice has the factor 1, which the caller adds to.
    """
    if task is not None:
        return SearchProblem(task).evaluate_mixture, {}
    loss = MixtureLoss(supernet, images)
    return partial(loss, decided=settled), loss.fixed


def _removable_choices(supernet: TrainedSupernet, counts: Sequence[int], untrained: bool) -> list[list[int]]:
    """Return the choices of each gene that may be removed from a mixture.

    Args:
        supernet: The supernet.
        counts: Number of choices of each gene.
        untrained: Whether the mixture is a network of its own, without shared weights.

    Raises:
        NasctlError: The space has no such network.
    """
    if isinstance(supernet.space, MixableSpace):
        return effective_choices(supernet.space, counts)
    if untrained:
        raise NasctlError(
            f"Cannot measure mixtures of {supernet.facts.space}: the space has no network that sums choices. Leave -o"
            " out, or give --by top-samples."
        )
    return [list(range(count)) for count in counts]


def _decision(gene: Gene, kept: int, choices: Sequence[int], tried: Sequence[np.ndarray]) -> dict[str, object]:
    """Return what was decided about a gene, with the losses without each choice."""
    without = {str(gene.choices[one]): row.tolist() for one, row in zip(choices, tried, strict=True)}
    return {"gene": gene.name, "kept": str(gene.choices[kept]), "without": without}


def _held_sentence(supernet: TrainedSupernet, held: dict[str, str]) -> list[str]:
    """Return a sentence on the genes that no mixture has, with their choices; none without such genes."""
    learned = isinstance(supernet.strategy, LearnsChoices)
    whose = f"that {supernet.facts.strategy} has learned" if learned else "of the largest network"
    named = ", ".join(f"{gene} {choice}" for gene, choice in held.items())
    return [f"genes whose choices cannot be mixed keep the choices {whose}: {named}"] if held else []


def _values(decision: dict[str, Any], names: Sequence[str]) -> str:
    """Return the losses without each choice in words, those of the first objective."""
    shown = ", ".join(f"{row[0]:.4g} without {choice}" for choice, row in decision["without"].items())
    return f"{'' if names == ['loss'] else 'loss in '}{names[0]} {shown}"


__all__ = ["Selected", "select_by_removal", "select_learned", "select_sample"]
