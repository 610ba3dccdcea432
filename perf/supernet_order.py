"""Do supernets order networks as the same networks trained alone are ordered? python perf/supernet_order.py.

The networks of the space differ in size alone. For each seed, random networks are trained alone, and their accuracies
on the held-out photos are the truth. Kendall's tau with it is printed of

- the losses of the networks by the shared weights of each strategy, on the same photos, and the scores of `blockwise`,
  whose networks have no classifier (BossNAS);
- the number of multiply-accumulates, parameters, metrics without training, and random numbers.

The trainings are those of `perf/supernet_claims.py sizes` with equal options, and lie in the same folder --work.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from supernet_ceilings import tau
from supernet_claims import DEFAULTS
from supernet_ranking import PASSES, SIX
from supernet_trainings import Examples, Setup, inherited, own_quality, random_genomes, small_setup, spread, verdict

from nasctl import registry
from nasctl.analysis.aggregate import log_rank, orient
from nasctl.candidates.setting import make_setting
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome

METRICS = ("macs", "params", "swap", *(name for name in SIX if name != "macs"))

COSTS = ("macs", "params")  # of which more is taken for better here

STRATEGIES = ("sandwich", "single_path", "blockwise")

DRAWS = 20  # of random numbers


def untrained(setup: Setup, genomes: Sequence[Genome]) -> dict[str, np.ndarray]:
    """Return scores of networks without training, higher is better: cost, `swap`, and the six metrics together."""
    space = setup.searched()
    task = Task(
        space, {name: registry.create("objectives", name) for name in METRICS}, make_setting(space, "full", None, 0)
    )
    rows = [measure(task, genome, {name: name for name in METRICS}) for genome in genomes]
    found = {}
    for name, metric in task.metrics.items():
        values = np.array([np.nan if row[name].value is None else row[name].value for row in rows], dtype=float)
        found[name] = values if name in COSTS else orient(values, metric.direction)
    found["six metrics"] = log_rank(np.array([found[name] for name in SIX]))
    return {name: found[name] for name in ("macs", "params", "swap", "six metrics")}


def scores(setup: Setup, strategy: str, seed: int, epochs: int, genomes: Sequence[Genome], on: Examples) -> list[float]:
    """Return what a supernet says of networks; higher is better."""
    learner, _ = setup.supernet(strategy, seed, epochs * (PASSES["sandwich"] if strategy == "single_path" else 1))
    if strategy.partition(":")[0] == "blockwise":
        return [-learner.strategy.score(genome) for genome in genomes]  # type: ignore[attr-defined]
    return [-inherited(learner, genome, on)[1] for genome in genomes]


def measured(given: argparse.Namespace, setup: Setup, seed: int) -> dict[str, Any]:
    """Return Kendall's tau with the accuracies of networks alone, by what judges them."""
    data, held_out = setup.data(), Examples.held_out(setup.data(), 0)
    genomes = random_genomes(setup.searched(), given.alone, 1000 + seed)
    own = [own_quality(setup.alone(one, seed, given.epochs)[0], data, held_out)[0] for one in genomes]
    truth, rng = np.array(own), np.random.default_rng(seed)
    judges = {name: scores(setup, name, seed, given.epochs, genomes, held_out) for name in given.strategies}
    taus = {f"`{name}`": tau(values, truth) for name, values in judges.items()}
    taus |= {name: tau(values, truth) for name, values in untrained(setup, genomes).items()}
    taus["random"] = float(np.mean([tau(rng.random(len(genomes)), truth) for _ in range(DRAWS)]))
    row = {
        "seed": seed,
        "networks": len(genomes),
        "lowest": float(truth.min()),
        "highest": float(truth.max()),
        "taus": taus,
    }
    print(f"  {row}", flush=True)
    return row


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the Markdown table."""
    found = [f"{rows[0]['networks']} networks a seed, alone from {spread((row['lowest'] for row in rows), 1)}%"]
    found[0] += f" to {spread((row['highest'] for row in rows), 1)}%"
    found += ["", "| judged by | tau | above macs | test |", "| --- | --- | --- | --- |"]
    for name in rows[0]["taus"]:
        taus = [row["taus"][name] for row in rows]
        above = [row["taus"][name] - row["taus"]["macs"] for row in rows]
        beside = ["", ""] if name == "macs" else [spread(above), verdict(above)]
        found.append("| " + " | ".join([name, spread(taus), *beside]) + " |")
    return found


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = DEFAULTS["sizes"]
    parser.add_argument("--space", default=defaults["space"])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--images", type=int, default=defaults["images"], help="training photos; 0: all 12,000")
    parser.add_argument("--epochs", type=int, default=16, help="single_path has four times as many")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--alone", type=int, default=20, help="random networks that are trained alone, for each seed")
    parser.add_argument("--data", help="data in place of the photos")
    parser.add_argument("--work", type=Path, default=Path("supernet-claims"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Train, judge and print."""
    given = arguments(words)
    given.work.mkdir(parents=True, exist_ok=True)
    setup = small_setup(given)
    rows = [measured(given, setup, seed) for seed in given.seeds]
    print("", *lines(rows), sep="\n")
    if given.json:
        given.json.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
