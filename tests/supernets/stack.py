"""A small search space of convolutions, and problems of supernets of it."""

from dataclasses import replace

from training.examples import images

from nasctl.networks.graph import Builder
from nasctl.networks.layers import Add, BatchNorm, Conv, Flatten, GlobalAvgPool, Linear, ReLU
from nasctl.problem.space import Gene, Input
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem
from nasctl.training.loop import train
from nasctl.training.recipe import Recipe

RECIPE = Recipe(epochs=2, batch=16, warmup=0.0, recovery=4, checkpoint=0.0, rate=0.05)  # 12 steps of `images()`


class Stack:
    """Two blocks of a width and a kernel, the second of which may be missing."""

    input = Input((1, 8, 8))
    genes = (
        Gene("first.width", (2, 4, 6, 8), ordered=True),
        Gene("first.kernel", (1, 3), ordered=True),
        Gene("deep", (False, True), ordered=True),
        Gene("second.width", (2, 4, 6), ordered=True),
    )

    def canonical(self, genome):
        return genome if genome[2] else (*genome[:3], 0)

    def network(self, genome):
        return self._network(genome, self.input.shape)

    def _network(self, genome, shape):
        width, kernel, deep, other = (gene.choices[k] for gene, k in zip(self.genes, genome, strict=False))
        net = Builder(shape)
        x = self._block(net, net.inputs[0], "first", width, kernel)
        if deep:
            y = self._block(net, x, "second", other, 3)
            x = net.add(Add(), x, net.add(Conv(width, 1), y, name="second.out"), name="second.add")
        x = net.add(Flatten(), net.add(GlobalAvgPool(), x, name="pool"), name="flatten")
        return net.build(net.add(Linear(3), x, name="classifier"))

    def reduced(self, fidelity):
        return self

    @staticmethod
    def _block(net, x, name, width, kernel):
        x = net.add(Conv(width, kernel), x, name=f"{name}.conv")
        return net.add(ReLU(), net.add(BatchNorm(), x, name=f"{name}.norm"), name=f"{name}.act")


def problem(strategy, **changes):
    """A problem of the space, on images whose class any network of it learns."""
    space, data = Stack(), images()
    network = space.network((3, 1, 1, 2))
    found = SupernetProblem(network, space.input, data, RECIPE, identity="x", space=space, strategy=strategy)
    return replace(found, **changes)


def trained(given, folder, **options):
    return train(given, folder, learner=SupernetLearner, **options)
