"""Two networks without a common choice agree on each image: cross-path contrastive learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from math import log

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize

from nasctl.api import BadOption, Genome, Network, Pass, StepBatch, StepNetworks, StrategyContext

__all__ = ["CrossPath"]

TRIES = 100  # random pairs that are tried for two networks whose weights are in the supernet


class CrossPath:
    """Train two networks a step to give the same projection of an image, though they share no choice.

    The second network differs from the first in every gene. Each sees a view of the images of its own, and its
    projection is drawn to the one that the moving average of the other network gives for the other view, away from
    projections of earlier images (InfoNCE). The moving average follows the weights that a step has trained, and no
    others. Where networks are merged by `canonical`, two may share a choice that has no effect.

    Labels do not reach the shared weights: the last layer learns from them on features without gradient, in every step
    and through both networks, so that accuracies of the supernet are those of a linear classifier on its features.

    Args:
        temperature: Temperature of the softmax over similarities.
        queue: Projections of earlier images that each one is told apart from.
        width: Width of projections.
        hidden: Units of the projector.
        momentum: Share that moving averages keep in each step.

    References:
        Peng et al., "Pi-NAS: improving neural architecture search by reducing supernet training consistency shift",
        ICCV 2021, arXiv:2108.09671, section 4. The classifier is trained beside the features, not after them.
    """

    mean_teacher = True

    def __init__(
        self,
        context: StrategyContext,
        temperature: float = 0.2,
        queue: int = 4096,
        width: int = 128,
        hidden: int = 512,
        momentum: float = 0.999,
    ) -> None:
        if not temperature > 0 or queue < 1 or width < 1 or hidden < 1 or not 0 <= momentum < 1:
            raise BadOption(
                f"Cannot contrast paths with temperature={temperature:g},queue={queue},width={width},hidden={hidden},"
                f"momentum={momentum:g}. Give positive numbers, and momentum from 0 to less than 1."
            )
        if context.space.input.kind != "images":
            raise BadOption(
                f"Cannot contrast paths of networks that read {context.space.input.kind}: views are changed images."
                " Choose another strategy."
            )
        self._context, self._temperature, self._momentum = context, temperature, momentum
        outputs = context.space.network(context.largest).out_shape[0]
        self.chance = log(queue + 1) + log(max(2, outputs))
        self._heads = _Heads(_most_features(context), hidden, width, queue, context.seed)
        self.modules: Mapping[str, nn.Module] = {"heads": self._heads}
        self._keys = torch.empty(0, width)  # of the step in progress

    def teacher_decay(self, step: int) -> float:
        return self._momentum

    def passes(self, step: int) -> Sequence[Pass]:
        rng = self._context.rng(step)
        for _ in range(TRIES):
            first = self._context.draw(rng)
            moved = tuple(
                (choice + 1 + int(rng.integers(max(1, len(gene.choices) - 1)))) % len(gene.choices)
                for choice, gene in zip(first, self._context.space.genes, strict=True)
            )
            second = self._context.space.canonical(moved)
            if self._context.holds(second):
                return Pass((first,)), Pass((second,))
        return Pass((first,)), Pass((self._context.draw(rng),))

    def losses(self, step: int, passes: Sequence[Pass], batch: StepBatch, networks: StepNetworks) -> Iterator[Tensor]:
        genomes, views = [one.genomes[0] for one in passes], [batch.inputs(0), batch.inputs(1)]
        with torch.no_grad():
            keys = [
                self._heads.target(self._features(one, view, networks, 1))
                for one, view in zip(genomes, views, strict=True)
            ]
        self._keys = networks.gathered(torch.cat(keys))
        # The classifier's labels are those of view 0, which has the same images as view 1.
        for genome, view, key in zip(genomes, views, reversed(keys), strict=True):
            features = self._features(genome, view, networks, 0)
            own = self._heads.online(features)
            near = (own * key).sum(1, keepdim=True)
            scores = torch.cat([near, own @ self._heads.queue.T.to(own.dtype)], 1) / self._temperature
            contrast = cross_entropy(scores.float(), torch.zeros(len(scores), dtype=torch.long, device=scores.device))
            given = {self._last(genome)[0]: features.detach()}
            yield contrast + batch.loss(networks.values(genome, (), [""], given)[""])

    def told(self, step: int, losses: Sequence[float], norms: Sequence[float]) -> None:
        self._heads.follow(self._momentum)
        self._heads.push(self._keys)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {}

    def _features(self, genome: Genome, inputs: Sequence[Tensor], networks: StepNetworks, copy: int) -> Tensor:
        """Return what the last layer of a genome's network reads, (B, C)."""
        name, _ = self._last(genome)
        return networks.values(genome, inputs, [name], copy=copy)[name]

    def _last(self, genome: Genome) -> tuple[str, int]:
        return _last_features(self._context.space.network(genome))


class _Heads(nn.Module):
    """The projector, its moving average, and projections of earlier images.

    Args:
        features: Most features of a network; fewer use the first columns of the first layer.
        hidden: Units of the projector.
        width: Width of projections.
        queue: Number of earlier projections, which are random at first.
        seed: Seed of the initial values.
    """

    queue: Tensor
    place: Tensor

    def __init__(self, features: int, hidden: int, width: int, queue: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projector = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, width))
            self.register_buffer("queue", normalize(torch.randn(queue, width), dim=1))
        self.average = deepcopy(self.projector).requires_grad_(False)
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))  # of the oldest projection

    def online(self, features: Tensor) -> Tensor:
        return _projected(self.projector, features)

    def target(self, features: Tensor) -> Tensor:
        return _projected(self.average, features)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        for own, one in zip(self.average.parameters(), self.projector.parameters(), strict=True):
            own.lerp_(one, 1 - decay)

    def push(self, keys: Tensor) -> None:
        """Replace the oldest projections."""
        size = len(self.queue)
        keys = keys[-size:].to(self.queue)
        places = (torch.arange(len(keys), device=keys.device) + self.place) % size
        self.queue[places] = keys
        self.place.copy_((self.place + len(keys)) % size)


def _projected(projector: nn.Sequential, features: Tensor) -> Tensor:
    """Return projections of length 1, (B, width), of features (B, C)."""
    first, middle, last = projector
    assert isinstance(first, nn.Linear)
    hidden = middle(linear(features, first.weight[:, : features.shape[1]], first.bias))
    return normalize(last(hidden).float(), dim=1)


def _last_features(network: Network) -> tuple[str, int]:
    """Return the name of the layer that the last layer with weights reads, and its number of features.

    Raises:
        BadOption: The network does not end in a linear layer on one vector.
    """
    nodes = network.nodes
    place = network.output
    while place >= 0 and not nodes[place].layer.params(*nodes[place].in_shapes):
        place = nodes[place].inputs[0]
    before = nodes[place].inputs[0] if place >= 0 else -1
    if before < 0 or len(nodes[before].out_shape) != 1:
        raise BadOption(
            "Cannot contrast paths: the networks of this space do not end in a classifier of one vector. Choose another"
            " strategy."
        )
    return nodes[before].name, nodes[before].out_shape[0]


def _most_features(context: StrategyContext) -> int:
    """Return the most features that a network has before its classifier: a gene changes them from the largest one."""
    space, largest = context.space, context.largest
    found = [_last_features(space.network(largest))[1]]
    for place, gene in enumerate(space.genes):
        for choice in range(len(gene.choices)):
            other = space.canonical((*largest[:place], choice, *largest[place + 1 :]))
            found.append(_last_features(space.network(other))[1])
    return max(found)
