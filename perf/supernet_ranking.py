"""Do shared weights rank networks? python perf/supernet_ranking.py --strategies single_path sandwich --seeds 0 1 2.

For each strategy and seed, a supernet is trained on the 12,000 photos of CIFAR-10 and judges networks on held-out
photos, with calibrated norms. Kendall's tau with the accuracies of the benchmark, which were reached by full trainings,
stands beside that of metrics on the same networks. There are two sets of networks:

- random: random canonical networks of the benchmark;
- spread: the range of accuracies is cut into equal intervals, and one network of each is taken. Papers that take 400
  intervals of NAS-Bench-201 report a higher tau, because bad networks are as frequent as good ones.

"top" is the share of the best tenth that is in the best tenth by the loss. "seeds agree" is Kendall's tau between the
losses of two seeds, the mean over pairs. --epochs is the number of passes over the photos of a strategy which trains
one network a step; others have fewer epochs, so that all train equally often. With --statistics, the ways to judge are
compared. With --choices, the number of each choice in a network is compared with loss and accuracy. With --ceilings,
the table also has random scores, predictors of accuracy that are fitted to labels of other networks, sums over choices
that are fitted to all accuracies, and one training of each network against its other trainings. What is judged is kept
in the folder --work; the tables are made from there.

The data are `cifar10_train_12000.zip` and `cifar10_test_2000.zip` in the folder `images` of NASCTL_DATA, and the
accuracies are those of nasctl's benchmarks, whose tables lie in NASCTL_DATA too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from supernet_ceilings import Ceilings, tau
from supernet_trainings import Examples, Setup, inherited, judged, photos, spread, verdict

from nasctl import registry
from nasctl.analysis.aggregate import log_rank, orient
from nasctl.problem.space import Genome
from nasctl.training.recipe import Recipe

# Networks that a step trains, of the strategies that train several.
PASSES = {"fair": 0, "sandwich": 4, "attentive": 4, "cross_path": 2}

SIX = ("expressivity", "progressivity", "trainability", "macs", "synflow", "jacov")  # of docs/metrics.md

BEST = 0.1  # share of the networks that counts as the top


class Truth:
    """The results of a benchmark.

    Args:
        space: Spec of the space whose networks are judged; other options than the benchmark's change no genome.
    """

    def __init__(self, space: str) -> None:
        benchmark = registry.create("benchmarks", registry.plugin_of(space))
        self.genomes: list[Genome] = list(benchmark.genomes)
        self.accuracies = np.asarray(next(iter(benchmark.scenes.values())).accuracy)
        self._benchmark, self._full = benchmark, registry.create("spaces", registry.plugin_of(space))
        self.genes = self._full.genes
        self._place = {genome: place for place, genome in enumerate(self.genomes)}

    def of(self, genomes: Iterable[Genome]) -> np.ndarray:
        """Return the accuracies of networks."""
        return self.accuracies[[self._place[genome] for genome in genomes]]

    def ceilings(self, genomes: Sequence[Genome]) -> dict[str, list[float]]:
        """Return Kendall's tau of scores that need accuracies of the benchmark, on some networks."""
        return Ceilings(self._benchmark, self._full, self.accuracies).rows(genomes)

    def random(self, number: int) -> list[Genome]:
        """Return random networks."""
        order = np.random.default_rng(0).permutation(len(self.genomes))[:number]
        return [self.genomes[place] for place in order]

    def spread(self, intervals: int) -> list[Genome]:
        """Return a random network of each interval of accuracies that has one."""
        low, high = self.accuracies.min(), self.accuracies.max()
        places = np.minimum((self.accuracies - low) / (high - low) * intervals, intervals - 1).astype(int)
        order = np.random.default_rng(0).permutation(len(self.genomes))
        first: dict[int, int] = {}
        for place in order:
            first.setdefault(int(places[place]), int(place))
        return [self.genomes[place] for place in sorted(first.values())]

    def baselines(self, genomes: Sequence[Genome]) -> dict[str, np.ndarray]:
        """Return scores of networks without training, higher is better: cost, metrics, and the six together."""
        networks = [self._full.network(genome) for genome in genomes]
        found = {name: np.array([getattr(one, name) for one in networks], dtype=float) for name in ("macs", "params")}
        places = [self._place[genome] for genome in genomes]
        for name in ("swap", *SIX, "val_acc_12"):
            if name in self._benchmark.names and name not in found:
                column = self._benchmark.column(name)
                found[name] = orient(column.values, column.goal.direction)[places]
        if set(SIX) <= set(found):
            found["six metrics"] = log_rank(np.array([found[name] for name in SIX]))
        return {name: found[name] for name in ("macs", "params", "swap", "six metrics", "val_acc_12") if name in found}


def precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of the truly best tenth that is in the best tenth by a score."""
    number = max(1, round(BEST * len(truth)))
    scores = np.nan_to_num(scores, nan=-np.inf)
    return len({*np.argsort(-scores)[:number]} & {*np.argsort(-truth)[:number]}) / number


def epochs_of(strategy: str, epochs: int, space: str) -> int:
    """Return the epochs in which a strategy trains as many networks as another that trains one a step."""
    name = strategy.partition(":")[0]
    number = PASSES.get(name, 1) or max(len(gene.choices) for gene in registry.create("spaces", space).genes)
    return max(1, round(epochs / number))


def measured(given: argparse.Namespace, setup: Setup, truth: Truth, strategy: str, seed: int) -> dict[str, Any]:
    """Train a supernet and judge networks, or read what was judged."""
    epochs = epochs_of(strategy, given.epochs, given.space)
    sets = {"random": truth.random(given.networks), "spread": truth.spread(given.intervals) if given.intervals else []}
    learner, seconds = setup.supernet(strategy, seed, epochs, given.share)
    name = "-".join([strategy.replace(":", "-"), learner.networks.share, str(epochs), str(seed), str(given.images)])
    record = setup.work / f"judged-{name}.json"
    known = json.loads(record.read_text()) if record.exists() else []
    examples = Examples.held_out(setup.data(), given.images)
    found = {tuple(one["genome"]): (one["accuracy"], one["loss"]) for one in known}
    found |= judged(learner, (one for some in sets.values() for one in some if one not in found), examples)
    kept = [{"genome": one, "accuracy": accuracy, "loss": loss} for one, (accuracy, loss) in found.items()]
    record.write_text(json.dumps(kept))
    row: dict[str, Any] = {"strategy": strategy, "share": learner.networks.share, "seed": seed, "epochs": epochs}
    row |= {"steps": learner.context.steps, "seconds": seconds}
    for name, genomes in sets.items():
        some = [one for one in genomes if one in found]
        if len(some) > 2:
            row[name] = [{"genome": one, "accuracy": found[one][0], "loss": found[one][1]} for one in some]
    if given.statistics:
        batch = [inherited(learner, one, examples, True) for one in map(tuple, (e["genome"] for e in row["random"]))]
        right = truth.of(tuple(one["genome"]) for one in row["random"])
        row["batch"] = {
            "accuracy": tau((one for one, _ in batch), right),
            "loss": tau((-one for _, one in batch), right),
        }
    return row


class Judgement:
    """The networks of one set as the supernets of a strategy judge them.

    Args:
        rows: A row for each seed.
        name: The set.
        common: The networks that all supernets of all strategies have judged.
        right: Their accuracies in the benchmark, (N,).
    """

    def __init__(self, rows: Sequence[dict[str, Any]], name: str, common: Sequence[Genome], right: np.ndarray) -> None:
        tables = [{tuple(one["genome"]): one for one in row[name]} for row in rows]
        losses = [-np.array([table[one]["loss"] for one in common]) for table in tables]
        shares = [np.array([table[one]["accuracy"] for one in common]) for table in tables]
        self.by_loss, self.by_accuracy = ([tau(one, right) for one in some] for some in (losses, shares))
        self.top = [precision(one, right) for one in losses]
        self.accuracy = [float(one.mean()) for one in shares]
        self.agreement = [tau(one, other) for one, other in combinations(losses, 2)]
        self.seconds = [row["seconds"] for row in rows]

    def cells(self) -> list[str]:
        """Return the cells of the table."""
        agree = spread(self.agreement) if self.agreement else ""
        first = [spread(self.by_loss), spread(self.by_accuracy), spread(self.top, 2), spread(self.accuracy, 1)]
        return [*first, agree, spread(self.seconds, 0)]

    def against(self, other: Judgement) -> str:
        """Return the differences from another strategy, seed by seed or pair by pair of seeds, with their tests."""
        parts = {
            "tau, loss": (self.by_loss, other.by_loss, 3),
            "mean accuracy": (self.accuracy, other.accuracy, 1),
            "seeds agree": (self.agreement, other.agreement, 3),
        }
        found = []
        for name, (own, others, digits) in parts.items():
            differences = [one - two for one, two in zip(own, others, strict=False)]
            if differences:
                found.append(f"{name} {spread(differences, digits)} ({verdict(differences)})")
        return ", ".join(found)


def summary(rows: Sequence[dict[str, Any]], truth: Truth, name: str, ceilings: bool = False) -> list[str]:
    """Return the Markdown table of one set of networks, and each strategy's difference from the first."""
    used = [row for row in rows if name in row]
    common = sorted(set.intersection(*({tuple(one["genome"]) for one in row[name]} for row in used)))
    right, by = truth.of(common), dict[tuple[str, str, int], Judgement]()
    for key in dict.fromkeys((row["strategy"], row["share"], row["epochs"]) for row in used):
        own = [row for row in used if (row["strategy"], row["share"], row["epochs"]) == key]
        by[key] = Judgement(own, name, common, right)
    lines = [f"{name}: {len(common)} networks", ""]
    lines += ["| judged by | tau, loss | tau, accuracy | top | mean accuracy | seeds agree | seconds |"]
    lines += ["| --- |" + " --- |" * 6]
    for (strategy, share, epochs), found in by.items():
        lines.append("| " + " | ".join([f"`{strategy}`, {share}, {epochs} epochs", *found.cells()]) + " |")
    for metric, scores in truth.baselines(common).items():
        lines.append(f"| {metric} | {spread([tau(scores, right)])} | | {precision(scores, right):.2f} | | | |")
    for score, taus in (truth.ceilings(common) if ceilings else {}).items():
        lines.append(f"| {score} | {spread(taus)} | | | | | |")
    first, *others = by
    return [*lines, "", *(f"`{key[0]}` above `{first[0]}`: {by[key].against(by[first])}" for key in others)]


