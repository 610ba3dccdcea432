"""Tables of Once-for-All: MobileNetV3 blocks, one file per image size; `expand` is a number of CHANNELS.

References:
    Cai et al., "Once-for-All: Train one network and specialize it for efficient deployment", ICLR 2020,
    arXiv:1908.09791; `ofa/nas/efficiency_predictor/latency_lookup_table.py` of github.com/mit-han-lab/once-for-all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasctl.api import Block, ConvNormAct, Emission, GlobalAvgPool, Layer, Logits, NasctlError
from nasctl.hardware.importers import Reading, UnsupportedKey, read_rows
from nasctl.hardware.importers._dashed import Key

__all__ = ["OnceForAll"]


class OnceForAll:
    """Keys such as `expanded_conv-...-expand:144-...-se:0-hs:1`, with squeeze-and-excitation and h-swish."""

    def claims(self, content: Mapping[str, Any]) -> bool:
        return any(key.startswith("expanded_conv-") and "-se:" in key and "-hs:" in key for key in content)

    def read(self, content: Mapping[str, Any], part: str | None) -> Reading:
        return read_rows(
            content, part, _emission, ("Activations of the stem and the final layers are those of Once-for-All.",)
        )


def _emission(text: str) -> Emission:
    """Return the emission of the block that a key describes."""
    key = Key.parsed(text)
    if key.kind == "expanded_conv":
        if not {"expand", "kernel", "stride", "idskip", "se", "hs"} <= key.fields.keys():
            raise UnsupportedKey("keys that this format does not have")
        middle = key.fields["expand"]
        if middle < key.input[0]:
            raise NasctlError(f"{text!r} would narrow its block: this format's expand is channels, not a ratio")
        return key.residual(middle, "hswish" if key.fields["hs"] else "relu", bool(key.fields["se"]))
    channels = key.output[0]
    blocks: dict[str, Block | Layer] = {
        "Conv": ConvNormAct(channels, 3, 2, act="hswish"),
        "Conv_1": ConvNormAct(channels, act="hswish"),
        "AvgPool2D": GlobalAvgPool(),
        "Conv_2": ConvNormAct(channels, act="hswish", norm=False),
        "Logits": Logits(channels),
    }
    if key.kind not in blocks:
        raise UnsupportedKey("keys that this format does not have")
    return key.made(blocks[key.kind])
