"""Do shared weights rank networks? python perf/supernet_ranking.py --strategies single_path sandwich.

For each strategy and seed, a supernet is trained on the 12,000 images of CIFAR-10 and judges random canonical networks
on held-out images. Kendall's tau with the accuracies of the benchmark, which were reached by full trainings, stands
beside that of MACs and `swap` on the same networks. Four ways to judge are compared: accuracy or loss, with the
statistics of each batch or with calibrated ones. A training that was stopped goes on; finished ones are only judged.

The data are `cifar10_train_12000.zip` and `cifar10_test_2000.zip` in the folder `images` of NASCTL_DATA, and the
accuracies are those of nasctl's benchmarks, whose tables lie in NASCTL_DATA too.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from trained_front import photos

from nasctl import registry
from nasctl.problem.space import Genome
from nasctl.supernets.calibration import calibrate
from nasctl.supernets.hull import DoesNotFit
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem, default_share
from nasctl.supernets.shared_weights import UntrainedWeights
from nasctl.supernets.skeleton import without_statistics
from nasctl.training.events import Checkpointed, Evaluated, Event, Ranks, StepDone
from nasctl.training.labelled import TrainingData, training_data
from nasctl.training.loop import Trainer, train
from nasctl.training.recipe import Recipe

COLUMNS = ("accuracy, batch", "loss, batch", "accuracy, calibrated", "loss, calibrated")
EVERY = 200  # steps between two lines on the progress


def truth_of(space: str) -> tuple[list[Genome], np.ndarray, dict[str, np.ndarray]]:
    """Return the genomes of a benchmark, their accuracies in per cent, and the columns to compare with."""
    benchmark = registry.create("benchmarks", registry.plugin_of(space))
    scene = next(iter(benchmark.scenes.values()))
    known = {name: benchmark.column(name).values for name in ("macs", "swap", "params") if name in benchmark.names}
    return list(benchmark.genomes), np.asarray(scene.accuracy), known


def problem_of(given: argparse.Namespace, strategy: str, seed: int, data: TrainingData) -> SupernetProblem:
    """Return the problem of a training."""
    space = registry.create("spaces", given.space)
    network = space.network(space.canonical((0,) * len(space.genes)))
    recipe = replace(Recipe(), epochs=given.epochs, evaluate=0, cutout=0.0, checkpoint=2.0, warmup=0.5)
    share = given.share or default_share(space)
    identity = f"{given.space} {share} {strategy} {seed} {given.epochs}"
    return SupernetProblem(
        network, space.input, data, recipe, seed, identity, threads=given.threads, space=space, share=share,
        strategy=strategy,
    )  # fmt: skip


def follow(event: Event) -> None:
    """Print the progress."""
    if isinstance(event, StepDone) and event.step % EVERY == 0:
        print(
            f"  step {event.step}/{event.steps}, loss {event.loss:.3f}, {event.examples_per_second:.0f}/s", flush=True
        )
    elif isinstance(event, Evaluated):
        print(f"  {event.part} {event.subnet}: {100 * (event.result.accuracy or 0):.1f}%", flush=True)
    elif isinstance(event, Checkpointed) and event.step == 0:
        print(f"  {event.path}", flush=True)


def judged(learner: SupernetLearner, genome: Genome, images: Tensor, labels: Tensor, batch: int) -> list[float]:
    """Return accuracy and loss of a network with the statistics of batches, and with calibrated ones."""
    learner.weights.check_trained(genome)
    module = learner.weights.module(genome)

    def judge() -> Iterator[float]:
        logits = torch.cat([module(*learner.fitted(genome, (some,))) for some in images.split(batch)])
        yield float((logits.argmax(1) == labels).float().mean())
        yield float(cross_entropy(logits, labels))

    with torch.no_grad():
        module.train()
        with without_statistics(module):
            found = [*judge()]
        calibrate(module, learner._calibration(genome))
        found += [*judge()]
    assert isinstance(module, nn.Module)
    return found


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="nbmacro:resolution=16")
    parser.add_argument("--strategies", nargs="+", default=["single_path"])
    parser.add_argument("--share", choices=("entangled", "blocks"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--images", type=int, default=500, help="held-out images that networks are judged on")
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("supernet-ranking"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Train, judge and print."""
    given = arguments()
    given.work.mkdir(parents=True, exist_ok=True)
    source = photos(Path(os.environ.get("NASCTL_DATA", "../shared/data")) / "images", given.work / "cifar10.zip")
    space = registry.create("spaces", given.space)
    data = training_data(str(source), space.input, None, "0.9,0.1,0", 0)
    genomes, accuracies, known = truth_of(given.space)
    chosen = np.random.default_rng(0).permutation(len(genomes))[: given.networks]
    held_out = np.random.default_rng(0).permutation(data.size("test"))[: given.images]  # they lie class by class
    pixels, classes = data.examples("test", held_out)
    rows = []
    for strategy in given.strategies:
        for seed in given.seeds:
            asked = problem_of(given, strategy, seed, data)
            folder = given.work / "-".join([strategy.replace(":", "-"), asked.share, str(given.epochs), str(seed)])
            print(f"{strategy}, {asked.share}, seed {seed}", flush=True)
            start = time.monotonic()
            train(asked, folder, follow, learner=SupernetLearner)
            seconds = time.monotonic() - start
            trainer = Trainer(asked, folder, follow, Ranks(), SupernetLearner)
            trainer.run(0)  # which restores the last checkpoint
            learner = trainer.learner
            assert isinstance(learner, SupernetLearner)
            mean, deviation = (torch.tensor(one).view(1, -1, 1, 1).float() for one in (data.mean, data.deviation))
            images, labels = (torch.from_numpy(pixels).float() - mean) / deviation, torch.from_numpy(classes)
            values, kept = [], []
            for place in chosen:
                try:
                    values.append(judged(learner, genomes[place], images, labels, given.batch))
                    kept.append(place)
                except (DoesNotFit, UntrainedWeights):
                    continue
            table, right = np.array(values), accuracies[kept]
            taus = [kendalltau(table[:, k] * (1 if k % 2 == 0 else -1), right).statistic for k in range(4)]
            row = dict(zip(COLUMNS, taus, strict=True))
            row |= {name: kendalltau(values[kept], right).statistic for name, values in known.items()}
            print("  " + ", ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)
            row |= {"strategy": strategy, "share": asked.share, "seed": seed, "networks": len(kept)}
            rows.append(row | {"seconds": seconds, "mean": float(table[:, 0].mean()), "epochs": given.epochs})
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
