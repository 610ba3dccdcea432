"""Layers with pruned weights, which runtimes run as fast as the layers without zeros."""

from __future__ import annotations

from nasctl.api import Network, SparseLayer


def has_masked_layers(network: Network) -> bool:
    """Return whether layers of a network have zeros among their weights."""
    return any(isinstance(node.layer, SparseLayer) for span in network.spans for node in span.emission.nodes)
