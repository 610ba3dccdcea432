"""Quantised layers in latency tables: a layer without a row costs what the next wider type costs that the device runs.

Runtimes have no arithmetic of 2, 3 or 6 bits, so such layers are smaller and no faster.
"""

from __future__ import annotations

from collections.abc import Iterable

from nasctl.api import Emission, Network, QuantizedLayer, emission_of


def widened_emission(emission: Emission) -> Emission | None:
    """Return the block of a quantised layer without its quantisation; None for all other blocks."""
    layer = _layer(emission)
    return None if layer is None else emission_of(layer.widened, emission.in_shapes)


def most_bits(emission: Emission) -> int:
    """Return the bits of the wider factor of a quantised layer; 0 for all other blocks."""
    layer = _layer(emission)
    return 0 if layer is None else max(layer.weights, layer.inputs)


def too_wide(emission: Emission, bits: int) -> str:
    """Return the key of a block whose quantised layer has more bits than a table's integers, with the reason."""
    return f"{emission.key} (its {bits}-bit rows hold no wider layer)"


def widest_emission(network: Network) -> Emission:
    """Return the block of a network whose quantised layer has the most bits."""
    return max((span.emission for span in network.spans), key=most_bits)


def has_quantized_layers(network: Network) -> bool:
    """Return whether layers of a network are quantised."""
    return any(_layer(span.emission) is not None for span in network.spans)


def has_quantized_rows(keys: Iterable[str]) -> bool:
    """Return whether quantised layers are among the blocks of a table, given by their emission keys."""
    return any(key.startswith(f"{QuantizedLayer.__name__}(") for key in keys)


def _layer(emission: Emission) -> QuantizedLayer | None:
    layer = emission.nodes[0].layer if len(emission.nodes) == 1 else None
    return layer if isinstance(layer, QuantizedLayer) else None
