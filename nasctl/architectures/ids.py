"""Architecture ids: short words such as "nb201-f882" that can be read out, typed and decoded to a genome."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from nasctl import registry
from nasctl.architectures.references import find_reference, references
from nasctl.errors import NasctlError, UnknownName
from nasctl.problem.ids import ALPHABET, WRITERS, decode, listed_choices, remainder, spelled, width
from nasctl.problem.space import Gene, Genome, validate
from nasctl.store.store import Store
from nasctl.system.terminal import say


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


def prefix(spec: str) -> str:
    """Return the first part of ids: the name of the space, with a digest of its options unless all are defaults.

    For a space of a file, it is the stem of the file with a digest of class and options.
    """
    return _prefix(registry.normal("spaces", spec) if registry.completed("spaces", spec) else spec)


@lru_cache(maxsize=64)  # finding plug-ins by name takes milliseconds
def _prefix(spec: str) -> str:
    """Return the prefix of a spec, which means the same space as long as the process runs."""
    normal = registry.normal("spaces", spec)
    name, short = registry.plugin_of(normal), registry.short_name(normal)
    # Files in several folders may have one stem, and a file several classes. The path is left out, as files move.
    options = normal.removeprefix(name).removeprefix(":") if short == name else normal.rpartition(".py:")[2]
    digest = hashlib.sha256(options.encode()).digest()
    return short.lower() + "." + "".join(ALPHABET[byte & 31] for byte in digest[:3]) if options else name


def resolve(text: str, store: Store, spec: str | None = None) -> tuple[str, Genome]:
    """Return the spec of the space and the genome of an architecture that a user names.

    A reference network comes before the beginning of an id that is spelled alike. It is said what network that is.

    Args:
        text: An id, the name of a reference network such as "mobilenetv3-large", or the beginning of exactly one id in
            the store. With `spec` also a genome such as "0,3,1", a tuple of NASLib such as
            "naslib:(4, 0, 3, 1, 4, 3)", or an architecture in the notation of the space's benchmark.
        store: The store, which knows the options of each digest.
        spec: The space; needed if `text` does not name it.

    Raises:
        NasctlError: The text names no architecture, or more than one. If it names a training or a run of the store, the
            message says so.
    """
    try:
        return _resolve(text, store, spec)
    except NasctlError as error:
        if said := _other_meaning(text, store):
            raise NasctlError(f"Cannot take {text!r} as a network: {said}") from error
        raise


def _other_meaning(text: str, store: Store) -> str:
    """Return what a name of the store means that names no architecture, with a remedy; "" if the store lacks it."""
    for row in store.trainings():
        if row.name == text:
            try:
                network = encode(row.space, registry.create("spaces", row.space).genes, row.genome)
            except NasctlError:  # the plug-in of its space is not installed any more
                network = "a network"
            return (
                f"it is the name of a training of {network}. Give the id, or export the training with `nasctl export"
                f" --weights {text}`."
            )
    if any(one.name == text for one in store.runs()):
        return f"it is the name of a run. Give the id of a network, as `nasctl pareto show --run {text}` lists them."
    return ""


def _resolve(text: str, store: Store, spec: str | None) -> tuple[str, Genome]:
    """Return the spec of the space and the genome of an architecture; see `resolve`."""
    if spec is not None and (genome := spelled(text, registry.create("spaces", spec))) is not None:
        return spec, genome
    writer, colon, rest = text.partition(":")
    if listed_choices(rest if colon and writer in WRITERS else text) is not None:
        raise NasctlError(f"the genome {text} may be of any space; give it with --space")
    if (reference := find_reference(text, spec)) is not None:
        return _resolved_reference(*reference)
    head, dash, word = text.rpartition("-")
    if not dash:
        also = _listed_references(spec)
        raise NasctlError(
            f"{text!r} is no id, which looks like nb201-f882, no genome, which looks like 0,3,1, and {also}"
        )
    head = head.lower()
    stem = head.partition(".")[0]
    files = [one for one in store.spaces() if registry.short_name(one).lower() == stem != registry.plugin_of(one)]
    name = _space_name(text, stem, spec, bool(files))
    head = ".".join([name, *head.split(".")[1:]])
    if spec and prefix(spec) != head:
        raise NasctlError(f"{text!r} is an id of {head!r}, and --space {spec} has ids that begin with {prefix(spec)!r}")
    known = [other for other in store.spaces() if registry.plugin_of(other) == name]
    own = [name] if name in registry.names("spaces") and registry.optional("spaces", name) else []
    considered = [spec] if spec else [*own, *known, *files]
    specs = {registry.normal("spaces", one) for one in considered if prefix(one) == head}
    if len(specs) != 1:
        found = "several of the store's spaces have" if specs else f"no run in the store {store.path} has"
        raise NasctlError(f"{found} options with the digest of {head!r}; give the space with --space")
    (spec,) = specs
    genes = registry.create("spaces", spec).genes
    if len(word) > width(genes):
        return spec, decode(word.lower(), genes)
    return spec, _begun(text, f"{head}-{word.lower()}", store, spec)


def _begun(text: str, beginning: str, store: Store, spec: str) -> Genome:
    """Return the genome of the one id in the store with a beginning.

    Raises:
        NasctlError: No id begins so, or several do.
    """
    genes, genomes = registry.create("spaces", spec).genes, store.genomes(registry.spelled_out("spaces", spec))
    ids = {encode(spec, genes, genome): genome for genome in genomes}
    begun = sorted(whole for whole in ids if whole.startswith(beginning))
    if len(begun) != 1:
        several = f"{len(begun)} in the store {store.path} begin so, such as {' and '.join(begun[:2])}"
        nothing = f"none in the store {store.path} begins so"
        raise NasctlError(f"{text!r} is no whole id, and {several if begun else nothing}")
    return ids[begun[0]]


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
    also = f"nothing else that {registry.normal('spaces', spec)} reads, and {_listed_references(spec)}"
    raise NasctlError(f"{text!r} is no id, no genome such as 0,3,1, {also}")


def _resolved_reference(spec: str, name: str) -> tuple[str, Genome]:
    """Return the spec and the genome of a reference network, and say which network it is."""
    found = references(registry.create("spaces", spec))[name]
    say(f"{name} is a network of {spec} ({found.source}){found.remark and f'; here: {found.remark}'}")
    return spec, found.genome


def _listed_references(spec: str | None) -> str:
    """Return that a name is not among the reference networks, and which there are: the end of a sentence."""
    if not spec:
        return "no reference network (nasctl space references SPACE lists them)"
    names = list(references(registry.create("spaces", spec)))
    short = registry.normal("spaces", spec)
    return f"no reference network of {short} ({', '.join(names)})" if names else f"{short} has no reference networks"
