"""Depth: the number of weighted layers on the longest path through the network."""

from __future__ import annotations

from functools import lru_cache

from nasctl.api import Candidate, Direction, Emission, Multiply, Node, Transform, Zero

__all__ = ["Depth"]


class Depth:
    """Largest number of weighted layers on a path from the input to the output.

    Convolutions, linear layers and recurrent layers count as one layer each. A recurrent layer counts as one at any
    sequence length. Normalisation layers, embeddings and products of two activations do not count. A path through a
    product follows the value that the gate multiplies and never the gate itself, so squeeze-and-excitation adds no
    depth. No path passes through a `Zero` layer.
    """

    unit = "layers"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})
    version = "1"
    monotone = True  # enlarging layers never shortens a path

    def __call__(self, candidate: Candidate) -> float:
        """Return the number of layers on the longest path.

        Raises:
            ValueError: No path leads from the input to the output.
        """
        network = candidate.network
        longest = {-1 - k: 0 for k in range(len(network.input_shapes))}  # value -> layers on the longest path to it
        for span in network.spans:
            paths = zip(span.inputs, _path_lengths(span.emission), strict=True)
            lengths = [longest[i] + more for i, more in paths if more is not None and i in longest]
            if lengths and span.emission.output >= 0:
                longest[span.start + span.emission.output] = max(lengths)
        if network.output not in longest:
            raise ValueError("no path leads from the input to the output")
        return float(longest[network.output])


@lru_cache(maxsize=1 << 14)
def _path_lengths(emission: Emission) -> tuple[int | None, ...]:
    """Return the longest path from each input to the output of a span, or None where there is no path.

    The result is cached because candidates of one space share most of their spans.
    """
    return tuple(_path_length(emission, -1 - k) for k in range(len(emission.in_shapes)))


def _path_length(emission: Emission, source: int) -> int | None:
    """Return the longest path from one input to the output of a span, or None where there is no path."""
    longest = {source: 0}
    for k, node in enumerate(emission.nodes):
        inputs = node.inputs[:1] if isinstance(node.layer, Multiply) else node.inputs
        lengths = [longest[i] for i in inputs if i in longest]
        if lengths and not isinstance(node.layer, Zero):
            longest[k] = max(lengths) + _is_weighted(node)
    return longest.get(emission.output)


def _is_weighted(node: Node) -> bool:
    """Return True if a layer multiplies its input with weights."""
    return node.layer.params(*node.in_shapes) > 0 and node.layer.macs(*node.in_shapes) > 0
