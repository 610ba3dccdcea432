"""Keys with fields joined by dashes, of Once-for-All and its successors: "Conv-input:7x7x192-output:7x7x1152"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nasctl.api import Block, Emission, Layer, MBConv, Shape
from nasctl.hardware.importers import UnsupportedKey
from nasctl.networks.graph import emission_of

N = r"(\d{1,6})"  # a size or a number of channels
KEY = re.compile(rf"(\w+)-input:(?:{N}x{N}x)?{N}-output:(?:{N}x{N}x)?{N}((?:-[a-z]+:\d{{1,6}})*)")
MAX_SIZE = 1 << 16  # largest plausible size or number of channels


@dataclass(frozen=True, slots=True)
class Key:
    """A parsed key."""

    kind: str  # type of block, such as "expanded_conv"
    input: Shape  # (C, H, W); H and W are 1 if the key states channels only
    output: Shape  # likewise
    fields: Mapping[str, int]  # by name: "kernel", "stride", ...

    @classmethod
    def parsed(cls, text: str) -> Key:
        """Parse a key.

        Raises:
            UnsupportedKey: The text is not such a key, or a size is impossible.
        """
        found = KEY.fullmatch(text)
        if found is None:
            raise UnsupportedKey("keys that this format does not have")
        height, width, channels, *out = (int(one or 1) for one in found.groups()[1:7])
        fields = {name: int(value) for name, _, value in (one.partition(":") for one in found[8].split("-")[1:])}
        values = (height, width, channels, *out)
        if min(values) < 1 or max((*values, *fields.values())) > MAX_SIZE:
            raise UnsupportedKey("keys with impossible sizes")
        return cls(found[1], (channels, height, width), (out[2], out[0], out[1]), fields)

    def made(self, block: Block | Layer) -> Emission:
        """Return the emission of a block on the input of the key.

        Raises:
            UnsupportedKey: Its output shape is not that of the key.
        """
        emission = emission_of(block, (self.input,))
        wanted = self.output if len(emission.out_shape) == 3 else (self.output[0],)
        if emission.out_shape != wanted:
            raise UnsupportedKey("blocks whose output has another size than nasctl's block")
        return emission

    def residual(self, middle: int, act: str, se: bool) -> Emission:
        """Return the emission of an inverted residual with `middle` channels after its expansion.

        Raises:
            UnsupportedKey: nasctl has no such block.
        """
        kernel, stride = self.fields["kernel"], self.fields["stride"]
        if kernel % 2 == 0 or stride < 1:
            raise UnsupportedKey("keys with impossible sizes")
        channels = self.input[0]
        emission = self.made(MBConv(self.output[0], kernel, middle / channels, stride, act, se))
        if not any(node.name == "depthwise.conv" and node.out_shape[0] == middle for node in emission.nodes):
            raise UnsupportedKey("expansions to channels that are no multiple of 8")
        if (self.input == self.output) != bool(self.fields["idskip"]):
            raise UnsupportedKey("blocks with a shortcut where nasctl's have none, or without one where they have one")
        return emission
