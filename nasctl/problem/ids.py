"""Genomes as words of base 32 with a check letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from nasctl.errors import InvalidGenome
from nasctl.problem.space import Gene, Genome, Notation, SearchSpace, validate

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u

GENOME = re.compile(r"[0-9]{1,99}(,[0-9]{1,99})*")


def decode(word: str, genes: Sequence[Gene]) -> Genome:
    """The genome whose id ends in this word, which is what follows the "-".

    Raises:
        InvalidGenome: A letter is wrong, missing or too many; one wrong letter, or two that swapped, never go unseen.
    """
    digits = [ALPHABET.find(letter) for letter in word]
    if len(digits) != width(genes) + 1 or -1 in digits or remainder(digits):
        raise InvalidGenome(f"{word!r} is not the end of an id of this space; look for a letter that is mistyped")
    number = 0
    for digit in digits[:-1]:
        number = number << 5 | digit
    choices = []
    for gene in reversed(genes):
        number, choice = divmod(number, len(gene.choices))
        choices.append(choice)
    if number:
        raise InvalidGenome(f"{word!r} lies beyond the last genome of this space")
    return tuple(reversed(choices))


def spelled(text: str, space: SearchSpace) -> Genome | None:
    """The genome that a text spells out, "0,3,1" or the space's own notation; none if it does neither.

    Raises:
        InvalidGenome: The space has no such genome.
    """
    if isinstance(space, Notation) and (genome := space.parse(text)) is not None:
        return genome
    if not GENOME.fullmatch(text):
        return None
    genome = tuple(map(int, text.split(",")))
    validate(space.genes, genome)
    return genome


def width(genes: Sequence[Gene]) -> int:
    """Base-32 digits of the largest number: every id of a space is of one length."""
    return max(1, -(-(prod(len(gene.choices) for gene in genes) - 1).bit_length() // 5))


def remainder(digits: Sequence[int]) -> int:
    """The digits as a polynomial over GF(32), evaluated at a primitive element; 0 for a word with its check letter.

    A changed digit adds a non-zero multiple of a power of that element, which is never 0; nor is what a swap of unequal
    neighbours adds.
    """
    value = 0
    for digit in digits:
        value = value << 1 ^ (0b100101 if value & 16 else 0) ^ digit  # x^5 + x^2 + 1 is primitive
    return value
