"""A custom search space and a custom objective, searched without installation: plug-ins are plain classes."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nasctl import registry
from nasctl.api import Builder, Candidate, Classifier, ConvNormAct, Fidelity, Gene, Genome, Input, Network, validate
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.search.loop import search
from nasctl.store.store import Store


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
    """Number of layers with weights. As a plug-in, this class would be a file in objectives/."""

    unit, direction, transform, needs, version = "layers", "max", "identity", frozenset({"network"}), "1"

    def __call__(self, candidate: Candidate) -> float:
        return float(sum(node.layer.params(*node.in_shapes) > 0 for node in candidate.network.nodes))


metrics = {
    "naswot": registry.create("objectives", "naswot"),
    "macs": registry.create("objectives", "macs"),
    "depth": Depth(),
}
task = Task(FourConvolutions(), metrics, recorded=frozenset({"depth"}))
searcher = registry.create("searchers", "nsga2", SearchProblem(task), np.random.default_rng(0))
with TemporaryDirectory() as folder:
    journal = Store(Path(folder) / "s.db").journal("plain", task.record("plain"))
    for visit in search(task, searcher, journal, budget=30):
        print(visit.evaluation)
