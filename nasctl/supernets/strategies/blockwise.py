"""Blocks of a chain trained alone, against a teacher's blocks or against each other, and a score for every choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from nasctl.api import (
    BadOption,
    ChainBlock,
    Genome,
    NasctlError,
    Pass,
    StepBatch,
    StepNetworks,
    StrategyContext,
    TeacherNetwork,
    block_ends,
    chain_blocks,
)

__all__ = ["Blockwise"]

RATING = 0.25  # share of the steps of a block that rate its choices

ANCHORS = 2  # random networks that show which genes change a block

RIDGE = 1e-3  # of the least-squares fit of scores, as a share of the number of ratings


class Blockwise:
    """Train the blocks of a chain one after another, each alone, and score every choice of every gene by its block.

    A block is a run of layers with the same first part of their names, such as "stage1" of "stage1.0", which genes
    change that no earlier block has; other layers belong to the block before or after them. The steps are divided
    equally among the blocks. In each step a block of several random networks reads the same input.

    - Without a teacher (BossNAS), no labels are used: the output of each network's block, pooled and projected, is
      drawn to the mean projection that moving averages of the same blocks give for another view of the images. The
      input comes from the moving average of the earlier blocks, with their best choices so far.
    - With `teacher` (DNA), the block reproduces the output of the teacher's block from the teacher's input to it. The
      distance is the mean squared error divided by the variance of each channel of the teacher.

    In the last quarter of a block's steps nothing is trained: distances of random networks are measured, and a linear
    model of their genes is fitted to them. `table` has the effect of every choice; the sum over the genes of a network
    and `offset` is its score, of which less is better. The classifier is not trained, so networks have no accuracy.

    Args:
        teacher: Weights that `nasctl train` wrote, for a network with the blocks of this space; "" for none.
        paths: Random networks in each step.
        width: Width of projections.
        hidden: Units of the projector and of the predictor.
        momentum: Share that moving averages keep in the first step; it rises to 1 along a cosine within each block.

    References:
        Li et al., "BossNAS: exploring hybrid CNN-transformers with block-wisely self-supervised neural architecture
        search", ICCV 2021, arXiv:2103.12424, section 3. Li et al., "Block-wisely supervised neural architecture search
        with knowledge distillation", CVPR 2020, arXiv:1911.13053, section 3.
    """

    def __init__(
        self,
        context: StrategyContext,
        teacher: str = "",
        paths: int = 4,
        width: int = 128,
        hidden: int = 512,
        momentum: float = 0.99,
    ) -> None:
        if paths < 2 or width < 1 or hidden < 1 or not 0 <= momentum < 1:
            raise BadOption(
                f"Cannot train blocks with paths={paths},width={width},hidden={hidden},momentum={momentum:g}. Give"
                " paths=2 or more, positive widths, and momentum from 0 to less than 1."
            )
        self._context, self._path, self._paths, self._momentum = context, teacher, paths, momentum
        self._blocks: list[ChainBlock] = chain_blocks(context.space, _anchors(context))
        if context.steps < 4 * len(self._blocks):
            raise BadOption(
                f"Cannot train {len(self._blocks)} blocks in {context.steps} steps. Give 4 steps or more for each."
            )
        self._counts = np.array([len(gene.choices) for gene in context.space.genes])
        size, number = int(self._counts.sum()), len(self._blocks)
        self.arrays: dict[str, np.ndarray] = {
            # Products of choices within steps, one number for each choice; last, how often each was drawn, and all.
            "gram": np.zeros((number, size + 1, size + 1)),
            "moments": np.zeros((number, size + 1)),  # products of distances and choices; last, the sum of distances
            "teacher": np.zeros(16, np.uint8),  # digest of its file
        }
        self._heads = [_Heads(width, hidden, one.channels, context.seed) for one in self._blocks] if not teacher else []
        self.modules: Mapping[str, nn.Module] = {f"block{k}": one for k, one in enumerate(self._heads)}
        self._teacher: TeacherNetwork | None = None
        self.mean_teacher = not teacher
        self.chance = np.inf if teacher else 4.0

    def teacher_decay(self, step: int) -> float:
        first, _, end = self._phase(self._block_of(step))
        rise = (1 + np.cos(np.pi * (step - first) / (end - first))) / 2
        return float(1 - (1 - self._momentum) * rise)

    def teacher_file(self) -> Path | None:
        return Path(self._path) if self._path else None

    def passes(self, step: int) -> Sequence[Pass]:
        rng, prefix = self._context.rng(step), self._best(self._block_of(step))
        found: list[Pass] = []
        for _ in range(100 * self._paths):
            drawn = self._context.draw(rng)
            genome = self._context.space.canonical(
                tuple(drawn[k] if one is None else one for k, one in enumerate(prefix))
            )
            if self._context.holds(genome):
                found.append(Pass((genome,)))
            if len(found) == self._paths:
                return tuple(found)
        raise NasctlError("Cannot draw networks with the best choices of earlier blocks: their weights have no place.")

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        place = self._block_of(step)
        _, rating, _ = self._phase(place)
        genomes = [one.genomes[0] for one in passes]
        make = self._taught if self._path else self._bootstrapped
        if step < rating:
            yield from make(place, genomes, batch, networks)
        else:
            with torch.no_grad():
                found = list(make(place, genomes, batch, networks))
            yield from found

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        place = self._block_of(step)
        if self._heads and step < self._phase(place)[1]:
            self._heads[place].follow(self.teacher_decay(step))
        if step >= self._phase(place)[1] and np.isfinite(losses).all():
            encoded = np.stack([self._encoded(one.genomes[0]) for one in self.passes(step)])
            gram, moments = self.arrays["gram"][place], self.arrays["moments"][place]
            # Networks of a step see the same batch, so their differences tell more than their distances.
            centred = encoded[:, :-1] - encoded[:, :-1].mean(0)
            gram[:-1, :-1] += centred.T @ centred
            gram[-1] += encoded.sum(0)
            moments[:-1] += centred.T @ np.asarray(losses)
            moments[-1] += sum(losses)

    @property
    def table(self) -> list[np.ndarray] | None:
        """The effect of every choice on the score, by gene, (choices,) each; None before all blocks are rated."""
        return None if (fitted := self._fitted()) is None else fitted[1]

    @property
    def offset(self) -> float | None:
        """The score of a network of average choices; None before all blocks are rated."""
        return None if (fitted := self._fitted()) is None else fitted[0]

    def score(self, genome: Genome) -> float | None:
        fitted = self._fitted()
        if fitted is None:
            return None
        return fitted[0] + float(sum(effects[choice] for effects, choice in zip(fitted[1], genome, strict=True)))

    def _fitted(self) -> tuple[float, list[np.ndarray]] | None:
        if not (self.arrays["moments"][:, -1] > 0).all():
            return None
        offset, effects = 0.0, np.zeros(int(self._counts.sum()))
        for place in range(len(self._blocks)):
            own, some = self._effects(place)
            offset, effects = offset + own, effects + some
        return offset, np.split(effects, np.cumsum(self._counts)[:-1])

    def _effects(self, place: int) -> tuple[float, np.ndarray]:
        """Return the mean distance of a block, and the effect of each choice of its genes on it, (all choices,).

        Effects are least squares of the differences within steps. A choice that was never drawn has none.
        """
        gram, moments = self.arrays["gram"][place], self.arrays["moments"][place]
        number, used = max(1.0, gram[-1, -1]), np.repeat(self._blocks[place].genes, self._counts)
        shares, mean = gram[-1, :-1] / number, moments[-1] / number
        covariance, target = gram[:-1, :-1] / number, moments[:-1] / number
        found = np.zeros(len(used))
        if used.any():
            inner = covariance[np.ix_(used, used)]
            found[used] = np.linalg.solve(inner + RIDGE * np.eye(len(inner)), target[used])
        return float(mean - found @ shares), found

    def _best(self, place: int) -> list[int | None]:
        """Return the best choices of the genes of earlier blocks, and None for all other genes."""
        found: list[int | None] = [None] * len(self._counts)
        if self._path:  # the input comes from the teacher, whatever the earlier blocks are
            return found
        starts = np.concatenate([[0], np.cumsum(self._counts)])
        for earlier in range(place):
            _, effects = self._effects(earlier)
            for gene in np.flatnonzero(self._blocks[earlier].genes):
                if found[gene] is None:
                    found[gene] = int(effects[starts[gene] : starts[gene + 1]].argmin())
        return found

    def _encoded(self, genome: Genome) -> np.ndarray:
        """Return one number for each choice of each gene, and a constant."""
        found = np.zeros(int(self._counts.sum()) + 1)
        found[np.cumsum(self._counts) - self._counts + np.asarray(genome)] = 1
        found[-1] = 1
        return found

    def _block_of(self, step: int) -> int:
        return min(step * len(self._blocks) // self._context.steps, len(self._blocks) - 1)

    def _phase(self, place: int) -> tuple[int, int, int]:
        """Return the first step of a block, the first one that rates, and the one after its last."""
        number, steps = len(self._blocks), self._context.steps
        first, end = (-(-k * steps // number) for k in (place, place + 1))
        return first, end - max(1, round(RATING * (end - first))), end

    def _bootstrapped(
        self, place: int, genomes: Sequence[Genome], batch: StepBatch, networks: StepNetworks
    ) -> Iterator[Tensor]:
        """Yield the distance of each network's projection from the mean one of the moving averages, 0 to 4."""
        heads = self._heads[place]
        with torch.no_grad():
            inputs = [self._input(place, genomes[0], batch.inputs(view), networks) for view in (0, 1)]
            targets = [
                heads.target(self._output(place, one, batch.inputs(1), inputs[1], networks, 1)) for one in genomes
            ]
            target = normalize(torch.stack([normalize(one, dim=1) for one in targets]).mean(0), dim=1)
        for genome in genomes:
            found = heads.online(self._output(place, genome, batch.inputs(0), inputs[0], networks, 0))
            yield (2 - 2 * (normalize(found.float(), dim=1) * target).sum(1)).mean()

    def _taught(
        self, place: int, genomes: Sequence[Genome], batch: StepBatch, networks: StepNetworks
    ) -> Iterator[Tensor]:
        """Yield the distance of each network's block from the teacher's."""
        teacher, inputs = self._opened(), batch.inputs()
        of_teacher = block_ends(teacher.space.network(teacher.genome), self._blocks)
        before, after = of_teacher[place], of_teacher[place + 1]
        values = teacher.values(inputs, [name for name in (before, after) if name is not None])
        given, target = (inputs[0] if name is None else values[name] for name in (before, after))
        scale = target.float().var(_others(target), keepdim=True).clamp(min=1e-6)
        for genome in genomes:
            self._check_shapes(place, genome, given, target)
            found = self._output(place, genome, inputs, given, networks, 0)
            yield ((found.float() - target.float()).square() / scale).mean()

    def _check_shapes(self, place: int, genome: Genome, given: Tensor, target: Tensor) -> None:
        """Raise an error if a network's block reads or puts out other shapes than the teacher's."""
        network = self._context.space.network(genome)
        shapes = {span.name: span.emission.out_shape for span in network.spans}
        for name, value in zip(self._ends(genome)[place : place + 2], (given, target), strict=True):
            own = network.input_shapes[0] if name is None else shapes[name]
            if own != tuple(value.shape[1:]):
                raise NasctlError(
                    f"Cannot learn from the teacher {self._path}: at block {self._blocks[place].groups[-1]} it has"
                    f" values of shape {tuple(value.shape[1:])}, and a network of the space {own}. Train a teacher"
                    " whose blocks have the shapes of the space, or choose a space whose blocks all have the same."
                )

    def _opened(self) -> TeacherNetwork:
        """Return the teacher."""
        if self._teacher is None:
            self._teacher = self._context.teacher(Path(self._path), self.arrays["teacher"])
        return self._teacher

    def _input(self, place: int, genome: Genome, inputs: Sequence[Tensor], networks: StepNetworks) -> Tensor | None:
        """Return the input of a block from the moving averages of the blocks before it; None for the first block."""
        name = self._ends(genome)[place]
        return None if name is None else networks.values(genome, inputs, [name], copy=1)[name]

    def _output(
        self,
        place: int,
        genome: Genome,
        inputs: Sequence[Tensor],
        given: Tensor | None,
        networks: StepNetworks,
        copy: int,
    ) -> Tensor:
        """Return the output of a block of a genome's network, given the block's input, or the network's if None."""
        before, after = self._ends(genome)[place : place + 2]
        inputs = inputs if given is None else (given,)
        if after is None or after == before:  # no layer
            return inputs[0]
        if before is None or given is None:
            return networks.values(genome, inputs, [after], copy=copy)[after]
        return networks.values(genome, (), [after], {before: given}, copy)[after]

    def _ends(self, genome: Genome) -> list[str | None]:
        return block_ends(self._context.space.network(genome), self._blocks)


