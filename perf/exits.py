"""Figures of early exits: python perf/exits.py [--network nats] [--options kind=channels] [--budget 300] [--seeds 3].

The script trains a network of perf/quantized.py on the images of NASCTL_DATA, which a second call skips. For each
seed of the exits' training and of the search it prints

1. the network that the search finds with the fewest expected MACs of those that are no less accurate than the given
   network on the validation images, and its accuracy and expected MACs on the test images, which the search never sees;
2. the accuracies on test images at expected MACs of about 50%, 70% and 90% of the given network's, each again chosen on
   validation images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from quantized import USUAL_EPOCHS, given_network
from torch import Tensor

from nasctl import registry
from nasctl.architectures.references import reference_names
from nasctl.bench.published import published_path
from nasctl.candidates.determinism import deterministic_torch
from nasctl.candidates.setting import Setting
from nasctl.compression.exit_shares import expected, expected_error
from nasctl.compression.labelled_data import labelled_data
from nasctl.compression.variant_accuracy import labelled_batches, validation_batches
from nasctl.data import source
from nasctl.networks.early_exit import running_costs
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.training.evaluation import accuracy_error
from nasctl.training.folder import CURRENT_STORE

SHARES = (0.5, 0.7, 0.9)  # of the given network's MACs


class TestImages:
    """The test images of the data, of which no search knows.

    Args:
        space: The space.
        data: Path of the data.
    """

    def __init__(self, space: Any, data: str) -> None:
        found = labelled_data(space.base, data)
        batches, labels = labelled_batches(space.base, found, "test", found.size("test"))
        self.space, self.labels = space, torch.cat(labels)
        self.run = space.evaluator(batches)
        self.given = right_of_given(space, batches, self.labels)

    def right(self, genome: Sequence[int]) -> Tensor:
        """Return whether each image is classified rightly, (N,)."""
        return torch.cat(self.run(tuple(genome))).argmax(1) == self.labels

    def line(self, genome: tuple[int, ...]) -> str:
        """Return the accuracy of a network and its expected MACs, beside those of the given network."""
        right, exits, number = self.right(genome), self.run.exits(genome), len(self.labels)
        costs = running_costs(self.space.network(genome), lambda span: span.emission.macs)
        shares = [int(one) / number for one in exits.bincount(minlength=len(costs))]
        gained, lost = int((right & ~self.given).sum()), int((~right & self.given).sum())
        difference = (gained - lost) / number
        error = sqrt(max(0.0, (gained + lost) / number - difference**2) / number)
        macs, whole = expected(shares, costs), self.space.base.network.macs
        accuracy = float(right.double().mean())
        return (
            f"{100 * accuracy:.1f}% on test images, {100 * difference:+.1f} ± {100 * error:.1f} points;"
            f" {100 * macs / whole:.1f}% ± {100 * expected_error(shares, costs, number) / whole:.1f} of the MACs"
        )


@torch.no_grad()
def right_of_given(space: Any, batches: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Return whether the given network classifies each image rightly, (N,)."""
    module = space.base.module()
    return torch.cat([module(one) for one in batches]).argmax(1) == labels


def figures(spec: str, data: str, budget: int, seed: int, images: int) -> None:
    """Search once, and print what was found."""
    space: Any = registry.create("spaces", spec)
    objectives = (f"accuracy:images={images}", f"expected_macs:images={images}")
    first = tuple(dict.fromkeys(((0,) * len(space.genes), *reference_names(space))))
    batches, labels = validation_batches(space.base, labelled_data(space.base, data), images)
    given = 100 * float(right_of_given(space, batches, torch.cat(labels)).double().mean())
    run = Run(spec, objectives, seed=seed, setting=Setting(source(data)), references=first)
    with TemporaryDirectory() as folder:
        seen = [visit.evaluation for visit in run.search(Store(Path(folder) / "search.db"), budget)]
    test, whole = TestImages(space, data), space.base.network.macs

    def accuracy(one: Any) -> float:
        return float(one.values[objectives[0]])

    def macs(one: Any) -> float:
        return float(one.values[objectives[1]])

    print(f"seed {seed}: the given network has {given:.1f}% on {sum(map(len, labels)):,} validation images", flush=True)
    if same := [one for one in seen if accuracy(one) >= given]:
        best = min(same, key=lambda one: (macs(one), -accuracy(one)))
        print(f"  no less accurate: {accuracy(best):.1f}% on validation; {test.line(best.genome)}", flush=True)
    for share in SHARES:
        cheap = [one for one in seen if macs(one) <= share * whole]
        if cheap:
            best = max(cheap, key=lambda one: (accuracy(one), -macs(one)))
            print(
                f"  at most {100 * share:.0f}%: {accuracy(best):.1f}% on validation; {test.line(best.genome)}",
                flush=True,
            )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=USUAL_EPOCHS, default="nats")
    parser.add_argument("--epochs", type=int, help="epochs of the given network [default: 4, or 8 for nats]")
    parser.add_argument("--options", default="", help="options of the space, such as kind=channels")
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1200, help="validation images [default: 1200, all]")
    parser.add_argument("--store", default="quantized.db", help="store of the training [default: quantized.db]")
    given = parser.parse_args()
    data = str(published_path("images/cifar10_train_12000.zip"))
    CURRENT_STORE.set(given.store)
    of = given_network(given.network, data, given.epochs, given.store)
    with deterministic_torch(1):
        for seed in range(given.seeds):
            options = f",{given.options}" if given.options else ""
            spec = f"exits:of={of},seed={seed},data={data}{options}"
            if not seed:
                space: Any = registry.create("spaces", spec)
                test = TestImages(space, data)
                share, number = float(test.given.double().mean()), len(test.labels)
                error = 100 * accuracy_error(share, number)
                print(
                    f"{given.network}: {100 * share:.1f}% ± {error:.1f} on {number:,} test images,"
                    f" {space.base.network.macs:,} MACs",
                    flush=True,
                )
            figures(spec, data, given.budget, seed, given.images)


if __name__ == "__main__":
    main()
