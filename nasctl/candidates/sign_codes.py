"""The signs of a rectifier's inputs, packed to one bit a unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

WORD = 8  # bytes that are compared at once


class SignCodes(NamedTuple):
    """Which units of one rectifier are on for each example: a bit a unit, 1/32 of what the activations take."""

    packed: np.ndarray  # (B, ceil(D / 64)) uint64, the last word filled up with zeros
    units: int  # D

    @classmethod
    def of(cls, inputs: Tensor) -> SignCodes:
        """The codes of a rectifier's input, (B, C, ...) or (B, D)."""
        # Channels go last because that is how they lie in memory: they are packed without being moved.
        on = (inputs > 0).movedim(1, -1).flatten(1).numpy(force=True)  # (B, D)
        packed = np.packbits(on, axis=1)
        padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % WORD)))
        return cls(padded.view(np.uint64), on.shape[1])

    def agreement(self) -> np.ndarray:
        """How many units are the same for two examples, (B, B) int64; exact."""
        differ = np.zeros((len(self.packed),) * 2, np.int64)
        for k, code in enumerate(self.packed):
            differ[k, k + 1 :] = np.bitwise_count(code ^ self.packed[k + 1 :]).sum(axis=1, dtype=np.int64)
        return self.units - differ - differ.T

    def patterns(self) -> np.ndarray:
        """For which examples each unit is on, (D, ceil(B / 64)) uint64: bit k of word w is example 64 w + k.

        Squares of 8 by 8 bits are transposed in words of 64, as in Warren, "Hacker's Delight", section 7-3.
        """
        rows = np.pad(self.packed.view(np.uint8), ((0, -len(self.packed) % 64), (0, 0)))
        squares = np.ascontiguousarray(rows.reshape(len(rows) // 8, 8, -1).swapaxes(1, 2)).view(np.uint64)
        for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
            swapped = (squares ^ (squares >> np.uint64(shift))) & np.uint64(mask)
            squares = squares ^ swapped ^ (swapped << np.uint64(shift))
        # (8 examples, 8 units, the unit) -> (8 units, the unit, 8 examples); packing put the first unit of 8 last.
        units = squares.view(np.uint8).transpose(1, 2, 0)[:, ::-1].reshape(-1, len(rows) // 8)
        return np.ascontiguousarray(units[: self.units]).view(np.uint64)
