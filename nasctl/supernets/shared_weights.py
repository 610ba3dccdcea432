"""The shared weights of a supernet: a tensor for each slot, counts of visits, and the slices of each network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError
from nasctl.networks.weights import initialised
from nasctl.problem.space import Genome
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull, NamedCut, sliced
from nasctl.supernets.last_gains import last_gains
from nasctl.training.trainable import learner

Views = dict[str, Tensor]  # slices by the parameter's name in a network's module


class UntrainedWeights(NasctlError):
    """A network some of whose shared weights no step has trained."""


class SharedWeights:
    """The weights of all networks of a space.

    Args:
        hull: The slots.
        seed: Seed of the initial weights. Each slot has a stream of its own.
        copies: Number of copies, which begin alike.
        zero_last_gains: Whether the gain of the last norm of each residual branch begins at zero.
        device: The device of the tensors.
        drawn: Whether values are drawn; without, tensors are empty until `load`.
        mixture: Returns the share of each copy in each of the `layers`, (layers, copies), for a genome. The weights of
            a network are then a mixture of all copies, which begin with values of their own.
    """

    def __init__(
        self,
        hull: Hull,
        seed: int,
        copies: int = 1,
        zero_last_gains: bool = False,
        device: torch.device | str = "cpu",
        *,
        drawn: bool = True,
        mixture: Callable[[Genome], Tensor] | None = None,
    ) -> None:
        self.hull, self.copies, self._mixture = hull, copies, mixture
        values = (
            _initial(hull, seed, zero_last_gains)
            if drawn
            else {name: torch.empty(slot.shape, device="meta") for name, slot in hull.slots.items()}
        )
        self.parameters = []
        for copy in range(copies):
            own = _initial(hull, seed, zero_last_gains, copy) if mixture and drawn and copy else values
            self.parameters.append(
                {name: nn.Parameter(value.to(device, copy=copy > 0) if drawn else value) for name, value in own.items()}
            )
        self._layers = {name: row for row, name in enumerate(layers(hull))}
        self.visits = np.zeros((copies, len(values)), np.int64)  # passes that trained each slot
        self._places = {name: k for k, name in enumerate(values)}

    @property
    def networks(self) -> ElasticNetworks:
        """The networks that share the weights."""
        return self.hull.networks

    @property
    def tensors(self) -> dict[str, nn.Parameter]:
        """Return all tensors by name; those of the second copy end in "@1"."""
        return {
            name if copy == 0 else f"{name}@{copy}": value
            for copy, some in enumerate(self.parameters)
            for name, value in some.items()
        }

    def load(self, tensors: Mapping[str, Tensor], visits: np.ndarray) -> None:
        """Take over tensors without copying them, by their names in `tensors`, and the visits of each slot."""
        for copy, some in enumerate(self.parameters):
            for name in some:
                some[name] = nn.Parameter(tensors[name if copy == 0 else f"{name}@{copy}"])
        self.visits = visits

    def views(self, genome: Genome, copy: int = 0) -> Views:
        """Return the weights of a genome, as slices through which gradients reach the shared tensors.

        Where copies are mixed, the weights are sums over the slices of all copies, and `copy` has no effect.

        Raises:
            DoesNotFit: The supernet has no place for them.
        """
        if self._mixture is not None:
            return self._mixed(genome, self._mixture(genome))
        return self.slices(self.hull.cuts(genome), copy)

    def slices(self, cuts: Iterable[NamedCut], copy: int = 0) -> Views:
        """Return slices of the tensors of a copy by the parameters of a network."""
        own = self.parameters[copy]
        return {parameter: sliced(own[slot], cut) for parameter, slot, cut in cuts}

    def _mixed(self, genome: Genome, shares: Tensor) -> Views:
        """Return the mixture of all copies, given the share of each in each layer."""
        rows = [row.unbind() for row in shares.unbind()]
        found = {}
        for parameter, slot, cut in self.hull.cuts(genome):
            row = rows[self._layers[layer_of(slot)]]
            # Slices before the sum: a sum of whole slots would cost as much for the smallest network as for the hull.
            first, *others = (share * sliced(own[slot], cut) for share, own in zip(row, self.parameters, strict=True))
            found[parameter] = sum(others, first)
        return found

    def count_visit(self, genome: Genome, copy: int = 0) -> None:
        """Count that a pass has trained the slots of a genome."""
        self.count_visits([slot for _, slot, _ in self.hull.cuts(genome)], copy)

    def count_visits(self, slots: Iterable[str], copy: int = 0) -> None:
        """Count that a pass has trained slots; of all copies, where they are mixed."""
        trained = copy if self._mixture is None else slice(None)
        for slot in slots:
            self.visits[trained, self._places[slot]] += 1

    def check_trained(self, genome: Genome, copy: int = 0) -> None:
        """Check that training has reached each slot of a genome.

        Raises:
            DoesNotFit: The supernet has no place for some weights.
            UntrainedWeights: Some weights are as they were drawn.
        """
        for _, slot, _ in self.hull.cuts(genome):
            if not self.visits[copy, self._places[slot]]:
                raise UntrainedWeights(
                    f"no step of the supernet's training has reached the weights {slot.partition('|')[0]} of this"
                    " network; train the supernet for longer"
                )

    def is_trained(self, genome: Genome, copy: int = 0) -> bool:
        """Return whether training has reached each slot of a genome."""
        return all(self.visits[copy, self._places[slot]] for _, slot, _ in self.hull.cuts(genome))

    def visits_by_slot(self, copy: int = 0) -> dict[str, int]:
        """Return the number of passes that trained each slot."""
        return dict(zip(self._places, self.visits[copy].tolist(), strict=True))

    @torch.no_grad()
    def split(self) -> None:
        """Give every copy the weights and the visits of the first."""
        for some in self.parameters[1:]:
            for name, value in some.items():
                value.copy_(self.parameters[0][name])
        self.visits[1:] = self.visits[0]

    @torch.no_grad()
    def module(self, genome: Genome, copy: int = 0) -> nn.Module:
        """Return a new module of a genome with copies of its weights, whose batch norms have no statistics yet."""
        return with_weights(self.networks.fresh_module(genome), self.views(genome, copy))


def with_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Replace the parameters of a module by copies of weights, and return the module."""
    made: dict[int, nn.Parameter] = {}  # by the parameter that it replaces, which several names may have
    old = dict(module.named_parameters(remove_duplicate=False))
    for name, value in weights.items():
        made[id(old[name])] = nn.Parameter(value.detach().clone())
    for owner in module.modules():
        for name, one in owner._parameters.items():
            if one is not None and id(one) in made:
                owner._parameters[name] = made[id(one)]
    return module


