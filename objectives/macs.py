"""Number of multiply-accumulates (MACs) for one example."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Transform, version_of_layers

__all__ = ["MACs"]


class MACs:
    """Multiply-accumulates of convolutions and products of matrices, vectors and tensors.

    They are half of the FLOPs that other tools count. `nasctl.networks.products` has the rules.
    """

    unit = "MACs"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    version_on = version_of_layers
    monotone = True  # enlarging a layer never lowers the value

    def __call__(self, candidate: Candidate) -> float:
        """Return the number of multiply-accumulates for one example."""
        return float(candidate.network.macs)
