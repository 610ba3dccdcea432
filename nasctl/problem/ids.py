"""Genomes as words of base-32 letters with a check letter, the last part of ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from nasctl.errors import AmbiguousGenome, InvalidGenome
from nasctl.problem.space import Gene, Genome, HasNASLibTuples, Notation, SearchSpace, validate

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u

GENOME = re.compile(r"[0-9]{1,99}(,[0-9]{1,99})*")  # a genome as a list of choices, such as "0,3,1"

# A list in brackets, as programs write one: "[0, 3, 1]" or "(0, 3, 1)".
BRACKETED = re.compile(
    r"\(\s*([0-9]{1,99}(?:\s*,\s*[0-9]{1,99})*)\s*,?\s*\)|\[\s*([0-9]{1,99}(?:\s*,\s*[0-9]{1,99})*)\s*\]"
)

WRITERS = ("genome", "naslib")  # prefixes that say whose list of choices follows, as in "naslib:(4, 0, 3, 1, 4, 3)"


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
    """Return the genome that a text lists or spells; None if it does neither.

    A text is a list of choices such as "0,3,1", with or without brackets, or an architecture in the space's own
    notation. "genome:" or "naslib:" before a list says whose list it is.

    Raises:
        InvalidGenome: The space has no such genome.
        AmbiguousGenome: The list is in brackets, and NASLib writes other architectures of this space in the same way.
    """
    writer, _, rest = text.partition(":")
    if writer in WRITERS and (choices := listed_choices(rest)) is not None:
        return _genome_of(choices, writer, space)
    if isinstance(space, Notation) and (genome := space.parse(text)) is not None:
        return genome
    if (choices := listed_choices(text)) is None:
        return None
    if isinstance(space, HasNASLibTuples) and not GENOME.fullmatch(text):
        _genome_of(choices, "genome", space)  # a list that is neither is simply wrong
        raise AmbiguousGenome(
            f"{text!r} may be a genome of nasctl or a tuple of NASLib, which are different networks; write genome: or"
            " naslib: before it, or before the name of the file that holds it"
        )
    return _genome_of(choices, "genome", space)


def listed_choices(text: str) -> Genome | None:
    """Return the numbers of a list, with or without brackets; None if the text is no list of numbers."""
    text = text.strip()
    found = BRACKETED.fullmatch(text)
    inner = (found[1] or found[2]) if found else text
    inner = re.sub(r"\s", "", inner) if found else inner
    return tuple(map(int, inner.split(","))) if GENOME.fullmatch(inner) else None


def _genome_of(choices: Genome, writer: str, space: SearchSpace) -> Genome:
    """Return the genome of a list, given the member of `WRITERS` that wrote it."""
    if writer == "naslib":
        if not isinstance(space, HasNASLibTuples):
            raise InvalidGenome("nasctl does not know NASLib's tuples of this space; leave naslib: out")
        return space.from_naslib(choices)
    validate(space.genes, choices)
    return choices


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
