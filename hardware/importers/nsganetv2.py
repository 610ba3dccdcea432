"""The table of NSGANetV2: blocks of Once-for-All at all image sizes in one file; `expand` is a RATIO.

References:
    Lu et al., "NSGANetV2: Evolutionary multi-objective surrogate-assisted neural architecture search", ECCV 2020,
    arXiv:2007.10396; `data/i7-8700K_lut.yaml` of github.com/mikelzc1990/nsganetv2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasctl.api import Block, ConvNormAct, Emission, Logits, NasctlError
from nasctl.hardware.importers import Reading, UnsupportedKey, read_rows
from nasctl.hardware.importers._dashed import Key

__all__ = ["NSGANetV2"]

MAX_RATIO = 16  # largest plausible expansion ratio; larger numbers are channels
RELU_UP_TO = 48  # largest output channels of a stage with ReLU, at a width of 1.0 or 1.2; wider stages have h-swish


class NSGANetV2:
    """Keys `MBConv-...-expand:3-...-se:0`, `first_conv`, `final_expand_layer`, `feature_mix_layer`, `classifier`."""

    def claims(self, content: Mapping[str, Any]) -> bool:
        return any(key.startswith(("MBConv-input:", "first_conv-", "feature_mix_layer-")) for key in content)

    def read(self, content: Mapping[str, Any], part: str | None) -> Reading:
        inferred = (
            "Activations are those of Once-for-All at a width of 1.0 or 1.2: ReLU in blocks that end in up to "
            f"{RELU_UP_TO} channels, h-swish in all others; the keys do not say.",
            "The source has no row for the pooling before the last two layers.",
        )
        return read_rows(content, part, _emission, inferred)


def _emission(text: str) -> Emission:
    """Return the emission of the block that a key describes."""
    key = Key.parsed(text)
    channels = key.output[0]
    if key.kind == "MBConv":
        if not {"expand", "kernel", "stride", "idskip", "se"} <= key.fields.keys():
            raise UnsupportedKey("keys that this format does not have")
        ratio = key.fields["expand"]
        if not 1 <= ratio <= MAX_RATIO:
            raise NasctlError(f"{text!r} expands {ratio} times: this format's expand is a ratio, not channels")
        act = "relu" if channels <= RELU_UP_TO else "hswish"
        return key.residual(ratio * key.input[0], act, bool(key.fields["se"]))
    blocks: dict[str, Block] = {
        "first_conv": ConvNormAct(channels, 3, 2, act="hswish"),
        "final_expand_layer": ConvNormAct(channels, act="hswish"),
        "feature_mix_layer": ConvNormAct(channels, act="hswish", norm=False),
        "classifier": Logits(channels),
    }
    if key.kind not in blocks:
        raise UnsupportedKey("keys that this format does not have")
    return key.made(blocks[key.kind])
