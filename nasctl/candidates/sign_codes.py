"""The signs of a rectifier's inputs, packed to one bit per unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

WORD = 8  # bytes of a word; words are compared at once


class SignCodes(NamedTuple):
    """The signs of the inputs of one rectifier's units for each example, in 1/32 of the memory of the activations."""

    packed: np.ndarray  # (B, ceil(D / 64)) uint64; a bit is 1 where the unit is on, and the last word ends in zeros
    units: int  # D

    @classmethod
    def of(cls, inputs: Tensor) -> SignCodes:
        """Return the codes of a rectifier's input, (B, C, ...) or (B, D)."""
        # Channels go last because they lie last in memory, so that packing moves nothing.
        on = (inputs > 0).movedim(1, -1).flatten(1).numpy(force=True)  # (B, D)
        packed = np.packbits(on, axis=1)
        padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % WORD)))
        return cls(padded.view(np.uint64), on.shape[1])

    def agreement(self) -> np.ndarray:
        """Return the number of units with equal signs for each pair of examples, (B, B) int64."""
        differ = np.zeros((len(self.packed),) * 2, np.int64)
        for k, code in enumerate(self.packed):
            differ[k, k + 1 :] = np.bitwise_count(code ^ self.packed[k + 1 :]).sum(axis=1, dtype=np.int64)
        return self.units - differ - differ.T

    def patterns(self) -> np.ndarray:
        """Return the examples for which each unit is on, (D, ceil(B / 64)) uint64: bit k of word w is example 64 w + k.

        Squares of 8 by 8 bits are transposed in words of 64, as in Warren, "Hacker's Delight", section 7-3.
        """
        rows = np.pad(self.packed.view(np.uint8), ((0, -len(self.packed) % 64), (0, 0)))
        squares = np.ascontiguousarray(rows.reshape(len(rows) // 8, 8, -1).swapaxes(1, 2)).view(np.uint64)
        for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
            swapped = (squares ^ (squares >> np.uint64(shift))) & np.uint64(mask)
            squares = squares ^ swapped ^ (swapped << np.uint64(shift))
        # (8 examples, 8 units, the unit) -> (8 units, the unit, 8 examples); packing puts the first of 8 units last.
        units = squares.view(np.uint8).transpose(1, 2, 0)[:, ::-1].reshape(-1, len(rows) // 8)
        return np.ascontiguousarray(units[: self.units]).view(np.uint64)