def layers(hull: Hull) -> tuple[str, ...]:
    """Return the names of all layers that have slots, in the order of the slots."""
    return tuple(dict.fromkeys(map(layer_of, hull.slots)))


def layer_of(slot: str) -> str:
    """Return the name of the layer that a slot has weights of."""
    return slot.partition("|")[0].rpartition(".")[0]


def _initial(hull: Hull, seed: int, zero_last_gains: bool, copy: int = 0) -> dict[str, Tensor]:
    """Return the initial tensor of each slot.

    Weights and biases of convolutions and linear layers are from U(-1/sqrt(n), 1/sqrt(n)), PyTorch's default, where n
    is the number of inputs of one output of the largest layer. Norms have gain 1 and shift 0. Other weights are drawn
    from the values that the constructor of the largest layer draws.
    """
    zero = _last_gain_slots(hull) if zero_last_gains else frozenset()
    drawn = lru_cache(maxsize=2)(lambda genome: _drawn(hull.networks, genome, seed))
    found = {}
    for name, slot in hull.slots.items():
        generator = torch.Generator().manual_seed(_slot_seed(seed, name if copy == 0 else f"{name}@{copy}"))
        if slot.role in ("weight", "bias"):
            weight = hull.slots[_weight_of(name)] if slot.role == "bias" else slot
            bound = 1 / sqrt(max(1, prod(weight.shape[1:])))
            found[name] = torch.empty(slot.shape).uniform_(-bound, bound, generator=generator)
        elif slot.role == "norm":
            gain = ".weight|" in name and name not in zero
            found[name] = torch.full(slot.shape, float(gain))
        else:
            assert slot.largest is not None
            genome, use = slot.largest
            values = drawn(genome)[use.parameter].detach().flatten()
            places = torch.randint(len(values), (prod(slot.shape),), generator=generator)
            found[name] = values[places].view(slot.shape).clone()
    return found


def _drawn(networks: ElasticNetworks, genome: Genome, seed: int) -> dict[str, Tensor]:
    """Return the parameters that the constructors of a genome's network draw, by their names in the task's module."""
    network = networks.space.network(genome)
    module = learner(network, initialised(network, seed), networks.input_of(network), networks.task, seed)
    return dict(module.named_parameters(remove_duplicate=False))


def _weight_of(bias: str) -> str:
    """Return the slot of the weight beside a bias."""
    layer, bar, kind = bias.partition("|")
    return f"{layer.removesuffix('bias')}weight{bar}{kind}"


def _slot_seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "little")


def _last_gain_slots(hull: Hull) -> frozenset[str]:
    """Return the slots of the last gains of residual branches of the largest networks."""
    genomes = {slot.largest[0] for slot in hull.slots.values() if slot.role == "norm" and slot.largest is not None}
    found = set()
    for genome in genomes:
        names = last_gains(hull.networks.space.network(genome))
        prefix = hull.networks.prefix
        found |= {use.slot for use in hull.networks.uses(genome) if use.parameter.removeprefix(prefix) in names}
    return frozenset(found)


__all__ = ["SharedWeights", "UntrainedWeights", "Views", "layer_of", "layers", "with_weights"]