def preferences(rows: Sequence[dict[str, Any]], truth: Truth, strategy: str) -> list[str]:
    """Return the Markdown table of Kendall's tau of the number of each choice in a network with loss and accuracy."""
    own = [row["random"] for row in rows if row["strategy"] == strategy and "random" in row]
    common = sorted(set.intersection(*({tuple(one["genome"]) for one in row} for row in own)))
    tables = [{tuple(one["genome"]): one["loss"] for one in row} for row in own]
    mean = -np.mean([[table[one] for one in common] for table in tables], axis=0)
    kinds = [[str(gene.choices[choice]) for gene, choice in zip(truth.genes, one, strict=True)] for one in common]
    lines = [f"`{strategy}`, tau of the number of each choice in a network", "", "| choice | low loss | accuracy |"]
    lines.append("| --- | --- | --- |")
    for kind in sorted({one for some in kinds for one in some}):
        counts = np.array([some.count(kind) for some in kinds])
        lines.append(f"| {kind} | {spread([tau(counts, mean)])} | {spread([tau(counts, truth.of(common))])} |")
    return lines


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="nbmacro:resolution=16")
    parser.add_argument("--strategies", nargs="+", default=["single_path"])
    parser.add_argument("--share", choices=("entangled", "blocks"), default="")
    parser.add_argument("--epochs", type=int, default=10, help="of a strategy that trains one network a step")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--networks", type=int, default=200, help="random networks")
    parser.add_argument("--intervals", type=int, default=0, help="of accuracies, with one network each; 0: none")
    parser.add_argument("--images", type=int, default=500, help="held-out photos that networks are judged on")
    parser.add_argument("--statistics", action="store_true", help="also judge with the statistics of batches")
    parser.add_argument("--ceilings", action="store_true", help="also show what labels of the benchmark reach")
    parser.add_argument("--choices", action="store_true", help="also say which choices lower the loss")
    parser.add_argument("--data", help="data in place of the photos")
    parser.add_argument("--work", type=Path, default=Path("supernet-ranking"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Train, judge and print."""
    given = arguments(words)
    given.work.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(evaluate=0, cutout=0.0, checkpoint=2.0, warmup=0.5)
    source, split = (given.data, "0.8,0.1,0.1") if given.data else (str(photos(0, given.work)), "0.9,0.1,0")
    setup = Setup(given.space, source, recipe, given.work, split)
    truth = Truth(given.space)
    measure = partial(measured, given, setup, truth)
    rows = [measure(strategy, seed) for strategy in given.strategies for seed in given.seeds]
    print(f"{given.space}, judged on {given.images} held-out photos")
    for name in ("random", "spread"):
        if any(name in row for row in rows):
            print("", *summary(rows, truth, name, given.ceilings), sep="\n")
    if given.choices:
        for strategy in given.strategies:
            print("", *preferences(rows, truth, strategy), sep="\n")
    for row in rows:
        if "batch" in row:
            taus = ", ".join(f"{name} {value:.3f}" for name, value in row["batch"].items())
            print(f"{row['strategy']}, seed {row['seed']}, statistics of batches: tau {taus}")
    if given.json:
        given.json.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
