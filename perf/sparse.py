"""Figures of sparse networks: python perf/sparse.py [--resolution 16] [--seeds 3] [--part masks].

The script trains the small network of perf/quantized.py on the images of NASCTL_DATA with `nasctl train`, which a
second call skips. It prints

1. masks: the accuracy on test images of masks by magnitude, SNIP, SynFlow and chance, with the same sparsity in all
   layers and with the weights of largest score overall, and with norms that are not recalibrated;
2. channels: the accuracy with fewer channels by the same scores, without training;
3. jackpots: at 90% sparsity, masks that are searched for some epochs with the published and the shipped schedule, for
   several seeds, beside masks by magnitude;
4. nodes: random masks of the channels of an untrained wide network, the first one and the best of many by its initial
   loss, and the accuracy after training with each, for several seeds.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from quantized import NETWORKS, Judge, trained
from torch import nn
from torch.nn.functional import cross_entropy

from nasctl.bench.published import published_path
from nasctl.candidates.determinism import deterministic_torch
from nasctl.training.batches import steps_per_epoch, train_batches
from nasctl.training.evaluation import accuracy_error
from nasctl.training.folder import CURRENT_STORE

PARTS = ("masks", "channels", "jackpots", "nodes")

SHARES = (0.5, 0.7, 0.8, 0.9, 0.95)  # sparsities of the first table

CHANNELS = (0.125, 0.25, 0.375, 0.5)  # shares of channels that are removed

SEARCHED = 0.9  # sparsity of searched masks

WIDE, REMOVED = "3,3,3,3,3", 0.5  # genome of the untrained network, and the share of its channels that are removed

DRAWS = 50  # masks of channels of which the best is taken

UNTRAINED = """
import torch

from nasctl import registry

SIZE, MEAN, DEVIATION = ({size}, {size}), {mean}, {deviation}


def net():
    torch.manual_seed({seed})
    return registry.create("spaces", "nats_size:resolution={size}").network(({genome})).module()
