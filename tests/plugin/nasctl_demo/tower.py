"""A tower of one to three convolutions; 584 networks."""

from __future__ import annotations

from collections.abc import Sequence

from nasctl.api import (
    BadOption,
    Builder,
    Classifier,
    ConvNormAct,
    Fidelity,
    Gene,
    Genome,
    Input,
    Network,
    validate,
)

DEPTHS, CHANNELS, KERNELS = (1, 2, 3), (4, 8, 12, 16), (3, 5)


class Tower:
    """One to three convolutions, each with channels and a kernel of its own.

    Args:
        resolution: Height and width of the images.
    """

    def __init__(self, resolution: int = 16) -> None:
        if resolution < 1:
            raise BadOption(f"demo_tower needs images of 1 or more, not resolution={resolution}")
        self.input = Input((3, resolution, resolution))
        self.genes: Sequence[Gene] = (
            Gene("depth", DEPTHS, ordered=True),
            *(
                gene
                for place in range(max(DEPTHS))
                for gene in (Gene(f"{place}.channels", CHANNELS), Gene(f"{place}.kernel", KERNELS, ordered=True))
            ),
        )

    def canonical(self, genome: Genome) -> Genome:
        """The first choice for every gene beyond the depth."""
        validate(self.genes, genome)
        active = 1 + 2 * DEPTHS[genome[0]]
        return genome[:active] + (0,) * (len(genome) - active)

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        (x,) = net.inputs
        for place in range(DEPTHS[genome[0]]):
            channels, kernel = genome[1 + 2 * place : 3 + 2 * place]
            x = net.add(ConvNormAct(CHANNELS[channels], KERNELS[kernel], stride=2), x, name=f"block{place}")
        return net.build(net.add(Classifier(10), x, name="head"))

    def reduced(self, fidelity: Fidelity) -> Tower:
        size = self.input.shape[-1]
        return Tower(min(fidelity.size or size, size))
