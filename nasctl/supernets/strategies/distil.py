"""Text encoders that learn a teacher's relations of queries, keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log, sqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from nasctl.api import (
    BadOption,
    Genome,
    NasctlError,
    Network,
    Pass,
    StepBatch,
    StepNetworks,
    StrategyContext,
    TeacherNetwork,
)

__all__ = ["Distil"]

ROLES = ("query", "key", "value")

TRIES = 1000  # random networks that are tried for one with attention


class Distil:
    """Train the largest, the smallest and random encoders on a teacher's attention, and on the masked words.

    The last attention layer of each network learns the relations of the teacher's last one: for queries, keys and
    values, the softmax over all words of the scaled products of the vector of a word with those of the others, in
    `heads` parts. Widths and numbers of attention heads of teacher and student may differ. The loss is the mean
    Kullback-Leibler divergence of the three, plus `labels` times the loss of the masked words, from which the other
    layers learn too. Networks without an attention layer are not drawn.

    Args:
        teacher: Weights that `nasctl train` wrote, for an encoder with attention on the same text.
        random: Random networks in each step.
        heads: Parts of queries, keys and values that have relations of their own.
        labels: Weight of the loss of the masked words, above 0; AutoDistil itself uses none, and fine-tunes students.

    References:
        Xu et al., "Few-shot task-agnostic neural architecture search for distilling large language models", NeurIPS
        2022, arXiv:2201.12507, section 3.2. Wang et al., "MiniLMv2: multi-head self-attention relation distillation
        for compressing pretrained transformers", ACL Findings 2021, arXiv:2012.15828, section 3.1.
    """

    def __init__(
        self, context: StrategyContext, teacher: str = "", random: int = 1, heads: int = 4, labels: float = 1.0
    ) -> None:
        if not teacher:
            raise BadOption(
                "Cannot distil without a teacher. Give teacher=FILE, the weights.safetensors of an encoder that nasctl"
                " train has trained on the same text."
            )
        if random < 0 or heads < 1 or not labels > 0:
            raise BadOption(
                f"Cannot distil with random={random},heads={heads},labels={labels:g}. Give random=0 or more, heads=1 or"
                " more, and labels above 0."
            )
        given = context.space.input
        if given.kind != "tokens":
            raise BadOption(
                f"Cannot distil relations of words: the networks of this space read {given.kind}. Choose bert or"
                " flexibert."
            )
        self._context, self._path, self._random = context, teacher, random
        self._heads, self._labels = heads, labels
        self.chance = log(max(2, *given.shape)) + labels * log(max(2, given.vocabulary))
        self.arrays: dict[str, np.ndarray] = {"teacher": np.zeros(16, np.uint8)}  # digest of its file
        self._teacher: TeacherNetwork | None = None
        self._ends = [one for one in (context.largest, context.smallest) if self._layer(one)]

    def teacher_file(self) -> Path | None:
        return Path(self._path) if self._path else None

    def passes(self, step: int) -> Sequence[Pass]:
        rng = self._context.rng(step)
        drawn = [self._drawn(rng) for _ in range(self._random if self._ends else max(1, self._random))]
        return tuple(Pass((one,)) for one in (*self._ends[:1], *drawn, *self._ends[1:]))

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        teacher, inputs = self._opened(), batch.inputs()
        layer = _attention(teacher.space.network(teacher.genome))
        values = teacher.values(inputs, [f"{layer}.{role}" for role in ROLES])
        targets = [self._relations(values[f"{layer}.{role}"]).exp() for role in ROLES]
        for one in passes:
            genome = one.genomes[0]
            own = self._layer(genome)
            outputs, found = networks.outputs_and_values(genome, inputs, [f"{own}.{role}" for role in ROLES])
            distances = [
                kl_div(self._relations(found[f"{own}.{role}"]), target, reduction="none").sum(-1).mean()
                for role, target in zip(ROLES, targets, strict=True)
            ]
            yield torch.stack(distances).mean() + self._labels * batch.loss(outputs)

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        pass

    def _drawn(self, rng: np.random.Generator) -> Genome:
        """Return a random network with attention."""
        for _ in range(TRIES):
            if self._layer(genome := self._context.draw(rng)):
                return genome
        raise NasctlError("Cannot distil into this space: none of 1,000 random networks has an attention layer.")

    def _layer(self, genome: Genome) -> str:
        return _attention(self._context.space.network(genome))

    def _opened(self) -> TeacherNetwork:
        """Return the teacher.

        Raises:
            NasctlError: It has no attention, or reads another text.
        """
        if self._teacher is None:
            found = self._context.teacher(Path(self._path), self.arrays["teacher"])
            own, other = self._context.space.input, found.space.input
            if (own.kind, own.shape, own.vocabulary) != (other.kind, other.shape, other.vocabulary):
                raise NasctlError(
                    f"Cannot learn from {self._path}: the teacher reads {other.kind} of shape {other.shape} with a"
                    f" vocabulary of {other.vocabulary}, and the space {own.shape} with {own.vocabulary}. Train a"
                    " teacher with the same options and text."
                )
            if not _attention(found.space.network(found.genome)):
                raise NasctlError(f"Cannot learn from {self._path}: its network has no attention layer. Give another.")
            self._teacher = found
        return self._teacher

    def _relations(self, vectors: Tensor) -> Tensor:
        """Return logarithms of relations, (B, heads, T, T), of vectors (B, T, D).

        Raises:
            NasctlError: D is no multiple of the number of heads.
        """
        batch, length, width = vectors.shape
        if width % self._heads:
            raise NasctlError(
                f"Cannot distil relations in heads={self._heads} parts: an attention layer has {width} features. Give a"
                " divisor of that."
            )
        parts = vectors.float().view(batch, length, self._heads, -1).transpose(1, 2)
        return (parts @ parts.transpose(2, 3) / sqrt(width / self._heads)).log_softmax(-1)


def _attention(network: Network) -> str:
    """Return the part of the names that queries, keys and values of the last attention layer share; "" if none has."""
    found: dict[str, set[str]] = {}
    for node in network.nodes:
        name, _, role = node.name.rpartition(".")
        if role in ROLES and len(node.out_shape) == 2:
            found.setdefault(name, set()).add(role)
    return next((name for name in reversed(found) if len(found[name]) == len(ROLES)), "")
