"""Selection in the last part of a training: genes are decided one by one, by the loss without each of their choices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nasctl.api import (
    BadOption,
    MixableSpace,
    StepBatch,
    StepNetworks,
    StrategyContext,
    all_but_most_important,
    effective_choices,
    trial_removals,
)

Mixture = Callable[[Sequence[Sequence[int]], Sequence[Tensor]], Tensor]  # outputs of allowed choices for inputs

SELECTIONS = ("argmax", "perturbation")

PART = 1 / 3  # share of the steps, at the end, in which genes are decided

TRIES = 1 / 4  # share of the steps of a gene, at their end, in which the losses without its choices are measured


class ChoiceRemoval:
    """The decisions of DARTS-PT, as a part of a training.

    The last steps are divided among the genes, in a random order. In the last quarter of its steps, the losses of the
    mixture without each choice of the gene are measured on the half of the examples that weights are not learned from.
    Then the gene keeps the choice whose removal hurts most. The weights of the mixture are trained in all these steps,
    which tunes them to each decision. Choices that add nothing to a mixture, such as "none", are not kept.

    References:
        Wang et al., "Rethinking architecture selection in differentiable NAS", ICLR 2021, arXiv:2108.04392, algorithm
        1; `nasbench201/projection.py` of github.com/ruocwang/darts-pt.

    Args:
        context: The training.
        genes: Returns the places of the genes that are decided, which is not asked before the first step; all genes
            with several choices if None.
        part: Share of the steps, at the end, in which genes are decided.

    Attributes:
        arrays: The state: sums of losses, the steps that they were measured in, and the decided choices.
    """

    def __init__(
        self, context: StrategyContext, genes: Callable[[], Collection[int]] | None = None, part: float = PART
    ) -> None:
        self._context, self._genes = context, genes
        self._counts = [len(gene.choices) for gene in context.space.genes]
        self._begin, self._steps = round((1 - part) * context.steps), context.steps
        self.arrays = {
            "removal_losses": np.zeros((len(self._counts), max(self._counts))),
            "removal_steps": np.zeros(len(self._counts), np.int64),
            "decided": np.full(len(self._counts), -1, np.int64),
        }
        self._measured: tuple[int, np.ndarray] | None = None  # gene and losses of the step in progress

    @cached_property
    def _order(self) -> list[int]:
        """The genes in the order in which they are decided."""
        order = np.random.default_rng([self._context.seed, 1]).permutation(len(self._counts)).tolist()
        among = range(len(order)) if self._genes is None else self._genes()
        return [gene for gene in order if self._counts[gene] > 1 and gene in among]

    @cached_property
    def _candidates(self) -> list[list[int]]:
        """The choices of each gene that may be kept."""
        space = self._context.space
        if isinstance(space, MixableSpace):
            return effective_choices(space, self._counts)
        return [list(range(count)) for count in self._counts]

    def check(self) -> None:
        """Raise a `BadOption` if some gene has no step in which losses are measured."""
        genes, left = len(self._order), self._steps - self._begin
        if left < genes:
            where = f"the last third of {self._steps} steps, which has {left}" if self._begin else f"{left} steps"
            other = ", or select=argmax" if self._begin else ""
            raise BadOption(
                f"Cannot decide {genes} genes in {where}: each needs a step to measure losses in. Give more epochs, or"
                f" a smaller batch{other}."
            )

    def begun(self, step: int) -> bool:
        """Return whether genes are decided at a step."""
        return step >= self._begin

    @property
    def allowed(self) -> list[list[int]]:
        """The choices of each gene that are left."""
        decided = self.arrays["decided"].tolist()
        return [
            [chosen] if chosen >= 0 else list(range(count)) for chosen, count in zip(decided, self._counts, strict=True)
        ]

    def summed(self, networks: StepNetworks, factors: Mapping[int, Tensor], frozen: bool = False) -> Mixture:
        """Return the mixture that sums the outputs of allowed choices.

        Args:
            networks: The networks of the step.
            factors: Factors of all choices of each gene.
            frozen: Whether the shared weights get no gradient.
        """

        def outputs(allowed: Sequence[Sequence[int]], inputs: Sequence[Tensor]) -> Tensor:
            left = {gene: one for gene, one in factors.items() if self.arrays["decided"][gene] < 0}
            own = {gene: one[list(allowed[gene])] for gene, one in left.items()}
            return networks.mixed(allowed, own, inputs, frozen=frozen)

        return outputs

    def masked(self, networks: StepNetworks, factors: Mapping[int, Tensor], frozen: bool = False) -> Mixture:
        """Return the mixture whose weights are masked by the factors of allowed choices.

        Args:
            networks: The networks of the step.
            factors: Factors of all choices of each gene that has masks, also of genes that are not decided.
            frozen: Whether the shared weights get no gradient.
        """

        def outputs(allowed: Sequence[Sequence[int]], inputs: Sequence[Tensor]) -> Tensor:
            own = {}
            for gene, one in factors.items():
                kept = torch.zeros_like(one)
                kept[list(allowed[gene])] = 1.0
                own[gene] = kept if self.arrays["decided"][gene] >= 0 else kept * one
            return networks.entangled(own, inputs, frozen=frozen)

        return outputs

    def distribution(self, probabilities: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return probabilities in which the choice of a decided gene has 1."""
        return [
            one if chosen < 0 else np.eye(len(one))[chosen]
            for one, chosen in zip(probabilities, self.arrays["decided"].tolist(), strict=True)
        ]

    @torch.no_grad()
    def measure(self, step: int, mixture: Mixture, batch: StepBatch, networks: StepNetworks) -> None:
        """Measure the losses without each choice of a gene, if it is time for that.

        Args:
            step: The step.
            mixture: The mixture of choices, whose weights get no gradient.
            batch: The examples to measure on.
            networks: The networks of the step.
        """
        gene, first = self._gene(step)
        if gene is None or step < first:
            return
        inputs, losses = batch.inputs(), []
        for _, choice in self._tried(gene):
            allowed = self.allowed
            allowed[gene] = [one for one in range(self._counts[gene]) if one != choice]
            losses.append(batch.loss(mixture(allowed, inputs)))
        row = torch.stack(losses).double().cpu()
        total = networks.gathered(torch.cat([row * batch.size, row.new_tensor([float(batch.size)])])[None]).sum(0)
        self._measured = gene, (total[:-1] / total[-1]).numpy()

    def told(self, step: int, probabilities: Sequence[np.ndarray]) -> None:
        """Take over the losses of a step, and decide the gene whose steps have ended.

        Args:
            step: The step that has ended.
            probabilities: Those of all choices. A gene without losses keeps the most probable choice.
        """
        measured, self._measured = self._measured, None
        if measured is not None and np.isfinite(measured[1]).all():
            gene, losses = measured
            self.arrays["removal_losses"][gene, [choice for _, choice in self._tried(gene)]] += losses
            self.arrays["removal_steps"][gene] += 1
        for place, gene in enumerate(self._order):
            if step + 1 >= self._end(place) and self.arrays["decided"][gene] < 0:
                self.arrays["decided"][gene] = self._decision(gene, probabilities[gene])

    def _decision(self, gene: int, probabilities: np.ndarray) -> int:
        """Return the choice that a gene keeps."""
        tried, candidates = self._tried(gene), self._candidates[gene]
        if not self.arrays["removal_steps"][gene] or len(tried) < 2:
            return max(candidates, key=lambda choice: float(probabilities[choice]))
        losses = self.arrays["removal_losses"][gene, [choice for _, choice in tried]]
        removed = {choice for _, choice in all_but_most_important(tried, losses)}
        return next(choice for choice in candidates if choice not in removed)

    def _tried(self, gene: int) -> list[tuple[int, int]]:
        """Return the removals that are tried for a gene."""
        return trial_removals(self._candidates, [gene])

    def _gene(self, step: int) -> tuple[int | None, int]:
        """Return the gene that a step belongs to, and the first step in which its losses are measured."""
        for place, gene in enumerate(self._order):
            if self._begin <= step < self._end(place):
                start, end = self._end(place - 1), self._end(place)
                return gene, end - max(1, round(TRIES * (end - start)))
        return None, 0

    def _end(self, place: int) -> int:
        """Return the step after the last one of a gene, given its place in the order."""
        return self._begin + (self._steps - self._begin) * (place + 1) // len(self._order)


def removal_of(
    context: StrategyContext, select: str, genes: Callable[[], Collection[int]] | None = None
) -> ChoiceRemoval | None:
    """Return the decisions of a selection; None for "argmax", which needs none.

    Args:
        context: The training.
        select: The selection.
        genes: Returns the places of the genes that are decided; see `ChoiceRemoval`.

    Raises:
        BadOption: There is no such selection.
    """
    if select not in SELECTIONS:
        raise BadOption(f"Cannot select choices by select={select}. Give select=argmax or perturbation.")
    return ChoiceRemoval(context, genes) if select == "perturbation" else None
