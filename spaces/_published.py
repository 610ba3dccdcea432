"""Helpers for the published networks that spaces name: genomes from values, and networks under other options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nasctl.api import Gene, Genome, Reference


def genome_of(genes: Sequence[Gene], values: Mapping[str, object]) -> Genome:
    """Return the genome that chooses the given values, by name of the gene, and choice 0 of all other genes."""
    return tuple(gene.choices.index(values[gene.name]) if gene.name in values else 0 for gene in genes)


def nearest_size(sizes: Sequence[int], published: int) -> int:
    """Return the number of the size nearest to the published one."""
    return min(range(len(sizes)), key=lambda k: (abs(sizes[k] - published), k))


def under_options(
    reference: Reference, options: Mapping[str, tuple[object, object]], accuracy_of: str = ""
) -> Reference:
    """Return a reference as a space with other options has it.

    Args:
        reference: The network as it is published.
        options: For each option that the network or its accuracy depends on, the space's value and the published one.
        accuracy_of: What the accuracy is of, such as "on CIFAR-10"; "" for ImageNet's top 1.

    Returns:
        The reference; without its accuracy, and with a remark that says what differs, unless all options are the
        published ones.
    """
    differing = [
        f"{name}={_written(here)} (published with {_written(there)})"
        for name, (here, there) in options.items()
        if here != there
    ]
    if differing:
        remark = "; ".join(filter(None, (*differing, reference.remark)))
        return replace(reference, accuracy=None, remark=remark, options=", ".join(differing))
    said = f"the accuracy is {accuracy_of}" if accuracy_of and reference.accuracy else ""
    return replace(reference, remark="; ".join(filter(None, (reference.remark, said))))


def _written(value: object) -> str:
    """Return a value as the options of a space write it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
