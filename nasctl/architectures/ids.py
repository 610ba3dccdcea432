"""Architecture ids: a genome as a word to read out, type and rebuild, such as "nb201-f882"."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from nasctl import registry
from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.ids import ALPHABET, GENOME, decode, remainder, spelled, width
from nasctl.problem.space import Gene, Genome, validate
from nasctl.store.store import Store


def encode(spec: str, genes: Sequence[Gene], genome: Genome) -> str:
    """The id of a genome: its space, "-", its mixed-radix number in base 32, a check letter.

    Raises:
        InvalidGenome: The genes have no such genome.
    """
    validate(genes, genome)
    number = 0
    for gene, choice in zip(genes, genome, strict=True):
        number = number * len(gene.choices) + choice
    digits = [number >> 5 * place & 31 for place in reversed(range(width(genes)))]
    return f"{prefix(spec)}-{''.join(ALPHABET[digit] for digit in [*digits, remainder([*digits, 0])])}"


@lru_cache(maxsize=64)  # finding plug-ins by name takes milliseconds
def prefix(spec: str) -> str:
    """What an id begins with: the space's name and, if options are not at their defaults, a digest of those."""
    name, _, options = registry.normal("spaces", spec).partition(":")
    digest = hashlib.sha256(options.encode()).digest()
    return name + "." + "".join(ALPHABET[byte & 31] for byte in digest[:3]) if options else name


def resolve(text: str, store: Store, spec: str | None = None) -> tuple[str, Genome]:
    """The space's spec and the genome that a person means.

    Args:
        text: An id; the beginning of one that the store holds and no other shares; or, with `spec`, a genome such as
            "0,3,1" or an architecture as the space's benchmark writes it.
        store: Knows which options a digest stands for.
        spec: The space, if the text does not say.

    Raises:
        NasctlError: The text means nothing, or more than one thing.
    """
    if spec is not None and (genome := spelled(text, registry.create("spaces", spec))) is not None:
        return spec, genome
    if GENOME.fullmatch(text):
        raise NasctlError(f"the genome {text} may be of any space; give it with --space")
    head, dash, word = text.rpartition("-")
    if not dash:
        raise NasctlError(f"{text!r} is no id, which looks like nb201-f882, and no genome, which looks like 0,3,1")
    head = head.lower()
    try:
        name = registry.known("spaces", head.partition(".")[0])
    except UnknownName:
        if spec is None:
            raise
        raise NasctlError(f"{text!r} is no id, no genome such as 0,3,1, and nothing else that {spec} reads") from None
    head = ".".join([name, *head.split(".")[1:]])
    if spec and prefix(spec) != head:
        raise NasctlError(f"{text!r} is an id of {head!r}, and --space {spec} has ids that begin with {prefix(spec)!r}")
    known = [other for other in store.spaces() if other.partition(":")[0] == name]
    considered = [spec] if spec else [name, *known]
    meant = {registry.normal("spaces", one) for one in considered if prefix(one) == head}
    if len(meant) != 1:
        found = "several of the store's spaces have" if meant else f"no run in the store {store.path} has"
        raise NasctlError(f"{found} options with the digest of {head!r}; give the space with --space")
    (spec,) = meant
    genes = registry.create("spaces", spec).genes
    if len(word) > width(genes):
        return spec, decode(word.lower(), genes)
    ids = {encode(spec, genes, genome): genome for genome in store.genomes(registry.spelled_out("spaces", spec))}
    begun = sorted(whole for whole in ids if whole.startswith(f"{head}-{word.lower()}"))
    if len(begun) != 1:
        several = f"{len(begun)} in the store {store.path} begin so, such as {' and '.join(begun[:2])}"
        nothing = f"none in the store {store.path} begins so"
        raise NasctlError(f"{text!r} is no whole id, and {several if begun else nothing}")
    return spec, ids[begun[0]]
