"""Cost of metrics: shared passes and fidelities on NAS-Bench-201, the closed form of SynFlow, and stages on mbconv.

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

METRICS = ("synflow", "snip", "grad_norm", "plain", "fisher", "jacov", "grasp")  # metrics with reference code below
# Spec of the closed form of SynFlow, by space.
CLOSED = {"nb201": "expected_synflow", "nbmacro": "expected_synflow", "mbconv": "expected_synflow:linear"}
DEFAULT = ("synflow", "jacov", "snip")  # default metrics of a search; latency is a look-up and left out
ROUNDS = 3  # repetitions of a measurement; the fastest counts

Plain = Callable[[nn.Module, Tensor, Tensor], float]


def drawn(space: SearchSpace, number: int) -> list[Genome]:
    """Return random canonical genomes; duplicates are possible."""
    rng = random.Random(0)
    return [space.canonical(tuple(rng.randrange(len(gene.choices)) for gene in space.genes)) for _ in range(number)]


def fastest(work: Callable[..., object], *given: object) -> float:
    """Return the least processor time of a call in ms.

    Other processes disturb processor time less than wall-clock time. One thread does the work.
    """
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work(*given)
        times.append(time.process_time() - start)
    return min(times) * 1e3


def score(task: Task, genome: Genome, names: Sequence[str]) -> None:
    """Compute metrics of a genome as `nasctl objective score` does."""
    measure(task, genome, {name: name for name in names})


def add_sample(figures: dict[str, float], found: dict[str, float], number: int) -> dict[str, float]:
    """Add one of `number` samples to a running mean and return the mean."""
    return {key: figures.get(key, 0.0) + value / number for key, value in found.items()}


def weighted(net: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Return the layers whose weights the metrics use."""
    return [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


# The reference implementations follow github.com/SamsungLabs/zero-cost-nas and
# github.com/BayesWatch/nas-without-training: each metric runs on a copy of the network, with a pass of its own.


def plain_synflow(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return SynFlow from gradients of weight magnitudes, in double precision and without batch norms."""
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
    """Return SNIP from gradients of weight masks."""
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
    """Return the sum of the norms of the weight gradients."""
    F.cross_entropy(net(images), labels).backward()
    return sum(float(part.weight.grad.norm()) for part in weighted(net) if part.weight.grad is not None)


def plain_jacov(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return jacov from gradients of the logits in the input."""
    images = images.clone().requires_grad_()
    logits = net(images)
    logits.backward(torch.ones_like(logits))
    assert images.grad is not None
    values = np.linalg.eigvals(np.corrcoef(images.grad.flatten(1).numpy()))
    return float(-np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)).real)


def plain_plain(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the sum of the products of weights and their gradients."""
    F.cross_entropy(net(images), labels).backward()
    return sum(float((p.weight * p.weight.grad).detach().sum()) for p in weighted(net) if p.weight.grad is not None)


def plain_fisher(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return Fisher from gradients of outputs, collected by hooks, times the number of weights per channel."""
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
    """Return GraSP from two gradient passes; the second pass is differentiated again."""
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


def shared_passes(fidelity: Fidelity, number: int) -> dict[str, float]:
    """Return the mean ms per cell of all metrics together, of each alone and of each reference implementation."""
    space, setting = registry.create("spaces", "nb201"), Setting(fidelity=fidelity)
    task = Task(space, {name: registry.create("objectives", name) for name in METRICS}, setting)
    figures: dict[str, float] = {}
    for genome in drawn(space, number):
        given = Candidate(space, genome, setting, frozenset())
        net, batch = given.scored.module(), given.batch()
        score(task, genome, METRICS)
        found = {"together": fastest(score, task, genome, METRICS)}
        for name in METRICS:
            found[f"alone: {name}"] = fastest(score, task, genome, [name])
            found[f"plain: {name}"] = fastest(
                lambda plain, net, batch: plain(deepcopy(net), *batch), PLAIN[name], net, batch
            )
        for kind in ("alone", "plain"):
            found[kind] = sum(found[f"{kind}: {name}"] for name in METRICS)
        figures = add_sample(figures, found, number)
    for kind in ("alone", "plain"):
        figures[f"{kind} / together"] = figures[kind] / figures["together"]
    return figures


def fidelity_tau(number: int) -> dict[str, float]:
    """Return Kendall's tau of each metric between the levels `fast` and `full`, over random cells."""
    space, values = registry.create("spaces", "nb201"), {}
    genomes = list(dict.fromkeys(drawn(space, number)))
    for level in ("full", "fast"):
        setting = Setting(fidelity=space.levels[level])
        task = Task(space, {name: registry.create("objectives", name) for name in METRICS}, setting)
        found = [measure(task, genome, {name: name for name in METRICS}) for genome in genomes]
        values[level] = {name: [one[name].value for one in found if one[name].value is not None] for name in METRICS}
    return {name: float(kendalltau(values["full"][name], values["fast"][name]).statistic) for name in METRICS}


def closed_form_rates(number: int) -> dict[str, float]:
    """Return the candidates per second of the closed form, each scored for the first time on the real network."""
    figures = {}
    for name, spec in CLOSED.items():
        space = registry.create("spaces", name)
        task = Task(space, {spec: registry.create("objectives", spec)})
        genomes = drawn(space, number)
        for genome in genomes[: number // 10]:  # blocks that candidates share are processed once
            score(task, genome, [spec])
        start = time.process_time()
        for genome in genomes:
            score(task, genome, [spec])
        figures[f"{name}: {spec}"] = number / (time.process_time() - start)
    return figures


def stages(number: int) -> dict[str, float]:
    """Return the mean ms per candidate of mbconv of each stage, at the default fidelity."""
    space = registry.create("spaces", "mbconv")
    setting, genomes = Setting(fidelity=space.levels["balanced"]), drawn(space, number)
    task = Task(space, {name: registry.create("objectives", name) for name in METRICS}, setting)
    figures: dict[str, float] = {}
    for genome in genomes:
        score(task, genome, METRICS)  # warms up torch with all shapes
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
        found |= {f"alone: {name}": fastest(score, task, genome, [name]) for name in METRICS}
        found |= {
            "default three": fastest(score, task, genome, DEFAULT),
            "all seven": fastest(score, task, genome, METRICS),
        }
        figures = add_sample(figures, found, number)
    # SynFlow needs a module of its own, so the default metrics build two modules.
    figures["build and fill / default three, %"] = 200 * figures["build and fill"] / figures["default three"]
    return figures


def main() -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10, help="candidates per measurement")
    parser.add_argument("--json", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = registry.create("spaces", "nb201").levels
    tables = {f"nb201, {level} ({cells[level]}): ms": shared_passes(cells[level], options.number) for level in cells}
    plain, fast = (next(table for title, table in tables.items() if level in title) for level in ("full", "fast"))
    fast["plain at full / together"] = plain["plain"] / fast["together"]
    tables["nb201, fast against full: Kendall's tau"] = fidelity_tau(5 * options.number)
    tables["closed form: candidates a second"] = closed_form_rates(100 * options.number)
    tables["mbconv, balanced: ms"] = stages(options.number)
    for title, figures in tables.items():
        print(f"{title}, 1 thread, mean of {options.number} candidates or more")
        print(*(f"    {name:44} {value:8.2f}" for name, value in figures.items()), sep="\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
