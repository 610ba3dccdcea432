"""A search space and an objective of your own, searched without packaging: plain classes in a file.

The same on the command line: nasctl search examples/own_space.py:FourConvolutions -o naswot,macs --budget 30
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import nasctl
from nasctl.api import Builder, Candidate, Classifier, ConvNormAct, Fidelity, Gene, Genome, Input, Network, validate


class FourConvolutions:
    """A search space of four convolutions, each with its own kernel size and number of channels."""

    input = Input((3, 32, 32))
    genes = tuple(Gene(f"{k}.{what}", choices, ordered=True) for k in range(4)
                  for what, choices in (("kernel", (1, 3, 5)), ("channels", (16, 32, 64))))  # fmt: skip

    def canonical(self, genome: Genome) -> Genome:
        validate(self.genes, genome)
        return genome  # every genome is its own network

    def network(self, genome: Genome) -> Network:
        net = Builder(self.input.shape)
        (x,) = net.inputs
        chosen = [gene.choices[choice] for gene, choice in zip(self.genes, genome, strict=True)]
        for k, (kernel, channels) in enumerate(zip(chosen[::2], chosen[1::2], strict=True)):
            x = net.add(ConvNormAct(channels, kernel, stride=1 + k % 2), x, name=f"conv{k}")
        return net.build(net.add(Classifier(10), x, name="classifier"))

    def reduced(self, fidelity: Fidelity) -> "FourConvolutions":
        return self


class Depth:
    """Number of layers with weights. A command takes the class as own_space.py:Depth."""

    unit, direction, transform, needs, version = "layers", "max", "identity", frozenset({"network"}), "1"

    def __call__(self, candidate: Candidate) -> float:
        return float(sum(node.layer.params(*node.in_shapes) > 0 for node in candidate.network.nodes))


if __name__ == "__main__":  # nasctl imports this file too
    with TemporaryDirectory() as folder:
        result = nasctl.search(
            f"{__file__}:FourConvolutions",
            objectives=["naswot", "macs"],
            record=[f"{__file__}:Depth"],
            budget=30,
            store=Path(folder) / "nasctl.db",
        )
        for solution in result.front:
            print(solution.id, solution.values)
