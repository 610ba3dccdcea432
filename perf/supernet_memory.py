"""Memory of a supernet's training: python perf/supernet_memory.py [--space attentivenas:resolution=64,classes=10].

Two processes train in turn: the largest network of the space alone, and the supernet by the sandwich rule, both for a
few steps on noise. The script prints the peak memory of each above that before the first tensor, the bytes of the hull,
and whether the supernet stays below four times its hull (weights, gradients, momentum, and one more for slices) plus
the activations of one network, which are the peak of the single network without its weights, gradients and momentum.

The allocator of the processes returns every freed block of 128 KiB or more to the system (MALLOC_MMAP_THRESHOLD_), so
peaks are those of tensors that are alive. By default it keeps some of them, and peaks of equal runs differ by 5%.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from nasctl import registry
from nasctl.networks.memory_layout import channels_last
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.distances import distance_loss
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull
from nasctl.supernets.problem import default_share
from nasctl.supernets.shared_weights import SharedWeights

MEBIBYTE = 1 << 20
STEPS = 3
PAGE = resource.getpagesize()


class Peak:
    """The largest resident memory of this process while the block runs, above that at its begin, in bytes."""

    def __enter__(self) -> Peak:
        self._begin, self.bytes, self._done = resident(), 0, False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done = True
        self._thread.join()

    def _watch(self) -> None:
        while not self._done:
            self.bytes = max(self.bytes, resident() - self._begin)
            time.sleep(0.002)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def measured(spec: str, batch: int, alone: bool) -> dict[str, float]:
    """Return the peak of a training in bytes, and the bytes of the weights that are trained."""
    space = registry.create("spaces", spec)
    hull = Hull.of(ElasticNetworks(space, default_share(space)))
    context = TrainingContext(hull, 0, STEPS)
    network = space.network(context.largest)
    inputs = channels_last(torch.randn(batch, *network.input_shapes[0]))
    labels = torch.randint(network.out_shape[0], (batch,))
    with Peak() as peak:
        if alone:
            module = network.module()
            sgd = torch.optim.SGD(module.parameters(), 0.01, 0.9, nesterov=True)
            for _ in range(STEPS):
                sgd.zero_grad(set_to_none=True)
                cross_entropy(module(inputs), labels).backward()
                sgd.step()
            return {"peak": peak.bytes, "weights": 4 * network.params}
        weights = SharedWeights(hull, 0)
        sgd = torch.optim.SGD(weights.tensors.values(), 0.01, 0.9, nesterov=True)
        for step in range(STEPS):
            sgd.zero_grad(set_to_none=True)
            teacher = None
            for genome in (context.largest, context.draw(context.rng(step)), context.smallest):
                views = weights.views(genome)
                outputs = torch.func.functional_call(weights.networks.module(genome), views, (inputs,))
                loss = cross_entropy(outputs, labels) if teacher is None else distance_loss(outputs, teacher, "kl")
                teacher = outputs.detach() if teacher is None else teacher
                loss.backward()
                del outputs, loss, views
            sgd.step()
    return {"peak": peak.bytes, "weights": 4 * hull.params}


def main() -> None:
    """Print both peaks and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="attentivenas:resolution=64,classes=10")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--kind", choices=("alone", "supernet"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.kind:
        print(json.dumps(measured(given.space, given.batch, given.kind == "alone")))
        return
    found, environment = {}, os.environ | dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), "131072")
    for kind in ("alone", "supernet"):
        command = [sys.executable, __file__, "--space", given.space, "--batch", str(given.batch), "--kind", kind]
        found[kind] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        )
    alone, supernet = found["alone"], found["supernet"]
    activations = alone["peak"] - 3 * alone["weights"]
    limit = 4 * supernet["weights"] + activations
    print(f"{given.space}, batch {given.batch}, in MiB")
    print(f"largest network alone: peak {alone['peak'] / MEBIBYTE:.0f}, weights {alone['weights'] / MEBIBYTE:.0f}")
    print(f"supernet: peak {supernet['peak'] / MEBIBYTE:.0f}, hull {supernet['weights'] / MEBIBYTE:.0f}")
    verdict = "below" if supernet["peak"] < limit else "ABOVE"
    print(f"{verdict} the limit of {limit / MEBIBYTE:.0f}: four hulls and one network's activations")


if __name__ == "__main__":
    main()
