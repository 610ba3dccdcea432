"""The examples and the networks with shared weights that a strategy with losses of its own has in a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import interpolate

from nasctl.networks.executable import Executable
from nasctl.networks.graph import Network
from nasctl.networks.node import attribute_name
from nasctl.problem.space import Genome
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.mixtures import Mixtures
from nasctl.supernets.pieces import Pieces
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.training.events import Ranks
from nasctl.training.losses import Learning, Prepared
from nasctl.training.recipe import TrainingTask

VIEW = 1 << 40  # steps between the random streams of two views of a step

KEPT = 200  # networks whose pieces stay in memory


class RankBatch:
    """A rank's share of the batch of a step; see `nasctl.problem.strategy_step.StepBatch`.

    Args:
        learning: The task.
        given: Examples.
        labels: Their labels.
        step: Number of the step.
        first: The prepared batch, which is view 0.
    """

    def __init__(self, learning: Learning, given: Tensor, labels: Tensor, step: int, first: Prepared) -> None:
        self._learning, self._given, self._labels, self._step = learning, given, labels, step
        self.size = len(given)
        self._views = {0: first}

    def halves(self) -> tuple[RankBatch, RankBatch]:
        """Return the rows 0, 2, ... and 1, 3, ..., which are of the two halves of the training examples."""
        found = []
        for start in (0, 1):
            given, labels, whole = self._given[start::2], self._labels[start::2], self._views[0]
            if whole.rows is None:
                own = Prepared(tuple(one[start::2] for one in whole.inputs), whole.targets[start::2])
            else:  # places of words are rows of one list, so each half is prepared anew
                own = self._learning.training(given, labels, self._step)
            found.append(RankBatch(self._learning, given, labels, self._step, own))
        first, second = found
        return first, second

    def inputs(self, view: int = 0) -> tuple[Tensor, ...]:
        """Return the inputs of networks. Each view has random changes of its own."""
        if view not in self._views:
            self._views[view] = self._learning.training(self._given, self._labels, self._step + view * VIEW)
        return self._views[view].inputs

    def loss(self, outputs: Tensor) -> Tensor:
        """Return the loss of the task, (), for the outputs of a network for view 0."""
        return self._learning.loss(outputs, self._views[0].targets)

    @torch.no_grad()
    def quality(self, outputs: Tensor) -> Tensor:
        """Return the accuracy, (), for the outputs of a network for view 0; for words exp(-loss)."""
        targets = self._views[0].targets
        if self._learning.words:
            return (-self.loss(outputs).float()).exp()
        return (outputs.argmax(1) == targets).float().mean()


class SharedNetworks:
    """The networks of a space with shared weights; see `nasctl.problem.strategy_step.StepNetworks`.

    Args:
        weights: The shared weights.
        ranks: The place of this process.
        context: The training; only entangled networks need it.
    """

    def __init__(self, weights: SharedWeights, ranks: Ranks, context: TrainingContext | None = None) -> None:
        self._weights, self._ranks = weights, ranks
        self._context = context or TrainingContext(weights.hull, 0, 1)
        self.visits: list[tuple[list[str], int]] = []  # slots that a run may train, with their copy
        self._mixtures = Mixtures(weights.hull)
        self._pieces = lru_cache(maxsize=KEPT)(self._new_pieces)

    def outputs(self, genome: Genome, inputs: Sequence[Tensor], copy: int = 0) -> Tensor:
        """Return the outputs of a genome's network. Images are scaled to the network's resolution."""
        networks = self._weights.networks
        if torch.is_grad_enabled():
            self.visits.append(([slot for _, slot, _ in self._weights.hull.cuts(genome)], copy))
        views = self._weights.views(genome, copy)
        found: Tensor = functional_call(networks.module(genome), views, fitted(networks, genome, inputs))
        return found

    def outputs_and_values(
        self, genome: Genome, inputs: Sequence[Tensor], wanted: Sequence[str], copy: int = 0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs of a genome's network, and those of layers by their names, in one pass."""
        body, kept = self._body(genome), dict[str, Tensor]()

        def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda part, given, found: kept.__setitem__(name, found)

        handles = [body.get_submodule(attribute_name(one)).register_forward_hook(keep(one)) for one in wanted]
        try:
            return self.outputs(genome, inputs, copy), kept
        finally:
            for one in handles:
                one.remove()

    def values(
        self,
        genome: Genome,
        inputs: Sequence[Tensor],
        wanted: Sequence[str],
        given: Mapping[str, Tensor] | None = None,
        copy: int = 0,
    ) -> dict[str, Tensor]:
        """Return the outputs of layers or blocks of a genome's network by their names.

        Raises:
            NasctlError: The network has no layer or block of a name.
        """
        pieces, given = self._pieces(genome), given or {}
        prefix = self._weights.networks.prefix
        owners = pieces.owners(pieces.needed(wanted, given))
        used = {
            parameter: slot
            for parameter, slot, _ in self._weights.hull.cuts(genome)
            if parameter.startswith(prefix) and parameter.removeprefix(prefix).partition(".")[0] in owners
        }
        if torch.is_grad_enabled():
            self.visits.append((list(used.values()), copy))
        views = self._weights.views(genome, copy)
        own = {f"body.{name.removeprefix(prefix)}": views[name] for name in used}
        read = fitted(self._weights.networks, genome, inputs)[:1]  # places of masked words are for the head alone
        found: dict[str, Tensor] = functional_call(pieces, own, (read, tuple(wanted), given))
        return found

    def mixed(
        self,
        allowed: Sequence[Sequence[int]],
        weights: Mapping[int, Tensor],
        inputs: Sequence[Tensor],
        copy: int = 0,
        frozen: bool = False,
    ) -> Tensor:
        """Return the outputs of the network that sums the weighted outputs of several choices of each gene.

        Raises:
            DoesNotFit: The supernet has no place for the weights of an operation.
            NasctlError: The space has no such networks.
        """
        mixture = self._mixtures.of(allowed, weights)
        if torch.is_grad_enabled() and not frozen:
            visit = [slot for _, slot, _ in mixture.cuts], copy
            if visit not in self.visits:  # a step may ask for gradients that only serve the choices
                self.visits.append(visit)
        views = self._weights.slices(mixture.cuts, copy)
        if frozen:
            views = {name: one.detach() for name, one in views.items()}
        given = {**views, **mixture.factors(weights)}
        found: Tensor = functional_call(
            mixture.module, given, fitted_to(mixture.network, self._weights.networks.task, inputs)
        )
        return found

    def entangled(
        self, weights: Mapping[int, Tensor], inputs: Sequence[Tensor], copy: int = 0, frozen: bool = False
    ) -> Tensor:
        """Return the outputs of one network whose weights are mixtures of the slices of several choices.

        Raises:
            NasctlError: The choices of a gene with factors are no slices.
        """
        own: Mapping[str, Tensor] = self._weights.parameters[copy]
        if frozen:
            own = {slot: one.detach() for slot, one in own.items()}
        masked = self._context.entanglement.masked(own, weights)
        if torch.is_grad_enabled() and not frozen:
            self.visits.append((list(masked.slots), copy))
        return masked.outputs(fitted_to(masked.network, self._weights.networks.task, inputs))

    def tensors(self, copy: int = 0) -> Mapping[str, Tensor]:
        """Return the shared weights by the names of their slots; leaves of the graph of gradients."""
        return self._weights.parameters[copy]

    @torch.no_grad()
    def gathered(self, own: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of their ranks."""
        rank, world = self._ranks.rank, self._ranks.world
        own = own.detach()
        if world == 1:
            return own
        sizes = torch.zeros(world, dtype=torch.int64, device=own.device)
        sizes[rank] = len(own)
        self._ranks.reduce(sizes)
        starts = [0, *sizes.cumsum(0).tolist()]
        flat = own.new_zeros((starts[-1], *own.shape[1:]))
        flat[starts[rank] : starts[rank + 1]] = own
        self._ranks.reduce(flat)
        return flat

    def _new_pieces(self, genome: Genome) -> Pieces:
        return Pieces(self._weights.networks.space.network(genome), self._body(genome))

    def _body(self, genome: Genome) -> nn.Module:
        """Return the layers of a genome's network, without a head that only the training has."""
        module = self._weights.networks.module(genome)
        return module if isinstance(module, Executable) else module.get_submodule("body")


def fitted(networks: ElasticNetworks, genome: Genome, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return inputs with images scaled to the resolution of a genome's network.

    Args:
        networks: The networks of the space.
        genome: The genome.
        inputs: Images, (B, C, H, W), or words with what a task adds to them.
    """
    return fitted_to(networks.space.network(genome), networks.task, inputs)


def fitted_to(network: Network, task: TrainingTask, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return inputs with images scaled to the resolution of a network; see `fitted`."""
    if task != "classes":
        return tuple(inputs)
    (shape,) = network.input_shapes
    return tuple(
        one
        if one.shape[2:] == shape[1:]
        else interpolate(one, shape[1:], mode="bilinear", align_corners=False, antialias=True)
        for one in inputs
    )


__all__ = ["RankBatch", "SharedNetworks", "fitted"]