class _Heads(nn.Module):
    """Projector and predictor of a block, and the moving average of the projector.

    Norms use the statistics of each batch, so that all processes keep the same state.

    Args:
        width: Width of projections.
        hidden: Units of the hidden layers.
        channels: Most channels of the block; fewer use the first columns of the first layer.
        seed: Seed of the initial values.
    """

    def __init__(self, width: int, hidden: int, channels: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projector = _perceptron(channels, hidden, width)
            self.predictor = _perceptron(width, hidden, width)
        self.average = deepcopy(self.projector).requires_grad_(False)

    def online(self, features: Tensor) -> Tensor:
        found: Tensor = self.predictor(_projected(self.projector, features))
        return found

    def target(self, features: Tensor) -> Tensor:
        return _projected(self.average, features)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        for own, one in zip(self.average.parameters(), self.projector.parameters(), strict=True):
            own.lerp_(one, 1 - decay)


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    norm = nn.BatchNorm1d(hidden, track_running_stats=False)
    return nn.Sequential(nn.Linear(inputs, hidden), norm, nn.ReLU(), nn.Linear(hidden, outputs))


def _projected(projector: nn.Sequential, features: Tensor) -> Tensor:
    """Return projections, (B, width), of features (B, C, H, W), (B, T, C) or (B, C)."""
    pooled = features.flatten(2).mean(2) if features.ndim == 4 else features
    pooled = pooled.mean(1) if pooled.ndim == 3 else pooled
    first, *others = projector
    assert isinstance(first, nn.Linear)
    found = linear(pooled, first.weight[:, : pooled.shape[1]], first.bias)
    for one in others:
        found = one(found)
    return found


def _others(values: Tensor) -> list[int]:
    """Return all axes of values but that of channels: (B, C, H, W), (B, T, C) or (B, C)."""
    return [0, 2, 3] if values.ndim == 4 else list(range(values.ndim - 1))


def _anchors(context: StrategyContext) -> list[Genome]:
    """Return the networks that show which genes change a block: the largest, and random ones."""
    rng = np.random.default_rng(0)
    return [context.largest, *(context.draw(rng) for _ in range(ANCHORS))]
