"""The search of a policy that draws genomes and learns from one loss of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from nasctl.api import BadOption, Genome, Problem, unseen
from nasctl.searchers._quantiles import Key, QuantileLoss

REPEATS = 50  # known genomes that the policy learns from before a random genome is asked for


class Policy(Protocol):
    """A distribution over raw genomes that learns from losses."""

    def draw(self, number: int) -> list[Genome]:
        """Return raw genomes drawn from the policy, (number,)."""
        ...

    def learn(self, genomes: Sequence[Genome], losses: Sequence[float]) -> None:
        """Learn from the losses of raw genomes, (N,) from 0 to 1, which were drawn from the policy as it is."""
        ...


class PolicySearch:
    """A search by a policy, which learns from the quantile of each loss (`QuantileLoss`).

    A genome that the policy draws again is not evaluated again: the policy learns from its known losses. If it draws
    50 known genomes in batches without a new one, a random genome is evaluated, which the policy does not learn from.

    Args:
        problem: Search space, objectives and constraints.
        rng: Source of all randomness.
        policy: The policy.
        batch: Genomes that the policy draws before it learns.
        published: Whether a genome may be proposed again, as in the papers.
        name: Name of the searcher, for messages.
    """

    def __init__(
        self, problem: Problem, rng: np.random.Generator, policy: Policy, batch: int, published: bool, name: str
    ) -> None:
        if not 1 <= batch <= 10_000:
            raise BadOption(f"batch must be 1 to 10,000, got {batch} (option of {name})")
        self._space, self._rng, self._policy = problem.space, rng, policy
        self._batch, self._published = batch, published
        self._quantiles = QuantileLoss(len(problem.objectives))
        self._known: dict[Genome, tuple[Key, ...]] = {}  # keys of canonical genomes
        self._drawn: list[Genome] = []  # raw genomes of the last batch, of which all or some were asked for
        self._asked: list[Genome] = []

    def ask(self) -> list[Genome]:
        for _ in range(max(1, REPEATS // self._batch)):
            self._drawn = self._policy.draw(self._batch)
            canonical = [self._space.canonical(raw) for raw in self._drawn]
            self._asked = (
                canonical if self._published else [g for g in dict.fromkeys(canonical) if g not in self._known]
            )
            if self._asked:
                return list(self._asked)
            self._learn()
        self._drawn = []
        self._asked = [self._space.canonical(raw) for raw in unseen(self._space, self._rng, 1, self._known)]
        return list(self._asked)

    def tell(self, losses: np.ndarray, violations: np.ndarray) -> None:
        new = [k for k, genome in enumerate(self._asked) if genome not in self._known]
        keys = self._quantiles.add(losses[new], violations[new])
        self._known |= {self._asked[k]: key for k, key in zip(new, keys, strict=True)}
        self._learn()

    def replace_batch(self, genomes: Sequence[Genome]) -> None:
        """Take recorded genomes for a batch that the policy has drawn; see `AcceptsBatch`."""
        self._asked = list(genomes)
        self._drawn = list(genomes)

    def _learn(self) -> None:
        """Let the policy learn from the last batch."""
        if self._drawn:
            keys = [self._known[self._space.canonical(raw)] for raw in self._drawn]
            self._policy.learn(self._drawn, [self._quantiles.of(key) for key in keys])
