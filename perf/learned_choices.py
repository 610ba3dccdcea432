"""MANAS and the controller of ENAS on the accuracies of a table: draws, regret and its bound.

    NASCTL_DATA=... python perf/learned_choices.py [--benchmark nbmacro] [--scene cifar10] [--rounds 4000] [--seeds 10]
        [--plot FILE] [--json FILE]

No network is trained. The loss of a genome is its test error in the table, scaled so that the best network has 0 and
the worst one 1. Every draw counts, also of a genome that was drawn before. The regret of a gene after T rounds is the
sum of the losses of all draws less that of the best fixed choice of the gene, the other genes drawn as they were; EXP3
keeps its expectation below 2 sqrt(T K ln K) for K choices. The regret of whole genomes is against the best network of
the table.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from nasctl import registry
from nasctl.api import ChoiceBandit, ChoiceController, ControllerOptions

EARLY = slice(199, 400)  # draws 200 to 400
BATCH = 10  # genomes that a controller draws before it learns


class Draws:
    """Genomes of one learner on a table, and their losses.

    Args:
        space: The space.
        table: Losses from 0 to 1 by canonical genome.
    """

    def __init__(self, space, table):
        self.space, self.table = space, table
        self.genomes, self.losses = [], []

    def of(self, genome):
        """Return the loss of a raw genome."""
        return self.table[self.space.canonical(genome)]

    def add(self, genomes):
        """Add raw genomes, and return their losses."""
        found = [self.of(genome) for genome in genomes]
        self.genomes += genomes
        self.losses += found
        return found

    def regrets(self):
        """Return the regret of each gene after each draw, (genes, T)."""
        rows = []
        for gene, kind in enumerate(self.space.genes):
            others = np.array(
                [[self.of((*g[:gene], c, *g[gene + 1 :])) for g in self.genomes] for c in range(len(kind.choices))]
            )
            rows.append(np.cumsum(self.losses) - np.cumsum(others, axis=1).min(axis=0))
        return np.array(rows)


def bandit_draws(draws, seed, rounds, **options):
    """Let bandits draw."""
    bandit, rng = (
        ChoiceBandit([len(gene.choices) for gene in draws.space.genes], **options),
        np.random.default_rng(seed),
    )
    for _ in range(rounds):
        genome = bandit.draw(rng)
        bandit.learn([genome], draws.add([genome]))


def controller_draws(draws, seed, rounds, **options):
    """Let a controller draw batches of 10."""
    counts, rng = [len(gene.choices) for gene in draws.space.genes], np.random.default_rng(seed)
    controller = ChoiceController(counts, seed, ControllerOptions(**options))
    for _ in range(rounds // BATCH):
        genomes = controller.draw(rng, BATCH)
        controller.learn(genomes, [1 - loss for loss in draws.add(genomes)], rng)


def random_draws(draws, seed, rounds):
    """Draw uniformly, with repetitions."""
    rng = np.random.default_rng(seed)
    draws.add([tuple(int(rng.integers(len(gene.choices))) for gene in draws.space.genes) for _ in range(rounds)])


LEARNERS = {
    "random": (random_draws, {}),
    "manas": (bandit_draws, {}),
    "manas:estimate=ridge": (bandit_draws, {"estimate": "ridge"}),
    "manas:estimate=ridge,zipf": (bandit_draws, {"estimate": "ridge", "zipf": True}),
    "enas": (controller_draws, {}),
    "enas:memory=on": (controller_draws, {"memory": True}),
}


def plot(path, regrets, bound):
    """Draw the mean and the range over seeds of the largest regret of a gene, beside the bound."""
    from matplotlib.ticker import StrMethodFormatter

    from nasctl.drawing.canvas import WIDTH, canvas
    from nasctl.drawing.palette import BLUE, CAPTION, GREEN, ORANGE, VERMILLION

    with canvas(path, WIDTH, 2.8) as figure:
        area = figure.subplots()
        at = np.arange(1, len(bound) + 1)
        area.plot(at, bound, color=CAPTION, linestyle="--", linewidth=1.0, label="bound of EXP3")
        for (name, some), colour in zip(regrets.items(), (ORANGE, BLUE, GREEN, VERMILLION), strict=False):
            curves = np.array([one.max(axis=0) for one in some])
            area.fill_between(at, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.15, linewidth=0)
            area.plot(
                at, curves.mean(axis=0), color=colour, linewidth=1.1, linestyle=":" if "=" in name else "-", label=name
            )
        area.set(xlabel="draws T", ylabel="largest regret of a gene", xscale="log", yscale="log")
        area.set(xlim=(10, len(bound)), ylim=(0.1, None))
        for axis in (area.xaxis, area.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        figure.legend(loc="outside upper left", ncols=4, frameon=False)


def arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--benchmark", default="nbmacro")
    parser.add_argument("--scene", default="")
    parser.add_argument("--rounds", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main():
    """Print the table of all learners, and write the files that were asked for."""
    given = arguments()
    benchmark = registry.create("benchmarks", given.benchmark)
    scene = benchmark.scenes[given.scene or next(iter(benchmark.scenes))]
    accuracies = np.asarray(scene.accuracy)
    worst, best = float(accuracies.min()), float(accuracies.max())
    table = {g: (best - a) / (best - worst) for g, a in zip(benchmark.genomes, accuracies.tolist(), strict=True)}
    space, figures, regrets = benchmark.space, {}, {}
    counts = [len(gene.choices) for gene in space.genes]
    print(
        f"{given.benchmark}: accuracies {worst:.2f} to {best:.2f}, mean {accuracies.mean():.2f} (of different networks)"
    )
    print(
        f"{'learner':28} {'draws 200-400':>16} {'last 400':>14} {'best':>14} {'different':>9} {'regret, genes':>14} "
        f"{'regret, whole':>14}"
    )
    for name, (draw, options) in LEARNERS.items():
        rows = []
        for seed in range(given.seeds):
            draws = Draws(space, table)
            draw(draws, seed, given.rounds, **options)
            own = best - (best - worst) * np.array(draws.losses)
            kept = draws.regrets()
            regrets.setdefault(name, []).append(kept)
            different = len({space.canonical(genome) for genome in draws.genomes})
            rows.append(
                [own[EARLY].mean(), own[-400:].mean(), own.max(), different, kept[:, -1].max(), sum(draws.losses)]
            )
        mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
        figures[name] = {"mean": mean.tolist(), "deviation": spread.tolist()}
        shown = [f"{mean[k]:.2f} \N{PLUS-MINUS SIGN} {spread[k]:.2f}" for k in range(3)]
        print(
            f"{name:28} {shown[0]:>16} {shown[1]:>14} {shown[2]:>14} {mean[3]:9.0f} {mean[4]:14.0f} {mean[5]:14.0f}",
            flush=True,
        )
    most = max(counts)
    bound = 2 * np.sqrt(np.arange(1, given.rounds + 1) * most * np.log(most))
    print(f"bound of EXP3 on the regret of a gene after {given.rounds:,} draws: {bound[-1]:.0f}")
    if given.plot:
        plot(given.plot, {name: regrets[name] for name in ("random", "manas", "manas:estimate=ridge")}, bound)
        print(f"the regrets are drawn in {given.plot}")
    if given.json:
        given.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
