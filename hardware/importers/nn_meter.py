"""Tables of nn-Meter: convolution and transformer blocks, with keys of fields joined by underscores.

The fourth number of a key, where there is one, is the expansion ratio.

References:
    Zhang et al., "nn-Meter: Towards accurate latency prediction of deep-learning model inference on diverse edge
    devices", MobiSys 2021; `nn_meter/predictor/transformer_predictor/lut` of github.com/microsoft/nn-Meter, branch
    dev/hybrid-transformer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasctl.api import Builder, ConvNormAct, Emission, GlobalAvgPool, MBConv, make_divisible
from nasctl.hardware.importers import Reading, UnsupportedKey, read_rows
from nasctl.networks.graph import emission_of

__all__ = ["NNMeter"]

STEM = re.compile(r"firstconv_(\d{1,4})_(\d{1,4})_(\d{1,4})_2_3")
CONV = re.compile(r"conv_(\d{1,4})_(\d{1,4})_(\d{1,4})_(\d{1,2})_([12])_hard_swish_([357])_(se|nose)")
POOL = re.compile(r"mbpool_(\d{1,4})_(\d{1,4})_(\d{1,4})_(\d{1,2})_hard_swish")
TRANSFORMER = re.compile(r"trans(ds|attn|ffn)_")


@dataclass(frozen=True, slots=True)
class PooledHead:
    """Expansion, global average pool and 1x1 convolution without batch norm: (C, H, W) -> (channels, 1, 1)."""

    channels: int
    expand: int

    def emit(self, net: Builder, *inputs: int) -> int:
        (x,) = inputs
        wide = make_divisible(net.shape(x)[0] * self.expand)
        y = net.add(ConvNormAct(wide, act="hswish"), x, name="expand")
        y = net.add(GlobalAvgPool(), y, name="pool")
        return net.add(ConvNormAct(self.channels, act="hswish", norm=False), y, name="mix")


class NNMeter:
    """Keys such as `conv_56_24_32_5_2_hard_swish_5_se`, `firstconv_...` and `mbpool_...`, without transformers."""

    def claims(self, content: Mapping[str, Any]) -> bool:
        return any(STEM.fullmatch(key) or CONV.fullmatch(key) or POOL.fullmatch(key) for key in content)

    def read(self, content: Mapping[str, Any], part: str | None) -> Reading:
        inferred = (
            "The file does not say whether its values were measured or predicted.",
            "Its blocks are taken to have a shortcut where shapes agree, and squeeze-and-excitation of a quarter.",
        )
        return read_rows(content, part, _emission, inferred)


def _emission(text: str) -> Emission:
    """Return the emission of the block that a key describes."""
    if found := STEM.fullmatch(text):
        size, channels, out = map(int, found.groups())
        _require_positive(size, channels, out)
        return emission_of(ConvNormAct(out, 3, 2, act="hswish"), ((channels, size, size),))
    if found := CONV.fullmatch(text):
        size, channels, out, ratio, stride, kernel = map(int, found.groups()[:6])
        _require_positive(size, channels, out, ratio)
        if stride == 2 and size % 2:
            raise UnsupportedKey("blocks that halve an odd size, which nasctl's round up and this format down")
        return emission_of(MBConv(out, kernel, ratio, stride, "hswish", found[7] == "se"), ((channels, size, size),))
    if found := POOL.fullmatch(text):
        size, channels, out, ratio = map(int, found.groups())
        _require_positive(size, channels, out, ratio)
        return emission_of(PooledHead(out, ratio), ((channels, size, size),))
    if TRANSFORMER.match(text):
        raise UnsupportedKey("transformer blocks, which nasctl does not have")
    raise UnsupportedKey("keys that this format does not have")


def _require_positive(*values: int) -> None:
    """Refuse a key with a size or a number of channels of 0."""
    if min(values) < 1:
        raise UnsupportedKey("keys with impossible sizes")