"""


def masks(of: str, data: str) -> None:
    """Print the accuracies of masks by several methods."""
    print("sparsity " + " ".join(f"{share:>6.0%}" for share in SHARES))
    for options in ("", "recalibrate=off", "mask=snip", "mask=synflow", "mask=random"):
        judge = Judge(f"sparse:of={of},data={data}{f',{options}' if options else ''}", data)
        for kind in ("uniform", "overall"):
            found = judge.space.references
            if f"{kind}-{SHARES[0]:g}" in found:
                points = [judge.point(found[f"{kind}-{share:g}"].genome) for share in SHARES]
                print(f"{options or 'magnitude'}, {kind}: " + " ".join(f"{accuracy:.1f}%" for accuracy, _ in points))
                print("    " + " ".join(f"{size / 1000:.1f} kB" for _, size in points), flush=True)


def channels(of: str, data: str) -> None:
    """Print the accuracies of networks with fewer channels by several methods, without training."""
    print("channels removed " + " ".join(f"{share:.1%}" for share in CHANNELS))
    for method in ("magnitude", "snip", "synflow", "random"):
        options = f"structured=yes,mask={method},sparsities={','.join(map(str, CHANNELS))}"
        judge = Judge(f"sparse:of={of},data={data},{options}", data)
        points = [judge.point(one.genome) for one in judge.space.references.values()]
        print(f"{method}: " + " ".join(f"{accuracy:.1f}%" for accuracy, _ in points))
        print("    " + " ".join(f"{size / 1000:.1f} kB" for _, size in points), flush=True)


def jackpots(of: str, data: str, seeds: int, epochs: int) -> None:
    """Print the accuracies of searched masks, and the seconds that a search takes."""
    name = f"uniform-{SEARCHED:g}"
    plain = Judge(f"sparse:of={of},data={data},sparsities={SEARCHED}", data)
    print(f"magnitude at {SEARCHED:.0%}: {plain.point(plain.space.references[name].genome)[0]:.1f}%", flush=True)
    for schedule in ("published", "shipped"):
        found = []
        for seed in range(seeds):
            options = f"mask=jackpot,schedule={schedule},epochs={epochs},seed={seed},sparsities={SEARCHED}"
            judge, start = Judge(f"sparse:of={of},data={data},{options}", data), time.process_time()
            found.append(judge.point(judge.space.references[name].genome)[0])
            print(f"{schedule}, seed {seed}: {found[-1]:.1f}%, {time.process_time() - start:.0f} s", flush=True)
        print(f"{schedule}: {np.mean(found):.1f}% ± {np.std(found):.1f}", flush=True)


def nodes(data: str, size: int, seeds: int, epochs: int) -> None:
    """Print the initial losses and the accuracies after training of random masks of channels."""
    usual = Judge(f"sparse:of={training_name(size)},data={data}", data).space.base
    for seed in range(seeds):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "untrained.py"
            constants = {"mean": usual.mean, "deviation": usual.deviation, "genome": WIDE}
            path.write_text(UNTRAINED.format(size=size, seed=seed, **constants))
            for draws in (1, DRAWS):
                options = f"structured=yes,mask=random,draws={draws},seed={seed},sparsities={REMOVED}"
                judge = Judge(f"sparse:of={path}:net,data={data},{options}", data)
                module = judge.space.module((0,) * len(judge.space.genes))
                first = loss(module, judge)
                train(module, judge, epochs, seed)
                accuracy = judge.accuracy([module(batch) for batch in judge.batches])
                print(f"seed {seed}, best of {draws}: initial loss {first:.3f}, {accuracy:.1f}%", flush=True)


@torch.no_grad()
def loss(module: nn.Module, judge: Judge) -> float:
    """Return the mean cross-entropy on test images."""
    return float(cross_entropy(torch.cat([module(batch) for batch in judge.batches]), judge.labels))


@torch.enable_grad()
def train(module: nn.Module, judge: Judge, epochs: int, seed: int) -> None:
    """Train all weights of a module by SGD, and leave it in evaluation mode."""
    data, base = judge.space.calibration, judge.space.base
    module.requires_grad_(True).train()
    optimiser = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps, batches = epochs * steps_per_epoch(data, 64), train_batches(data, 64, seed, 0, 0)
    for step, (pixels, labels) in zip(range(steps), batches, strict=False):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        cross_entropy(module(base.normalised(pixels)), labels).backward()
        optimiser.step()
    module.eval()


def training_name(resolution: int) -> str:
    """Return the name of the training of the given network; at 16 pixels it is that of perf/quantized.py."""
    return "nats" if resolution == 16 else f"nats{resolution}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--epochs", type=int, default=8, help="of the training of the given network")
    parser.add_argument("--search-epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", default="sparse.db", help="store of the training [default: sparse.db]")
    given = parser.parse_args()
    data = str(published_path("images/cifar10_train_12000.zip"))
    name, parts = training_name(given.resolution), given.part or PARTS
    NETWORKS[name] = f"nats_size:resolution={given.resolution}", NETWORKS["nats"][1]
    trained(name, data, given.epochs, given.store)
    CURRENT_STORE.set(given.store)
    with deterministic_torch(1), torch.no_grad():
        judge = Judge(f"sparse:of={name},data={data}", data)
        exact = judge.accuracy([judge.space.base.module()(batch) for batch in judge.batches])
        error = 100 * accuracy_error(exact / 100, len(judge.labels))
        size = 4 * judge.space.base.network.params / 1000
        print(f"{name}: {exact:.1f}% ± {error:.1f} on {len(judge.labels):,} test images, {size:.1f} kB", flush=True)
        if "masks" in parts:
            masks(name, data)
        if "channels" in parts:
            channels(name, data)
        if "jackpots" in parts:
            jackpots(name, data, given.seeds, given.search_epochs)
        if "nodes" in parts:
            nodes(data, given.resolution, given.seeds, given.search_epochs)


if __name__ == "__main__":
    main()
