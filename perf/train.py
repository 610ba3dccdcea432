"""Cost of a training step beside plain PyTorch: python perf/train.py [--space nbmacro:resolution=16] [--steps 100].

Two trainings of one network run in turn, step by step: nasctl's loop, and a loop as a user would write it for the
exported Python file of the network. The script prints the median seconds of a step of each, and the ratio with its
quartiles over pairs of neighbouring steps, with and without augmentation. Then it compares the weights of both after
ten steps without augmentation, which must be the same bits. Both have images channels last, whose gain is measured by
perf/layout.py. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasctl import registry
from nasctl.networks.memory_layout import channels_last
from nasctl.networks.python_source import source
from nasctl.networks.weights import initialised
from nasctl.training.batches import steps_per_epoch, train_batches
from nasctl.training.events import Event, LearningProblem, StepDone
from nasctl.training.labelled import training_data
from nasctl.training.loop import train
from nasctl.training.optimiser import rates
from nasctl.training.recipe import Recipe

WARM_UP = 5  # steps that are not timed
COMPARED = 10  # steps after which weights are compared
PLAIN = {"crop": 0.0, "flip": False, "cutout": 0.0}  # a recipe without augmentation


class PlainLoop:
    """A training loop in plain PyTorch on the exported Python file of a network."""

    def __init__(self, problem: LearningProblem) -> None:
        scope: dict[str, object] = {"__name__": "exported"}
        exec(source(problem.network), scope)
        recipe, data = problem.recipe, problem.data
        self.net: nn.Module = scope["Net"]()  # type: ignore[operator]
        self.net.load_state_dict(initialised(problem.network, problem.seed).state_dict())
        self.net.to(problem.device).train()
        norms = {id(p) for m in self.net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
        decayed = [p for p in self.net.parameters() if p.ndim > 1 and id(p) not in norms]
        others = [p for p in self.net.parameters() if p.ndim <= 1 or id(p) in norms]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.SGD(groups, lr=0.1, momentum=recipe.momentum, nesterov=True)
        self.batches = train_batches(data, recipe.batch, problem.seed, 0, 0)
        epoch = steps_per_epoch(data, recipe.batch)
        self.rates = iter(rates(recipe, recipe.epochs * epoch, epoch))
        self.mean = torch.tensor(data.mean, device=problem.device).view(1, -1, 1, 1)
        self.deviation = torch.tensor(data.deviation, device=problem.device).view(1, -1, 1, 1)
        self.augment = self._augmentation(problem) if recipe.flip else nn.Identity()
        self.recipe, self.device = recipe, problem.device

    @staticmethod
    def _augmentation(problem: LearningProblem) -> nn.Module:
        import kornia.augmentation as transforms

        ((_, height, width),) = problem.network.input_shapes
        padding, square = (round(share * height) for share in (problem.recipe.crop, problem.recipe.cutout))
        area = square**2 / (height * width)
        return nn.Sequential(
            transforms.RandomCrop((height, width), padding=padding),
            transforms.RandomHorizontalFlip(),
            transforms.RandomErasing(scale=(area, area), ratio=(1.0, 1.0), p=1.0),
        )

    def step(self) -> float:
        """Run one step, and return its loss."""
        pixels, labels = (one.to(self.device) for one in next(self.batches))
        images = channels_last(self.augment((pixels.float() - self.mean) / self.deviation))
        loss = cross_entropy(self.net(images), labels, label_smoothing=self.recipe.smoothing)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        rate = float(next(self.rates))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        return loss.item()


@dataclass
class Pairs:
    """Seconds of a step of nasctl and of plain PyTorch, in turn."""

    plain: Callable[[], float]
    own: list[float] = field(default_factory=list)
    by_hand: list[float] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def __call__(self, event: Event) -> None:
        """Take the time of nasctl's step, and run a step by hand."""
        if not isinstance(event, StepDone):
            return
        now = time.perf_counter()
        self.own.append(now - self._since)
        self.plain()
        self._since = time.perf_counter()
        self.by_hand.append(self._since - now)


def timed(problem: LearningProblem, steps: int) -> None:
    """Print the seconds of both loops and their ratio."""
    pairs = Pairs(PlainLoop(problem).step)
    with tempfile.TemporaryDirectory() as folder:
        train(problem, Path(folder), pairs, until=steps + WARM_UP)
    own, by_hand = (np.array(one[WARM_UP:]) for one in (pairs.own, pairs.by_hand))
    low, median, high = np.quantile(own / by_hand, [0.25, 0.5, 0.75])
    print(
        f"  nasctl {1e3 * np.median(own):.2f} ms, by hand {1e3 * np.median(by_hand):.2f} ms a step;"
        f" ratio {median:.3f} ({low:.3f} to {high:.3f}) over {steps} pairs",
        flush=True,
    )


def compared(problem: LearningProblem) -> bool:
    """Return whether ten steps of both loops end in the same bits."""
    loop, losses = PlainLoop(problem), []

    def record(event: Event) -> None:
        if isinstance(event, StepDone):
            losses.append(event.loss)

    with tempfile.TemporaryDirectory() as folder:
        state = train(problem, Path(folder), record, until=COMPARED).state
    same = losses == [loop.step() for _ in range(COMPARED)]
    found: dict[str, Tensor] = loop.net.state_dict()
    return same and all(torch.equal(value, found[name].cpu()) for name, value in state.items())


def main() -> None:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", nargs="+", default=["nbmacro:resolution=16", "nb201:resolution=16,cells=1"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for spec in args.space:
        space = registry.create("spaces", spec)
        genome = space.canonical(tuple(len(gene.choices) - 1 for gene in space.genes))
        network = space.network(genome)
        data = training_data("digits", space.input, network.out_shape[0], "0.8,0.1,0.1", 0)
        recipe = Recipe(epochs=1000, batch=args.batch, evaluate=0, recovery=10**9)
        problem = LearningProblem(
            network, space.input, data, recipe, identity=spec, device=args.device, threads=args.threads
        )
        print(f"{spec}, batch {args.batch}, {network.macs / 1e6:.1f}M MACs, {args.device}, {args.threads} threads")
        print(" with augmentation:")
        timed(problem, args.steps)
        print(" without:")
        plain = replace(problem, recipe=replace(recipe, **PLAIN))
        timed(plain, args.steps)
        print(f" the same bits after {COMPARED} steps: {'yes' if compared(plain) else 'NO'}", flush=True)


if __name__ == "__main__":
    main()
