"""The networks of a search space as a supernet sees them: the module that a task trains, without weights of its own."""

from __future__ import annotations

from functools import lru_cache

from torch import nn

from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, Input, SearchSpace
from nasctl.supernets.skeleton import skeleton
from nasctl.supernets.slots import Share, SlotAxis, Use, described, uses
from nasctl.training.recipe import TrainingTask
from nasctl.training.trainable import check_task, learner

KEPT = 500  # modules without weights that stay in memory

HEAD = "head"  # prefix of the slots of layers that only the training has


class ElasticNetworks:
    """The networks of a space, as modules whose weights are slices of shared ones.

    Args:
        space: The search space.
        share: What candidates share.
        task: The task that trains the networks.
    """

    def __init__(self, space: SearchSpace, share: Share, task: TrainingTask = "classes") -> None:
        self.space, self.share, self.task = space, share, task
        self.uses = lru_cache(maxsize=1 << 12)(self._uses)
        self._kept = lru_cache(maxsize=KEPT)(self._module)

    @property
    def prefix(self) -> str:
        """The prefix of the network's own parameters in the names of the task's module."""
        return "body." if self.task == "masked words" else ""

    def check(self, genome: Genome, classes: int | None) -> None:
        """Raise a `NasctlError` if the task cannot train the networks of the space.

        Args:
            genome: An example.
            classes: Number of classes of the data; None for words.
        """
        network = self.space.network(genome)
        check_task(network, self.input_of(network), self.task, classes)

    def input_of(self, network: Network) -> Input:
        """Return the input of a network, which may have a resolution of its own."""
        (shape,) = network.input_shapes
        given = self.space.input
        return given if given.shape == shape else Input(shape, given.kind, given.vocabulary)

    def module(self, genome: Genome) -> nn.Module:
        """Return the module that the task trains, with parameters on the meta device; the same one for the same genome.

        Its batch norms use the statistics of each batch.
        """
        return self._kept(genome)

    def fresh_module(self, genome: Genome) -> nn.Module:
        """Return a new module of a genome as `module` does, whose batch norms have fresh running statistics."""
        return self.module_of(self.space.network(genome), statistics=True)

    def module_of(self, network: Network, statistics: bool = False) -> nn.Module:
        """Return a new module of a network, with parameters on the meta device.

        Args:
            network: The network of a genome, or of several choices of genes.
            statistics: Whether batch norms have running statistics, fresh ones; otherwise they use those of each batch.
        """
        body = skeleton(network, statistics)
        return learner(network, body, self.input_of(network), self.task, 0)

    def _module(self, genome: Genome) -> nn.Module:
        return self.module_of(self.space.network(genome))

    def _uses(self, genome: Genome) -> tuple[Use, ...]:
        return self.uses_of(self.space.network(genome))

    def uses_of(self, network: Network) -> tuple[Use, ...]:
        """Return the parameters of a network's module with their slots."""
        own = uses(network, self.share)
        if not self.prefix:
            return own
        module = self.module_of(network)
        names = {name for name, _ in module.named_parameters(remove_duplicate=False)}
        found = [use._replace(parameter=f"{self.prefix}{use.parameter}") for use in own]
        # The encoder's classifier is not trained, and the head's matrix is that of the embedding.
        kept = [use for use in found if use.parameter in names]
        heads = [
            Use(name, f"{HEAD}.{name}|{kind}", tuple(SlotAxis((("", size),)) for size in shape), role)
            for name, shape, kind, role, _ in described(module)
            if not name.startswith(self.prefix) and name in names and name != "words"
        ]
        return (*kept, *heads)


__all__ = ["ElasticNetworks"]
