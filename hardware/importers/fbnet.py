"""Additive tables of the FBNet space: the contribution of each of nine blocks in each of 22 layers to the latency.

References:
    Wu et al., "FBNet: Hardware-aware efficient ConvNet design via differentiable neural architecture search", CVPR
    2019, arXiv:1812.03443, equation 4.
    Li et al., "HW-NAS-Bench: Hardware-aware neural architecture search benchmark", ICLR 2021, arXiv:2103.10584.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasctl import registry
from nasctl.api import NasctlError, SearchSpace
from nasctl.hardware.importers import MAX_MS, Entry, Reading, checked_number

__all__ = ["FBNetLayers"]

SPACE = "fbnet:cifar=on,classes=100,head=1504,resolution=32"  # spec of the search space that HW-NAS-Bench timed
DIGITS = 9  # decimal digits of a millisecond that are kept; further digits are rounding errors of the source


class FBNetLayers:
    """Tables `{"DEVICE": {"constant_ms": ..., "table_ms": [22 x 9]}, ...}`, or one such object by itself.

    Only the differences within a layer and the total are determined in such a table, so its numbers may be negative.
    They are shifted per layer: a skipped layer costs 0, no block costs less than 0, and the constant plus all shifts
    become the overhead of the table.
    """

    def claims(self, content: Mapping[str, Any]) -> bool:
        return "table_ms" in content or any(isinstance(one, Mapping) and "table_ms" in one for one in content.values())

    def read(self, content: Mapping[str, Any], part: str | None) -> Reading:
        given = content if "table_ms" in content else _chosen(content, part)
        space: SearchSpace = registry.create("spaces", SPACE)
        layers = _layers(given.get("table_ms"), [len(gene.choices) for gene in space.genes])
        overhead = checked_number(given.get("constant_ms"), "its constant_ms")
        costs = []
        # A network with the same choice in all layers has every block of that choice.
        choices = range(max(map(len, layers)))
        networks = [space.network((choice,) * len(layers)) for choice in choices]
        spans = [{span.name: span.emission for span in network.spans} for network in networks]
        for gene, layer in zip(space.genes, layers, strict=True):
            # A choice without a block skips the layer and costs 0.
            skipped = [ms for choice, ms in enumerate(layer) if gene.name not in spans[choice]]
            least = skipped[0] if skipped else min(layer)
            overhead += least
            for choice, ms in enumerate(layer):
                if gene.name in spans[choice]:
                    cost = checked_number(
                        round(ms - least, DIGITS), f"what choice {choice} of {gene.name} costs over no layer"
                    )
                    costs.append(Entry(spans[choice][gene.name], cost))
        names = {gene.name for gene in space.genes}
        fixed = {name: emission for name, emission in spans[0].items() if name not in names}
        inferred = (
            f"The networks are those of {SPACE}; the file does not say.",
            "A block's figure is what it costs over the cheapest choice of its layer; what all networks have in common "
            "is the overhead, and the layers that all have are 0 beside it.",
        )
        entries = (*costs, *(Entry(emission, 0.0) for emission in fixed.values()))
        return Reading(entries, {}, inferred, round(overhead, DIGITS), (SPACE,))


def _chosen(content: Mapping[str, Any], part: str | None) -> Mapping[str, Any]:
    """Return the table of one device.

    Raises:
        NasctlError: The file holds several devices and none was named, or lacks the named one.
    """
    found = {name: one for name, one in content.items() if isinstance(one, Mapping) and "table_ms" in one}
    if part is None and len(found) == 1:
        (part,) = found
    if part not in found:
        wrong = "holds several devices" if part is None else f"has no device {part!r}"
        raise NasctlError(f"it {wrong}; choose one with --part: {', '.join(sorted(found))}")
    return found[part]


def _layers(given: object, choices: list[int]) -> list[list[float]]:
    """Return the contributions in ms, (layers, choices), after checking their shape and range.

    Raises:
        NasctlError: The shape or a number is wrong.
    """
    refusal = NasctlError(f"its table_ms is not a list of {len(choices)} layers of {max(choices)} numbers each")
    if not isinstance(given, list) or len(given) != len(choices):
        raise refusal
    for layer, wanted in zip(given, choices, strict=True):
        if not isinstance(layer, list) or len(layer) != wanted:
            raise refusal
        for ms in layer:
            if isinstance(ms, bool) or not isinstance(ms, int | float) or not abs(ms) <= MAX_MS:
                raise refusal
    return given
