"""What shared passes and cheaper forms save on NAS-Bench-201 cells, the closed form's speed, and a candidate of mbconv.

python perf/metrics.py --json FILE
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import kendalltau
from torch import Tensor, nn

from nasctl import registry
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.networks.weights import initialised
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome, SearchSpace

METRICS = ("synflow", "snip", "grad_norm", "plain", "fisher", "jacov", "grasp")
CLOSED = {"nb201": "expected_synflow", "nbmacro": "expected_synflow", "mbconv": "expected_synflow:linear"}
DEFAULT = ("synflow", "jacov", "snip")  # of a search; latency is a look-up
ROUNDS = 3  # of which the fastest counts

Plain = Callable[[nn.Module, Tensor, Tensor], float]


def drawn(space: SearchSpace, number: int) -> list[Genome]:
    """Random canonical genomes."""
    rng = random.Random(0)
    return [space.canonical(tuple(rng.randrange(len(gene.choices)) for gene in space.genes)) for _ in range(number)]


def fastest(work: Callable[..., object], *given: object) -> float:
    """Milliseconds of processor time, which other processes disturb less than the clock's; one thread does the work."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work(*given)
        times.append(time.process_time() - start)
    return min(times) * 1e3


def asked(task: Task, genome: Genome, names: Sequence[str]) -> None:
    """What `nasctl objective score` does for a genome."""
    measure(task, genome, {name: name for name in names})


def added(figures: dict[str, float], found: dict[str, float], number: int) -> dict[str, float]:
    """A running mean."""
    return {key: figures.get(key, 0.0) + value / number for key, value in found.items()}


