"""The split of a data set into training, validation and test images, by index and from a seed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nasctl.data import Part
from nasctl.errors import NasctlError
from nasctl.training.streams import generator

PARTS: tuple[Part, ...] = ("train", "validation", "test")

USUAL = "0.8,0.1,0.1"  # default shares of the parts

SHARE = re.compile(r"-?\d{0,9}(\.\d{0,9}|/\d{1,9})?")  # a share, as a decimal number or a fraction


@dataclass(frozen=True)
class Split:
    """Shares of the parts of a data set.

    Attributes:
        train: Share of the training examples, above 0.
        validation: Share of the validation examples, above 0.
        test: Share of the test examples; 0 for no test part.
    """

    train: Fraction
    validation: Fraction
    test: Fraction

    @classmethod
    def parse(cls, text: str) -> Split:
        """Return the split that a user types: two or three shares, such as "0.8,0.1,0.1".

        The third share, that of the test part, is 0 if it is left out. Examples beyond the sum of the shares are not
        used.

        Raises:
            NasctlError: The text is no split, a share is not positive, or the shares sum to more than 1.
        """
        try:
            shares = [Fraction(word) for word in text.split(",") if SHARE.fullmatch(word.strip())]
        except (ValueError, ZeroDivisionError):  # such as "" or 1/0
            shares = []
        if len(shares) not in (2, 3) or len(shares) != text.count(",") + 1:
            raise NasctlError(
                f"Cannot read the split {text!r}: it is not two or three numbers. Give the shares of training,"
                f" validation and test examples, such as {USUAL}."
            )
        if min(shares[:2]) <= 0 or min(shares) < 0:
            raise NasctlError(
                f"Cannot split by {text!r}: the shares of training and validation examples must be above 0, and that of"
                f" test examples not below. Give shares such as {USUAL}."
            )
        if sum(shares) > 1:
            raise NasctlError(
                f"Cannot split by {text!r}: the shares sum to {float(sum(shares)):g}, more than 1. Give shares such as"
                f" {USUAL}."
            )
        return cls(shares[0], shares[1], shares[2] if len(shares) == 3 else Fraction(0))

    def __str__(self) -> str:
        return "-".join(f"{float(share):g}" for share in (self.train, self.validation, self.test))

    def share(self, part: Part) -> Fraction:
        """Return the share of a part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]

    def without(self, given: Collection[Part]) -> Split:
        """Return the split of the remaining examples if the data itself has set apart some parts.

        The shares of the other parts keep their proportions: 0.8-0.1-0.1 becomes 8/9-0-1/9 without the validation part.
        """
        rest = 1 - sum(self.share(part) for part in given)
        shares = [Fraction(0) if part in given else self.share(part) / rest for part in PARTS]
        return Split(*shares)

    def indices(self, labels: np.ndarray, seed: int) -> Mapping[Part, np.ndarray]:
        """Split examples class by class.

        The part of an example depends on the seed, its class, its place among the examples of the class, and their
        number. Every class has a training example. The numbers of examples of a class are the shares rounded up or down
        at random, so that the parts of many small classes have their shares in sum.

        Args:
            labels: The class of each example from 0, (K,) int64.
            seed: The seed of the split, not negative.

        Returns:
            Indices of the examples of each part, ascending, int64.
        """
        found: dict[Part, list[np.ndarray]] = {part: [] for part in PARTS}
        for label in np.unique(labels).tolist():
            members = np.flatnonzero(labels == label)
            rng = generator(seed, "split", part=label)
            shift, order = Fraction(rng.random()), rng.permutation(len(members))
            ends = self._ends(len(members), shift)
            for part, begin, end in zip(PARTS, (0, *ends), ends, strict=False):
                found[part].append(members[order[begin:end]])
        return {part: np.sort(np.concatenate([*some, np.zeros(0, np.int64)])) for part, some in found.items()}

    def pieces(self, number: int) -> Mapping[Part, tuple[int, int]]:
        """Split a text into contiguous pieces, in the order of the parts.

        Args:
            number: Number of words.

        Returns:
            The first word of each part and the word after its last.
        """
        ends = self._ends(number, Fraction(0))
        return {part: (begin, end) for part, begin, end in zip(PARTS, (0, *ends), ends, strict=False)}

    def _ends(self, number: int, shift: Fraction) -> list[int]:
        """Return the end of each part among a number of examples in order.

        Args:
            number: Number of examples.
            shift: Added to the ends before they are rounded down, from 0 to 1.
        """
        first = max(1, int(self.train * number + shift))
        second = int((self.train + self.validation) * number + shift)
        third = int((self.train + self.validation + self.test) * number + shift)
        ends = [first, max(first, second), max(first, second, third)]
        return [min(end, number) for end in ends]


__all__ = ["PARTS", "USUAL", "Split"]
