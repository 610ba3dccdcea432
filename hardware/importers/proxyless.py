"""Tables of ProxylessNAS: MobileNetV2 blocks; `expand` is a RATIO.

References:
    Cai et al., "ProxylessNAS: Direct neural architecture search on target task and hardware", ICLR 2019,
    arXiv:1812.00332, section 3.3; `search/utils/latency_estimator.py` of github.com/mit-han-lab/proxylessnas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nasctl.api import Block, Classifier, ConvNormAct, Emission, NasctlError
from nasctl.hardware.importers import Reading, UnsupportedKey, read_rows
from nasctl.hardware.importers._dashed import Key

__all__ = ["ProxylessNAS"]

MAX_RATIO = 16  # largest plausible expansion ratio; larger numbers are channels


class ProxylessNAS:
    """Keys such as `expanded_conv-...-expand:3-kernel:5-stride:1-idskip:1`, without `se` or `hs` in any key."""

    def claims(self, content: Mapping[str, Any]) -> bool:
        found = [key for key in content if key.startswith("expanded_conv-")]
        return bool(found) and not any("-se:" in key or "-hs:" in key for key in found)

    def read(self, content: Mapping[str, Any], part: str | None) -> Reading:
        return read_rows(
            content, part, _emission, ("Activations are ReLU6, those of ProxylessNAS; the keys do not say.",)
        )


def _emission(text: str) -> Emission:
    """Return the emission of the block that a key describes."""
    key = Key.parsed(text)
    if key.kind == "expanded_conv":
        if {"expand", "kernel", "stride", "idskip"} != key.fields.keys():
            raise UnsupportedKey("keys that this format does not have")
        ratio = key.fields["expand"]
        if not 1 <= ratio <= MAX_RATIO:
            raise NasctlError(f"{text!r} expands {ratio} times: this format's expand is a ratio, not channels")
        return key.residual(ratio * key.input[0], "relu6", se=False)
    channels = key.output[0]
    blocks: dict[str, Block] = {
        "Conv": ConvNormAct(channels, 3, 2, act="relu6"),
        "Conv_1": ConvNormAct(channels, act="relu6"),
        "Logits": Classifier(channels),  # This format times pooling and the linear layer together.
    }
    if key.kind not in blocks:
        raise UnsupportedKey("keys that this format does not have")
    return key.made(blocks[key.kind])