def weighted(net: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """The layers that metrics are about."""
    return [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


# As github.com/SamsungLabs/zero-cost-nas and github.com/BayesWatch/nas-without-training compute them: each metric on a
# copy of the network, with a pass of its own.


def plain_synflow(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Gradients of all magnitudes, in double precision, without batch norms."""
    net = net.double()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.forward = lambda x: x
    for value in net.state_dict().values():
        value.abs_()
    net(torch.ones_like(images[:1], dtype=torch.double)).sum().backward()
    return sum(
        float((p.weight * p.weight.grad).detach().abs().sum()) for p in weighted(net) if p.weight.grad is not None
    )


def plain_snip(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Gradients of masks."""
    masks = []
    for part in weighted(net):
        masks.append(torch.ones_like(part.weight, requires_grad=True))
        part.weight.requires_grad_(False)
        options = (part.stride, part.padding, part.dilation, part.groups) if isinstance(part, nn.Conv2d) else ()
        function = F.conv2d if isinstance(part, nn.Conv2d) else F.linear
        part.forward = lambda x, part=part, mask=masks[-1], function=function, options=options: function(
            x, part.weight * mask, part.bias, *options
        )
    F.cross_entropy(net(images), labels).backward()
    return sum(float(mask.grad.abs().sum()) for mask in masks if mask.grad is not None)


def plain_grad_norm(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Gradients of weights."""
    F.cross_entropy(net(images), labels).backward()
    return sum(float(part.weight.grad.norm()) for part in weighted(net) if part.weight.grad is not None)


def plain_jacov(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Gradients of the input."""
    images = images.clone().requires_grad_()
    logits = net(images)
    logits.backward(torch.ones_like(logits))
    assert images.grad is not None
    values = np.linalg.eigvals(np.corrcoef(images.grad.flatten(1).numpy()))
    return float(-np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)).real)


def plain_plain(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Gradients of weights, times the weights."""
    F.cross_entropy(net(images), labels).backward()
    return sum(float((p.weight * p.weight.grad).detach().sum()) for p in weighted(net) if p.weight.grad is not None)


def plain_fisher(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Gradients of outputs, by hooks, times the weights of a channel."""
    terms = []

    def watch(part: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        def weigh(gradient: Tensor) -> None:
            products = (output.detach() * gradient).flatten(2).sum(2) if output.ndim > 2 else output.detach() * gradient
            terms.append(float(products.pow(2).mean(0).mul(0.5).sum()) * part.weight[0].numel())

        output.register_hook(weigh)

    for part in weighted(net):
        part.register_forward_hook(watch)
    F.cross_entropy(net(images), labels).backward()
    return sum(terms)


def plain_grasp(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Two passes for gradients, the second to be differentiated once more."""
    weights = [part.weight for part in weighted(net)]
    first = torch.autograd.grad(F.cross_entropy(net(images), labels), weights, allow_unused=True)
    loss = F.cross_entropy(net(images), labels)
    second = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    along = sum((one * other).sum() for one, other in zip(first, second, strict=True) if one is not None)
    along.backward()
    return sum(float((-weight * weight.grad).detach().sum()) for weight in weights if weight.grad is not None)


PLAIN: dict[str, Plain] = {
    "synflow": plain_synflow,
    "snip": plain_snip,
    "grad_norm": plain_grad_norm,
    "jacov": plain_jacov,
    "plain": plain_plain,
    "fisher": plain_fisher,
    "grasp": plain_grasp,
}


def sharing(fidelity: Fidelity, number: int) -> dict[str, float]:
    """Milliseconds for a cell, mean: the metrics together, each alone, and each by its plain implementation."""
    space, setting = registry.create("spaces", "nb201"), Setting(fidelity=fidelity)
    task = Task(space, {name: registry.create("objectives", name) for name in METRICS}, setting)
    figures: dict[str, float] = {}
    for genome in drawn(space, number):
        given = Candidate(space, genome, setting, frozenset())
        net, batch = given.scored.module(), given.batch()
        asked(task, genome, METRICS)
        found = {"together": fastest(asked, task, genome, METRICS)}
        for name in METRICS:
            found[f"alone: {name}"] = fastest(asked, task, genome, [name])
            found[f"plain: {name}"] = fastest(
                lambda plain, net, batch: plain(deepcopy(net), *batch), PLAIN[name], net, batch
            )
        for kind in ("alone", "plain"):
            found[kind] = sum(found[f"{kind}: {name}"] for name in METRICS)
        figures = added(figures, found, number)
    for kind in ("alone", "plain"):
        figures[f"{kind} / together"] = figures[kind] / figures["together"]
    return figures


def kept(number: int) -> dict[str, float]:
    """Kendall's tau of each metric at the level `fast` with itself at `full`, over random cells."""
    space, values = registry.create("spaces", "nb201"), {}
    genomes = list(dict.fromkeys(drawn(space, number)))
    for level in ("full", "fast"):
        setting = Setting(fidelity=space.levels[level])
        task = Task(space, {name: registry.create("objectives", name) for name in METRICS}, setting)
        found = [measure(task, genome, {name: name for name in METRICS}) for genome in genomes]
        values[level] = {name: [one[name].value for one in found if one[name].value is not None] for name in METRICS}
    return {name: float(kendalltau(values["full"][name], values["fast"][name]).statistic) for name in METRICS}


def closed(number: int) -> dict[str, float]:
    """Candidates a second of the closed form, each described and scored for the first time, on the real network."""
    figures = {}
    for name, spec in CLOSED.items():
        space = registry.create("spaces", name)
        task = Task(space, {spec: registry.create("objectives", spec)})
        genomes = drawn(space, number)
        for genome in genomes[: number // 10]:  # blocks that candidates share are learnt once
            asked(task, genome, [spec])
        start = time.process_time()
        for genome in genomes:
            asked(task, genome, [spec])
        figures[f"{name}: {spec}"] = number / (time.process_time() - start)
    return figures


def stages(number: int) -> dict[str, float]:
    """Milliseconds for a candidate of mbconv at its default fidelity, mean."""
    space = registry.create("spaces", "mbconv")
    setting, genomes = Setting(fidelity=space.levels["balanced"]), drawn(space, number)
    task = Task(space, {name: registry.create("objectives", name) for name in METRICS}, setting)
    figures: dict[str, float] = {}
    for genome in genomes:
        asked(task, genome, METRICS)  # so that torch has seen all shapes
    for genome in genomes:
        given = Candidate(space, genome, setting, frozenset())
        images, labels = given.batch()
        images = images.to(memory_format=torch.channels_last).requires_grad_()
        module = initialised(given.scored, 0)
        logits = module(images)
        loss, weights = F.cross_entropy(logits, labels), list(module.parameters())
        found = {
            "build and fill": fastest(initialised, given.scored, 0),
            "build with torch's constructors": fastest(given.scored.module),
            "forward": fastest(module, images),
            "backward to the input": fastest(partial(torch.autograd.grad, logits.sum(), images, retain_graph=True)),
            "backward to the weights": fastest(partial(torch.autograd.grad, loss, weights, retain_graph=True)),
        }
        found |= {f"alone: {name}": fastest(asked, task, genome, [name]) for name in METRICS}
        found |= {
            "default three": fastest(asked, task, genome, DEFAULT),
            "all seven": fastest(asked, task, genome, METRICS),
        }
        figures = added(figures, found, number)
    # SynFlow has a module of its own, so there are two.
    figures["build and fill / default three, %"] = 200 * figures["build and fill"] / figures["default three"]
    return figures


def main() -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10, help="candidates of each kind")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = registry.create("spaces", "nb201").levels
    tables = {f"nb201, {level} ({cells[level]}): ms": sharing(cells[level], options.number) for level in cells}
    plain, fast = (next(table for title, table in tables.items() if level in title) for level in ("full", "fast"))
    fast["plain at full / together"] = plain["plain"] / fast["together"]
    tables["nb201, fast against full: Kendall's tau"] = kept(5 * options.number)
    tables["closed form: candidates a second"] = closed(100 * options.number)
    tables["mbconv, balanced: ms"] = stages(options.number)
    for title, figures in tables.items():
        print(f"{title}, 1 thread, mean of {options.number} candidates or more")
        print(*(f"    {name:44} {value:8.2f}" for name, value in figures.items()), sep="\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
