"""Cost of a pass through shared weights beside a plain module: python perf/supernet_pass.py [--rounds 9].

For one random network of each space, two steps run in turn: forward, backward and SGD step of a module with weights of
its own, and the same with slices of the shared weights of the whole space, of which the step also makes the views. In
both, the optimiser changes the weights of the network alone, as it does in the training of a supernet, where slots that
no pass has used are left out. The script prints the median seconds of a step of each, and the ratio with its quartiles
over pairs of neighbouring steps. Batches are of 64 examples. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nasctl import registry
from nasctl.networks.memory_layout import channels_last
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull, random_genome
from nasctl.supernets.problem import default_share
from nasctl.supernets.shared_weights import SharedWeights

# Small images, so that a step takes about a second of one core.
SPACES = (
    "nbmacro:resolution=16",
    "mbconv:resolution=64,classes=10",
    "attentivenas:resolution=64,classes=10",
    "vit:resolution=64,classes=10",
)


def steps(spec: str, batch: int, seed: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the step of a plain module, and that of shared weights, for one network of a space."""
    space = registry.create("spaces", spec)
    weights = SharedWeights(Hull.of(ElasticNetworks(space, default_share(space))), seed)
    rng = np.random.default_rng(seed)
    genome = next(one for one in iter(lambda: random_genome(space, rng), None) if weights.hull.fits(one))
    network = space.network(genome)
    inputs = channels_last(torch.randn(batch, *network.input_shapes[0]))  # as trainings have them
    labels = torch.randint(network.out_shape[0], (batch,))
    plain = weights.module(genome).train()
    shared = list(weights.tensors.values())
    own_sgd, shared_sgd = (torch.optim.SGD(one, 0.01, 0.9, nesterov=True) for one in (plain.parameters(), shared))

    def run(optimiser: torch.optim.Optimizer, forward: Callable[[], Tensor]) -> None:
        optimiser.zero_grad(set_to_none=True)
        cross_entropy(forward(), labels).backward()
        optimiser.step()

    def slices() -> Tensor:
        found: Tensor = functional_call(weights.networks.module(genome), weights.views(genome), (inputs,))
        return found

    return lambda: run(own_sgd, lambda: plain(inputs)), lambda: run(shared_sgd, slices)


def main() -> None:
    """Print a row for each space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=SPACES)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'space':40} {'plain':>9} {'shared':>9}  ratio (quartiles)")
    for spec in given.spaces:
        torch.manual_seed(given.seed)
        plain, shared = steps(spec, given.batch, given.seed)
        times = []
        for k in range(given.rounds + 1):
            pair = []
            for one in (plain, shared) if k % 2 else (shared, plain):
                start = time.perf_counter()
                one()
                pair.append(time.perf_counter() - start)
            times.append(pair if k % 2 else pair[::-1])
        kept = np.array(times[1:])  # the first round makes modules
        ratios = np.quantile(kept[:, 1] / kept[:, 0], [0.25, 0.5, 0.75])
        a, b = np.median(kept, 0)
        print(f"{spec:40} {a:7.3f} s {b:7.3f} s  {ratios[1]:.3f} ({ratios[0]:.3f} to {ratios[2]:.3f})", flush=True)


if __name__ == "__main__":
    main()
