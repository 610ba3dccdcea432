"""Genomes as words of base-32 letters with a check letter, the last part of ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from nasctl.errors import InvalidGenome
from nasctl.problem.space import Gene, Genome, Notation, SearchSpace, validate

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u

GENOME = re.compile(r"[0-9]{1,99}(,[0-9]{1,99})*")  # a genome as a list of choices, such as "0,3,1"


def decode(word: str, genes: Sequence[Gene]) -> Genome:
    """Return the genome of a word, the part of an id after the "-".

    Args:
        word: The word.
        genes: The genes of the space.

    Raises:
        InvalidGenome: A letter is wrong, missing or surplus. One wrong letter, or two swapped neighbours, are always
            detected.
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
    """Return the genome that a text lists, as "0,3,1" or in the space's own notation; None if it is neither.

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
    """Return the number of base-32 digits of every genome of a space, without the check letter."""
    return max(1, -(-(prod(len(gene.choices) for gene in genes) - 1).bit_length() // 5))


def remainder(digits: Sequence[int]) -> int:
    """Return the polynomial over GF(32) with these digits at a primitive element; 0 for a word with its check letter.

    A changed digit adds a non-zero multiple of a power of the element, so the result is not 0. The same holds for a
    swap of unequal neighbours.
    """
    value = 0
    for digit in digits:
        value = value << 1 ^ (0b100101 if value & 16 else 0) ^ digit  # x^5 + x^2 + 1 is primitive
    return value
