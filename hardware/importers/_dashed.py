"""Keys of fields joined by dashes, as Once-for-All and those after it write: "Conv-input:7x7x192-output:7x7x1152"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from nasctl.api import Block, Emission, Layer, MBConv, Shape
from nasctl.hardware.importers import LeftOut
from nasctl.networks.graph import emitted

N = r"(\d{1,6})"
KEY = re.compile(rf"(\w+)-input:(?:{N}x{N}x)?{N}-output:(?:{N}x{N}x)?{N}((?:-[a-z]+:\d{{1,6}})*)")
LARGEST = 1 << 16  # of any size or number of channels: what is above is no key but a mistake


@dataclass(frozen=True, slots=True)
class Key:
    """A key taken apart."""

    kind: str  # "expanded_conv"
    input: Shape  # (C, H, W); H and W are 1 where the key has channels alone
    output: Shape  # the same
    fields: Mapping[str, int]  # "kernel", "stride", ...

    @classmethod
    def parsed(cls, text: str) -> Key:
        """The parts of a key.

        Raises:
            LeftOut: It is no such key.
        """
        found = KEY.fullmatch(text)
        if found is None:
            raise LeftOut("keys that this format does not have")
        height, width, channels, *out = (int(one or 1) for one in found.groups()[1:7])
        fields = {name: int(value) for name, _, value in (one.partition(":") for one in found[8].split("-")[1:])}
        values = (height, width, channels, *out)
        if min(values) < 1 or max((*values, *fields.values())) > LARGEST:
            raise LeftOut("keys with impossible sizes")
        return cls(found[1], (channels, height, width), (out[2], out[0], out[1]), fields)

    def made(self, block: Block | Layer) -> Emission:
        """What the block emits on the key's input.

        Raises:
            LeftOut: That is not of the key's output shape.
        """
        emission = emitted(block, (self.input,))
        wanted = self.output if len(emission.out_shape) == 3 else (self.output[0],)
        if emission.out_shape != wanted:
            raise LeftOut("blocks whose output has another size than nasctl's block")
        return emission

    def residual(self, middle: int, act: str, se: bool) -> Emission:
        """An inverted residual with that many channels in its middle.

        Raises:
            LeftOut: nasctl has no such block.
        """
        kernel, stride = self.fields["kernel"], self.fields["stride"]
        if kernel % 2 == 0 or stride < 1:
            raise LeftOut("keys with impossible sizes")
        channels = self.input[0]
        emission = self.made(MBConv(self.output[0], kernel, middle / channels, stride, act, se))
        if not any(node.name == "depthwise.conv" and node.out_shape[0] == middle for node in emission.nodes):
            raise LeftOut("expansions to channels that are no multiple of 8")
        if (self.input == self.output) != bool(self.fields["idskip"]):
            raise LeftOut("blocks with a shortcut where nasctl's have none, or without one where they have one")
        return emission
