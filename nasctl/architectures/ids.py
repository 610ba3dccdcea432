"""Architecture ids: short words such as "nb201-f882" that can be read out, typed and decoded to a genome."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from nasctl import registry
from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.ids import ALPHABET, WRITERS, decode, listed_choices, remainder, spelled, width
from nasctl.problem.space import Gene, Genome, validate
from nasctl.store.store import Store


def encode(spec: str, genes: Sequence[Gene], genome: Genome) -> str:
    """Return the id of a genome: its space, "-", the genome as a mixed-radix number in base 32, and a check letter.

    Raises:
        InvalidGenome: The genome does not fit the genes.
    """
    validate(genes, genome)
    number = 0
    for gene, choice in zip(genes, genome, strict=True):
        number = number * len(gene.choices) + choice
    digits = [number >> 5 * place & 31 for place in reversed(range(width(genes)))]
    return f"{prefix(spec)}-{''.join(ALPHABET[digit] for digit in [*digits, remainder([*digits, 0])])}"


@lru_cache(maxsize=64)  # finding plug-ins by name takes milliseconds
def prefix(spec: str) -> str:
    """Return the first part of ids: the name of the space, with a digest of its options unless all are defaults.

    For a space of a file, it is the stem of the file with a digest of class and options.
    """
    normal = registry.normal("spaces", spec)
    name, short = registry.plugin_of(normal), registry.short_name(normal)
    # Files in several folders may have one stem, and a file several classes. The path is left out, as files move.
    options = normal.removeprefix(name).removeprefix(":") if short == name else normal.rpartition(".py:")[2]
    digest = hashlib.sha256(options.encode()).digest()
    return short.lower() + "." + "".join(ALPHABET[byte & 31] for byte in digest[:3]) if options else name


def resolve(text: str, store: Store, spec: str | None = None) -> tuple[str, Genome]:
    """Return the spec of the space and the genome of an architecture that a user names.

    Args:
        text: An id, or the beginning of exactly one id in the store. With `spec` also a genome such as "0,3,1",
            a tuple of NASLib such as "naslib:(4, 0, 3, 1, 4, 3)", or an architecture in the notation of the space's
            benchmark.
        store: The store, which knows the options of each digest.
        spec: The space; needed if `text` does not name it.

    Raises:
        NasctlError: The text names no architecture, or more than one.
    """
    if spec is not None and (genome := spelled(text, registry.create("spaces", spec))) is not None:
        return spec, genome
    writer, colon, rest = text.partition(":")
    if listed_choices(rest if colon and writer in WRITERS else text) is not None:
        raise NasctlError(f"the genome {text} may be of any space; give it with --space")
    head, dash, word = text.rpartition("-")
    if not dash:
        raise NasctlError(f"{text!r} is no id, which looks like nb201-f882, and no genome, which looks like 0,3,1")
    head = head.lower()
    stem = head.partition(".")[0]
    files = [one for one in store.spaces() if registry.short_name(one).lower() == stem != registry.plugin_of(one)]
    name = _space_name(text, stem, spec, bool(files))
    head = ".".join([name, *head.split(".")[1:]])
    if spec and prefix(spec) != head:
        raise NasctlError(f"{text!r} is an id of {head!r}, and --space {spec} has ids that begin with {prefix(spec)!r}")
    known = [other for other in store.spaces() if registry.plugin_of(other) == name]
    own = [name] if name in registry.names("spaces") else []
    considered = [spec] if spec else [*own, *known, *files]
    specs = {registry.normal("spaces", one) for one in considered if prefix(one) == head}
    if len(specs) != 1:
        found = "several of the store's spaces have" if specs else f"no run in the store {store.path} has"
        raise NasctlError(f"{found} options with the digest of {head!r}; give the space with --space")
    (spec,) = specs
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


def _space_name(text: str, stem: str, spec: str | None, in_file: bool) -> str:
    """Return the name of the space of an id as its prefix has it.

    Args:
        text: The id, for messages.
        stem: The prefix without the digest of options.
        spec: The space, if the user named it.
        in_file: Whether the store has a space of a file of that name.

    Raises:
        NasctlError: There is no such space.
    """
    try:
        return registry.known("spaces", stem)
    except UnknownName:
        if in_file or (spec is not None and registry.short_name(spec).lower() == stem):
            return stem
        if spec is None:
            raise
    raise NasctlError(f"{text!r} is no id, no genome such as 0,3,1, and nothing else that {spec} reads")
