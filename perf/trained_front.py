"""From photos to a trained front: python perf/trained_front.py [--seeds 0 1 2] [--retrainings 2] [--markdown FILE].

For each seed the script types `nasctl search --space nbmacro:resolution=16 ... --trainings 12` as a user would, with
two workers and a quarter of an hour, on 12,000 photos of CIFAR-10. It compares the network with the best validation
accuracy with three others, trained on the same images by the same recipe and seed:

- the metric-only pick: the best training-free score of a search without trainings, with the same budget and bound;
- the metric-only pick at the latency of the network: the same with that latency as its bound;
- MobileNetV2 in plain PyTorch (perf/mobilenetv2.py), of the width that is as slow as that or a little slower.

Differences in test accuracy are taken image by image, so what all networks find easy or hard does not count as noise.
With --retrainings, all are trained again from further seeds, which no validation accuracy has chosen. Nothing
else should run on the machine.

Defaults, and why: an epoch of a network at the bound on latency takes about 30 s of one core, so a quarter of an hour
of two cores has room for some 50 of them beside the metrics. Networks above the bound take up to three times as long.
Twelve trainings are a shortlist of four and four rounds on the predictor; four epochs are what is left for each. The
2,000 photos that the data sets apart are the test images, so that the 12,000 are training and validation images. Cutout
and a slow warm-up pay in long trainings only. Evaluations between epochs are left out.

The data are `cifar10_train_12000.zip` and `cifar10_test_2000.zip` in the folder `images` of NASCTL_DATA, or --data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mobilenetv2 import MobileNetV2, as_slow_as

from nasctl import registry
from nasctl.analysis.run_scores import scores_of_run, stored_sizes
from nasctl.architectures import ids
from nasctl.candidates.setting import make_setting
from nasctl.hardware.kinds import load_table
from nasctl.networks.graph import Network
from nasctl.store.store import Store
from nasctl.training import trained_weights
from nasctl.training.augmentation import Augmentation
from nasctl.training.candidate_training import CandidateTraining
from nasctl.training.events import LearningProblem
from nasctl.training.labelled import TrainingData
from nasctl.training.loop import train
from nasctl.training.rows import accuracy_text
from nasctl.training.training import Work, run_training

ARCHIVES = ("cifar10_train_12000.zip", "cifar10_test_2000.zip")

RECIPE = "rate = 0.2\nwarmup = 0.5\ncutout = 0.0\nevaluate = 0\n"  # of every network

RESERVE = 180  # seconds of the time that a training may take which begins last: none is cut off

SLIP = 0.002  # share of test images whose class may change with the size of batches

RETRAINED = 1000  # distance between the seeds of a search and of further trainings

BEST, METRIC, AS_FAST = "best of the trained front", "metric-only pick", "metric-only pick at its latency"
MOBILE = "MobileNetV2"


@dataclass(frozen=True)
class Plan:
    """What is run, as the command line has it."""

    space: str
    device: str
    bound: str
    trainings: int
    epochs: int
    split: str
    budget: int
    workers: int
    minutes: float
    retrainings: int
    recipe: str  # path
    photos: str  # path
    work: Path

    @property
    def how(self) -> CandidateTraining:
        """How every network is trained."""
        return CandidateTraining(self.recipe, self.epochs, self.split.replace(",", "-"))

    def store(self, seed: int) -> str:
        """Return the path of the store of a search."""
        return str(self.work / f"seed{seed}.db")

    def command(self, seed: int, *more: str) -> list[str]:
        """Return the command of a search, without its bound."""
        given = ["--space", self.space, "--device", self.device, "--data", self.photos, "--budget", str(self.budget)]
        given += ["--workers", str(self.workers), "--seed", str(seed), "--weights-seed", str(seed)]
        return [sys.executable, "-m", "nasctl", "search", *given, "--store", self.store(seed), "--json", *more]

    def trained_command(self, seed: int) -> list[str]:
        """Return the command of the search that trains. Its time leaves room for the training that begins last."""
        more = ["--trainings", str(self.trainings), "--epochs", str(self.epochs), "--recipe", self.recipe]
        more += ["--split", self.split, "--time", f"{max(1, round(60 * self.minutes - RESERVE))}"]
        return self.command(seed, *more, *(["-c", self.bound] if self.bound else []))


@dataclass(frozen=True)
class Chosen:
    """A network to compare: of the space, or MobileNetV2.

    Attributes:
        role: Its name in tables.
        name: Id, or width.
        space: Spec of the space, with every option.
        genome: Genome in the space; of MobileNetV2 that of the network which it is compared with.
        width: Width of MobileNetV2; 0 for a network of the space.
    """

    role: str
    name: str
    space: str
    genome: tuple[int, ...]
    width: float = 0.0

    @property
    def network(self) -> Network:
        """The network."""
        found: Network = registry.create("spaces", self.space).network(self.genome)
        if not self.width:
            return found
        return Network.from_module(MobileNetV2(self.width, found.out_shape[0]), found.input_shapes[0])


@dataclass(frozen=True)
class Figures:
    """A trained network.

    Attributes:
        results: Fields of the results by part.
        seconds: Time of the training.
        correct: Whether each test image is classified correctly, (N,).
    """

    results: dict[str, dict[str, Any]]
    seconds: float
    correct: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Found:
    """The outcome of a seed.

    Attributes:
        seconds: Time of the search with trainings.
        trained: Number of finished trainings.
        front: Id, results by part and latency of each network of the trained front, the best label first.
        chosen: The networks to compare.
        latencies: Latency of each in ms; None where the table lacks a layer.
        cost: The name of the latency.
    """

    seconds: float
    trained: int
    front: list[tuple[str, dict[str, Any], float]]
    chosen: tuple[Chosen, ...]
    latencies: tuple[float | None, ...]
    cost: str


def photos(archives: Path, to: Path) -> Path:
    """Write the training and the test photos into one zip, which sets the test photos apart, and return its path."""
    if not to.exists():
        with zipfile.ZipFile(to, "w") as both:
            for name in ARCHIVES:
                with zipfile.ZipFile(archives / name) as one:
                    for entry in one.infolist():
                        both.writestr(zipfile.ZipInfo(entry.filename), one.read(entry))
    return to


def typed(command: Sequence[str]) -> dict[str, Any]:
    """Run a command, show its messages, and return the JSON that it prints."""
    print("$", " ".join(["nasctl", *command[3:]]), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the search ended with code {done.returncode}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def found_by_search(plan: Plan, seed: int) -> Found:
    """Run the searches of a seed, and choose the networks to compare."""
    begun = time.monotonic()
    report = typed(plan.trained_command(seed))
    seconds = time.monotonic() - begun
    store = Store.reading(plan.store(seed))
    name, record = store.run(report["run"])
    space = registry.create("spaces", record.space)
    (cost,) = (goal.name for goal in record.goals if goal.name.startswith("latency@"))
    latency = {one.genome: one.values[cost] for one in store.evaluations(name) if cost in one.values}
    rows = [one for one in store.trainings(record.space) if one.state == "finished" and one.genome in latency]
    if not rows:
        raise SystemExit("no training was finished; give more --minutes, or fewer --epochs")
    rows.sort(key=lambda one: (-one.parts["validation"]["accuracy"], latency[one.genome]))
    shown = {ids.encode(record.space, space.genes, one.genome): one for one in rows}
    front = [(key, shown[key].parts, latency[shown[key].genome]) for key in shown if key in report["front"]]
    best = Chosen(BEST, front[0][0], record.space, shown[front[0][0]].genome)
    limit = latency[best.genome]
    pick, picked = metric_pick(plan, seed, record.space, cost, plan.bound)
    fast, faster = metric_pick(plan, seed, record.space, cost, f"{cost}<={limit!r}")
    width, own = as_slow_as(best.network, load_table(plan.device, record.space))
    mobile = replace(best, role=MOBILE, name=f"width {width:.3f}", width=width)
    chosen = (best, pick, replace(fast, role=AS_FAST), mobile)
    return Found(seconds, len(rows), front, chosen, (limit, picked, faster, own), cost)


def metric_pick(plan: Plan, seed: int, space: str, cost: str, bound: str) -> tuple[Chosen, float]:
    """Return the network of the best training-free score within a bound, and its latency."""
    report = typed(replace(plan, space=space).command(seed, *(["-c", bound] if bound else [])))
    store = Store.reading(plan.store(seed))
    name, record = store.run(report["run"])
    visited = store.evaluations(name)
    scored = scores_of_run(record, visited, None, stored_sizes(store, name, record))
    if scored is None or not scored[1]:
        raise SystemExit(f"no network within {bound} has a score; give a larger --budget")
    score, scores = scored
    genome = max(scores, key=lambda one: scores[one])
    latency = next(one.values[cost] for one in visited if one.genome == genome)
    print(f"metric-only pick: the best {score} of {len(scores)} networks within {bound or 'no bound'}", flush=True)
    genes = registry.create("spaces", space).genes
    return Chosen(METRIC, ids.encode(space, genes, genome), space, genome), latency


def trained(plan: Plan, seed: int, job: tuple[Chosen, int]) -> Figures:
    """Train a network, or read what the search has trained, and classify the test images.

    Args:
        plan: What is run.
        seed: Seed of the search, which names the store.
        job: The network, and the seed of the training.
    """
    chosen, training_seed = job
    torch.set_num_threads(1)
    network, space = chosen.network, registry.create("spaces", chosen.space)
    setting = make_setting(space, "", plan.photos, training_seed)
    data = plan.how.data(setting, network, space.input)
    if not chosen.width:
        question = plan.how.training(chosen.space, chosen.genome, data, setting)
        done = run_training(question, data, Store(plan.store(seed)), Work(workers=0))
        state, _ = trained_weights.read(done.folder.weights)
        results, seconds = {part: one.asdict() for part, one in done.results.items()}, done.record.seconds
    else:
        identity = f"{chosen.name} {data} {plan.how.recipe_for('classes').digest} {training_seed}"
        recipe = plan.how.recipe_for("classes")
        problem = LearningProblem(network, space.input, data, recipe, training_seed, identity)
        outcome = train(problem, plan.work / f"mobilenetv2-{seed}-{training_seed}")
        state = dict(outcome.state)
        results, seconds = {part: one.asdict() for part, one in outcome.results.items()}, outcome.seconds
    right = correct(network, state, data, plan)
    if abs(right.mean() - results["test"]["accuracy"]) > SLIP:
        raise RuntimeError(f"{chosen.role} classifies {right.mean():.4f} of the test images, and did {results['test']}")
    return Figures(results, seconds, right)


@torch.no_grad()
def correct(network: Network, state: dict[str, torch.Tensor], data: TrainingData, plan: Plan) -> np.ndarray:
    """Return whether a trained network classifies each test image correctly, (N,)."""
    module = network.module().eval()
    module.load_state_dict(state)
    prepare = Augmentation(plan.how.recipe_for("classes"), data.mean, data.deviation, network.input_shapes[0])
    images, labels = data.examples("test", np.arange(data.size("test")))
    batches = torch.split(torch.from_numpy(images), 500)
    classes = torch.cat([module(prepare.plain(batch)).argmax(1) for batch in batches]).numpy()
    return np.asarray(classes == labels)


def host_latencies(chosen: Sequence[Chosen], passes: int = 100) -> list[float]:
    """Return the median ms of a network on this host, for one image on one core, the networks in turn."""
    torch.set_num_threads(1)
    networks = [one.network for one in chosen]
    modules, taken = [one.module().eval() for one in networks], np.empty((passes + 10, len(chosen)))
    image = torch.zeros(1, *networks[0].input_shapes[0])
    with torch.no_grad():
        for row in taken:
            for k, module in enumerate(modules):
                begun = time.perf_counter()
                module(image)
                row[k] = 1e3 * (time.perf_counter() - begun)
    return [float(one) for one in np.median(taken[10:], axis=0)]


def difference(pairs: Sequence[tuple[Figures, Figures]]) -> tuple[float, float]:
    """Return the mean difference in test accuracy of pairs of trainings, and its standard error, in points.

    The error has two parts: test images, over which the mean difference of the pairs varies, and trainings.
    """
    apart = 100 * np.array([one.correct.astype(float) - other.correct for one, other in pairs])  # (P, N)
    variance = apart.mean(axis=0).var(ddof=1) / apart.shape[1]
    if len(pairs) > 1:
        variance += apart.mean(axis=1).var(ddof=1) / len(pairs)
    return float(apart.mean()), float(np.sqrt(variance))


def verdict(pairs: Sequence[tuple[Figures, Figures]], role: str, of: str) -> str:
    """Return the sentence that says whether the best trained network is better than another one."""
    mean, error = difference(pairs)
    words = "better beyond noise" if mean > 1.96 * error else "worse beyond noise" if mean < -1.96 * error else "noise"
    return f"{BEST} against {role}, {of}: {mean:+.1f} ± {error:.1f} points of test accuracy: {words}."


def report_of(seed: int, found: Found, figures: dict[tuple[str, int], Figures]) -> Iterator[str]:
    """Yield the lines of the tables of a seed."""
    yield f"### Seed {seed}: {found.trained} trainings in {found.seconds / 60:.1f} minutes\n"
    yield f"| trained front | validation | test | {found.cost} |"
    yield "| --- | --- | --- | --- |"
    for name, parts, latency in found.front:
        shown = " | ".join(accuracy_text(parts.get(part)) for part in ("validation", "test"))
        yield f"| `{name}` | {shown} | {latency:.3f} ms |"
    yield f"\n| network | | training seed | validation | test | params | MACs | {found.cost} | this host | training |"
    yield f"|{' --- |' * 10}"
    hosts = host_latencies(found.chosen)
    for chosen, cost, host in zip(found.chosen, found.latencies, hosts, strict=True):
        network = chosen.network
        price = "-" if cost is None else f"{cost:.3f} ms"
        sizes = f"{network.params / 1e6:.2f}M | {network.macs / 1e6:.2f}M | {price} | {host:.2f} ms"
        for (role, training_seed), one in figures.items():
            if role == chosen.role:
                shown = " | ".join(accuracy_text(one.results.get(part)) for part in ("validation", "test"))
                yield f"| {role} | `{chosen.name}` | {training_seed} | {shown} | {sizes} | {one.seconds:.0f} s |"
    yield ""


def compare(plan: Plan, seeds: Sequence[int]) -> Iterator[str]:
    """Yield the lines of the report, seed by seed."""
    pairs: dict[str, list[tuple[Figures, Figures]]] = {METRIC: [], AS_FAST: [], MOBILE: []}
    for seed in seeds:
        found = found_by_search(plan, seed)
        training_seeds = [seed, *(RETRAINED * (k + 1) + seed for k in range(plan.retrainings))]
        jobs = [(chosen, one) for one in training_seeds for chosen in found.chosen]
        distinct = {(chosen.name, one): (chosen, one) for chosen, one in jobs}  # the pick may be the best network
        with ProcessPoolExecutor(plan.workers, get_context("spawn")) as workers:
            every = dict(zip(distinct, workers.map(partial(trained, plan, seed), distinct.values()), strict=True))
        figures = {(chosen.role, one): every[chosen.name, one] for chosen, one in jobs}
        yield from report_of(seed, found, figures)
        for role, known in pairs.items():
            fresh = [(figures[BEST, one], figures[role, one]) for one in training_seeds]
            known += fresh
            yield f"- {verdict(fresh, role, f'seed {seed}')}"
        yield ""
    if len(seeds) > 1:
        for role, known in pairs.items():
            yield f"- {verdict(known, role, f'{len(seeds)} seeds')}"


def main() -> None:
    """Run the searches and the trainings, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NASCTL_DATA", ".")) / "images")
    parser.add_argument("--space", default="nbmacro:resolution=16", help="of as many classes as the data has")
    parser.add_argument("--device", default="mobile", help="the device of MobileNetV2, which prices its layers too")
    parser.add_argument("--bound", default="latency<=1.2", help='"" for none')
    parser.add_argument("--trainings", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--split", default="0.8,0.2,0")
    parser.add_argument("--budget", type=int, default=120, help="networks whose metrics are measured")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=15, help="time of the search with its trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--retrainings", type=int, default=0, help="further trainings of each compared network")
    parser.add_argument("--recipe", type=Path, help="TOML file in place of the script's recipe")
    parser.add_argument("--work", type=Path, help="folder that is kept, so that the same command goes on")
    parser.add_argument("--markdown", type=Path, help="file for the report")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        recipe = args.recipe or work / "recipe.toml"
        if not args.recipe:
            recipe.write_text(RECIPE)
        shared = {name: value for name, value in vars(args).items() if name in Plan.__dataclass_fields__}
        given = {"recipe": str(recipe), "photos": str(photos(args.data, work / "cifar10.zip")), "work": work}
        lines = []
        for line in compare(Plan(**{**shared, **given}), args.seeds):
            print(line, flush=True)
            lines.append(line)
    if args.markdown:
        args.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
