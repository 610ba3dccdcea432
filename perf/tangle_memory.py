"""Memory and time of a step that learns choices: python perf/tangle_memory.py [--spaces nb201:cells=1].

For each space, three processes train in turn for a few steps on noise: one network on entangled weights as `tangle`
does, a plain mixture that computes every choice as `darts` does, and the largest network alone. A step learns the
factors of all choices from one half of the batch, with the weights frozen, and then the weights from the other half.
The largest network has no factors, and only runs both halves. The script prints the peak memory above that before the
first step, the median CPU seconds of a step, and the number of weights, each also as a share of the plain mixture's.

mbconv has no mixture of its own, because its choices are slices. For the comparison each block computes all nine pairs
of kernel and expansion, and a stage sums the outputs after each number of blocks.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nasctl import registry
from nasctl.api import Builder, GlobalAvgPool, Network, SumTerm, WeightedSum
from nasctl.networks.memory_layout import channels_last
from nasctl.problem.space import SearchSpace
from nasctl.spaces.mbconv import BLOCK_NAMES, DEPTHS, EXPANSIONS, KERNELS, MBConvSpace
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.elastic_networks import ElasticNetworks
from nasctl.supernets.hull import Hull
from nasctl.supernets.shared_weights import SharedWeights
from nasctl.supernets.step_networks import SharedNetworks
from nasctl.supernets.strategies._alphas import Alphas
from nasctl.training.events import Ranks

SPACES = ("nb201:cells=1", "mbconv:resolution=32,width=0.5,classes=10")

MEBIBYTE = 1 << 20

KINDS = ("entangled", "mixture", "largest")


class Peak:
    """The largest resident memory of this process while the block runs, above that at its begin, in bytes.

    The kernel keeps the peak (VmHWM of Linux). Memory that the C library holds for later is handed back before.
    """

    def __enter__(self) -> Peak:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # lets the peak begin anew
        self._begin, self.bytes = _kept("VmRSS"), 0
        return self

    def __exit__(self, *error: object) -> None:
        self.bytes = _kept("VmHWM") - self._begin


def _kept(field: str) -> int:
    """Return a field of this process's status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


class MixedMBConv(MBConvSpace):
    """The space with networks that compute every choice of every gene."""

    def supernet(self, allowed: Sequence[Sequence[int]], gated: bool = False) -> Network:
        """Return the network that sums several choices of each gene; see `nasctl.problem.space.MixableSpace`."""
        net = Builder(self.input.shape)
        x = net.add(self._first, net.add(self._stem, *net.inputs, name="stem"), name="first")
        gene = int(self._elastic_resolution)
        for names, blocks in zip(BLOCK_NAMES, self._blocks, strict=True):
            depth, stage = gene, names[0].partition(".")[0]
            outputs, terms = [], []
            for place, name in enumerate(names):
                kernel = gene + 1 + 2 * place
                pairs = [(k, e) for k in allowed[kernel] for e in allowed[kernel + 1]]
                summed = [
                    SumTerm(f"k{KERNELS[k]}e{EXPANSIONS[e]}", (((kernel, k), (kernel + 1, e)),)) for k, e in pairs
                ]
                values = [
                    net.add(blocks[place][k * len(EXPANSIONS) + e], x, name=f"{name}.{term.name}")
                    for (k, e), term in zip(pairs, summed, strict=True)
                ]
                x = net.add(WeightedSum(tuple(summed)), *values, name=name)
                ends = [choice for choice in allowed[depth] if DEPTHS[choice] == place + 1]
                outputs += [x for _ in ends]
                terms += [SumTerm("", (((depth, choice),),)) for choice in ends]
            x = net.add(WeightedSum(tuple(terms)), *outputs, name=f"{stage}.depth")
            gene += 1 + 2 * len(names)
        x = net.add(GlobalAvgPool(), net.add(self._final, x, name="final"), name="pool")
        return net.build(net.add(self._logits, net.add(self._mix, x, name="mix"), name="logits"))


def space_of(spec: str, kind: str) -> SearchSpace:
    """Return the space whose networks a kind of training runs."""
    space = registry.create("spaces", spec)
    if kind == "mixture" and isinstance(space, MBConvSpace):
        space.__class__ = MixedMBConv
    return space


def runner(
    networks: SharedNetworks, context: TrainingContext, kind: str
) -> Callable[[Mapping[int, Tensor], Sequence[Tensor], bool], Tensor]:
    """Return the function that computes outputs from factors and inputs, with or without gradients of weights."""
    everything = [range(len(gene.choices)) for gene in context.space.genes]
    if kind == "entangled":
        return lambda factors, inputs, frozen: networks.entangled(factors, inputs, frozen=frozen)
    if kind == "mixture":
        return lambda factors, inputs, frozen: networks.mixed(everything, factors, inputs, frozen=frozen)
    return lambda factors, inputs, frozen: networks.outputs(context.largest, inputs)


def measured(spec: str, kind: str, batch: int, steps: int) -> dict[str, float]:
    """Return the peak of a training in bytes, the median CPU seconds of a step, and the number of weights."""
    space = space_of(spec, kind)
    hull = Hull.of(ElasticNetworks(space, "blocks" if kind == "mixture" else "entangled"))
    context = TrainingContext(hull, 0, steps)
    networks = SharedNetworks(SharedWeights(hull, 0), Ranks(), context)
    run, alphas, rng = runner(networks, context, kind), Alphas(context, "drnas", 0.01), np.random.default_rng(0)
    tensors = networks.tensors()
    sgd = torch.optim.SGD(tensors.values(), 0.01, 0.9, nesterov=True)
    inputs = (channels_last(torch.randn(batch // 2, *space.input.shape)),)
    labels = torch.randint(space.network(context.largest).out_shape[0], (batch // 2,))
    if kind == "entangled":
        context.gene_kinds()  # is found out once, before the training
    seconds = []
    with Peak() as peak:
        for step in range(steps):
            begin = time.thread_time()
            leaves = alphas.leaves()
            loss = cross_entropy(run(alphas.factors(leaves, rng, step / steps), inputs, True), labels)
            if kind == "largest":
                loss.backward()
            else:
                alphas.update(torch.autograd.grad(loss, leaves, allow_unused=True), batch // 2, networks)
            sgd.zero_grad(set_to_none=True)
            with torch.no_grad():
                factors = alphas.factors(alphas.leaves(), rng, step / steps)
            cross_entropy(run(factors, inputs, False), labels).backward()
            sgd.step()
            del loss
            seconds.append(time.thread_time() - begin)
    return {"peak": peak.bytes, "seconds": statistics.median(seconds), "weights": hull.params}


def main() -> None:
    """Print a table for each space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=list(SPACES))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.kind:
        print(json.dumps(measured(given.spaces[0], given.kind, given.batch, given.steps)))
        return
    for spec in given.spaces:
        options = ["--spaces", spec, "--batch", str(given.batch), "--steps", str(given.steps)]
        found = {}
        for kind in KINDS:
            command = [sys.executable, __file__, *options, "--kind", kind]
            found[kind] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"\n{spec}, batch {given.batch}: medians of {given.steps} steps, one thread")
        print("| network | peak memory, MiB | step, CPU s | weights, thousands |\n| --- | --- | --- | --- |")
        for kind, one in found.items():
            plain = found["mixture"]
            cells = [
                f"{one[key] / unit:,.{digits}f} ({one[key] / plain[key]:.0%})"
                for key, unit, digits in (("peak", MEBIBYTE, 0), ("seconds", 1, 2), ("weights", 1000, 0))
            ]
            print(f"| {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
