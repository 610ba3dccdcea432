"""Sources of the weights of candidates' modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nasctl.networks.graph import Network
from nasctl.problem.space import Genome

if TYPE_CHECKING:
    from torch import nn

    from nasctl.networks.weights import Init


class WeightsSource(Protocol):
    """A source of weights; hashable, picklable, and equal to another source with the same text.

    The text of a source, `str(source)`, is its identity. Measured values are filed under this text, so values that were
    measured with other weights never mix. The text has no comma, and it is the same wherever a file of weights lies.
    """

    def __hash__(self) -> int: ...

    def module(self, network: Network, genome: Genome, seed: int, init: Init) -> nn.Module:
        """Return a fresh module of a network on the CPU, in training mode. The caller may change the module.

        Args:
            network: The network to build, at the fidelity of the setting.
            genome: The genome of the network, canonical.
            seed: The seed of the setting. A source without random weights ignores it.
            init: The initial distribution that a metric asks for. A source without random weights ignores it.
        """
        ...


@dataclass(frozen=True, slots=True)
class DrawnWeights:
    """Random initial weights, drawn from the seed of the setting."""

    def __str__(self) -> str:
        return "drawn"

    def module(self, network: Network, genome: Genome, seed: int, init: Init) -> nn.Module:
        """Return a module with weights that depend on network, seed and `init` alone."""
        from nasctl.networks.weights import initialised

        return initialised(network, seed, init)
