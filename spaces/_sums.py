"""Sums of several choices of a gene, which mixtures of networks consist of."""

from __future__ import annotations

from collections.abc import Sequence

from nasctl.api import Block, Builder, Gene, Layer, SumTerm, WeightedSum


def choice_name(choice: object) -> str:
    """Return a choice as the last part of the name of a layer: "0_75" for 0.75."""
    return str(choice).replace(".", "_")


def add_choices(
    net: Builder,
    x: int,
    place: int,
    gene: Gene,
    blocks: Sequence[Layer | Block],
    choices: Sequence[int],
    gated: bool,
) -> int:
    """Add the weighted sum of the blocks of several choices of a gene, or the block of a single choice.

    Args:
        net: The network.
        x: Position of the input of all blocks.
        place: Place of the gene in the genome.
        gene: The gene, which names the layers.
        blocks: The block of each choice.
        choices: The choices.
        gated: Whether a single choice has a factor too.

    Returns:
        Position of the output.
    """
    if len(choices) == 1 and not gated:
        return net.add(blocks[choices[0]], x, name=gene.name)
    terms, values = [], []
    for choice in choices:
        name = choice_name(gene.choices[choice])
        values.append(net.add(blocks[choice], x, name=f"{gene.name}.{name}"))
        terms.append(SumTerm("" if values[-1] == x else name, (((place, choice),),)))
    return net.add(WeightedSum(tuple(terms)), *values, name=f"{gene.name}.sum")
