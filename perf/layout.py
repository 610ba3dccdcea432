"""How much faster do networks train if images lie channels last in memory? python perf/layout.py [--rounds 5].

For random networks of each space, three passes run in turn, forward and backward with batches of 64 examples on one
thread: with images in the usual layout of torch, with images channels last, and with images and weights channels last.
nasctl trains with the second. Printed are seconds of processor time, and the ratios to the first as medians over all
pairs of neighbouring passes, with quartiles.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from nasctl import registry
from nasctl.networks.memory_layout import channels_last
from nasctl.supernets.hull import random_genome

SPACES = (
    "nbmacro:resolution=16",
    "nb201:cells=1,resolution=16",
    "nats_size:resolution=16",
    "mbconv:resolution=32,width=0.5,classes=10",
    "attentivenas:resolution=64,classes=10",
    "resnet:resolution=32",
)

WAYS = ("usual", "images", "images and weights")


def passes(spec: str, seed: int, batch: int) -> list[Callable[[], None]]:
    """Return the passes of a random network in each layout."""
    space = registry.create("spaces", spec)
    network = space.network(space.canonical(random_genome(space, np.random.default_rng(seed))))
    usual = network.module().train()
    images = torch.randn(batch, *network.input_shapes[0])
    last = channels_last(images)

    def one(module: nn.Module, inputs: torch.Tensor) -> Callable[[], None]:
        def run() -> None:
            module.zero_grad(set_to_none=True)
            module(inputs).sum().backward()

        return run

    both = deepcopy(usual).to(memory_format=torch.channels_last)
    return [one(usual, images), one(usual, last), one(both, last)]


def measured(spec: str, given: argparse.Namespace) -> np.ndarray:
    """Return the seconds of each pass, (networks * rounds, ways)."""
    rows = []
    for seed in range(given.networks):
        ways = passes(spec, seed, given.batch)
        for turn in range(given.rounds + 1):
            row = []
            for run in ways:
                start = time.process_time()
                run()
                row.append(time.process_time() - start)
            if turn:  # the first round is a warm-up
                rows.append(row)
    return np.array(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=list(SPACES))
    parser.add_argument("--networks", type=int, default=4, help="random networks of each space")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| space | " + " | ".join(WAYS) + " |\n| --- |" + " --- |" * len(WAYS))
    for spec in given.spaces:
        seconds = measured(spec, given)
        cells = [f"{np.median(seconds[:, 0]):.3f} s"]
        for way in range(1, len(WAYS)):
            low, middle, high = np.quantile(seconds[:, way] / seconds[:, 0], [0.25, 0.5, 0.75])
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        print(f"| `{spec}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
