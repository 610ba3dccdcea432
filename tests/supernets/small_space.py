"""A search space so small that its supernet is trained in a moment."""

from nasctl.api import Builder, Classifier, ConvNormAct, Gene, Input, validate


class Two:
    """Two convolutions, each with its own kernel size and number of channels."""

    input = Input((3, 8, 8))
    genes = tuple(
        Gene(f"{k}.{what}", choices, ordered=True)
        for k in range(2)
        for what, choices in (("kernel", (1, 3)), ("channels", (4, 8)))
    )

    def __init__(self, classes: int = 10) -> None:
        self._classes = classes

    def canonical(self, genome):
        validate(self.genes, genome)
        return genome

    def network(self, genome):
        net = Builder(self.input.shape)
        (x,) = net.inputs
        for k in range(2):
            kernel, channels = (self.genes[2 * k + i].choices[genome[2 * k + i]] for i in range(2))
            x = net.add(ConvNormAct(channels, kernel), x, name=f"conv{k}")
        return net.build(net.add(Classifier(self._classes), x, name="classifier"))

    def reduced(self, fidelity):
        return self
