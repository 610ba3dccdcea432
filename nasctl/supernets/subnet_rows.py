"""Networks of a trained supernet with their results, as tables show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasctl.problem.space import Genome
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.hull import DoesNotFit
from nasctl.supernets.shared_weights import UntrainedWeights
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.supernets.validation import evaluate_subnet
from nasctl.training.evaluation import Result


@dataclass(frozen=True)
class SubnetRow:
    """A network of a supernet with its result.

    Attributes:
        name: "largest", "smallest", "sample 1" and so on; "" for a network that a user named.
        genome: The genome.
        result: The result; None if the network has none.
        failure: Why it has none; "" if it has one.
        macs: Multiply-accumulates for one example.
        params: Number of parameters.
    """

    name: str
    genome: Genome
    result: Result | None
    failure: str
    macs: int
    params: int

    def asdict(self) -> dict[str, Any]:
        """Return the row as JSON, with the fields of the result beside the others."""
        own = {"subnet": self.name, "genome": list(self.genome), "macs": self.macs, "params": self.params}
        return own | (asdict(self.result) if self.result is not None else {"failure": self.failure})


def extremes_and_sample(supernet: TrainedSupernet, number: int, seed: int) -> list[tuple[str, Genome]]:
    """Return names and genomes of the largest and the smallest network of a supernet, and of random ones.

    Args:
        supernet: The supernet.
        number: Number of random networks, distinct as far as the space has so many.
        seed: Seed of the random networks.
    """
    context = TrainingContext(supernet.weights.hull, supernet.facts.seed, supernet.facts.steps)
    rng = np.random.default_rng(seed)
    drawn: dict[Genome, None] = {}
    for _ in range(10 * number):
        if len(drawn) == number:
            break
        drawn[context.draw(rng)] = None
    named = {"largest": context.largest, "smallest": context.smallest}
    return [*named.items(), *((f"sample {place}", genome) for place, genome in enumerate(drawn, 1))]


def subnet_rows(
    supernet: TrainedSupernet,
    chosen: Sequence[tuple[str, Genome]],
    batches: Sequence[tuple[Tensor, Tensor]],
    device: torch.device | str = "cpu",
) -> Iterator[SubnetRow]:
    """Yield the row of each network, after evaluating it.

    Args:
        supernet: The supernet.
        chosen: Name and canonical genome of each network.
        batches: Examples as the data give them, and their labels.
        device: The device that networks run on.
    """
    for name, genome in chosen:
        network = supernet.space.network(genome)
        try:
            result, failure = evaluate_subnet(supernet, genome, batches, device), ""
        except (DoesNotFit, UntrainedWeights) as error:
            result, failure = None, str(error)
        yield SubnetRow(name, genome, result, failure, network.macs, network.params)


__all__ = ["SubnetRow", "extremes_and_sample", "subnet_rows"]
