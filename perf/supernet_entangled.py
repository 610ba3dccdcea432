"""TangleNAS: is the network that learned masks choose better than one that search with shared weights chooses?

Three networks are trained alone on the same photos: the one that `tangle` has learned, the one with the lowest loss of
random networks by the weights of `single_path`, and a random network with about the MACs of the first one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from supernet_trainings import Examples, judged, own_quality, random_genomes, small_setup, spread, verdict

from nasctl.problem.space import Genome, SearchSpace
from nasctl.problem.strategy import LearnsChoices

STRATEGY = "tangle:method=drnas,rate=0.01"  # a rate for a thousand steps; the paper's is for ten thousand

DRAWN = 300  # random networks, of which the one with the nearest cost is taken

LABELS = {
    "learned": "learned by `tangle`",
    "searched": "lowest loss by `single_path`",
    "random": "random, of the cost of the learned one",
}


def tangle(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the claim of TangleNAS."""
    setup = small_setup(given)
    space, rows = setup.searched(), []
    held_out, few = Examples.held_out(setup.data(), 0), Examples.held_out(setup.data(), given.judged)
    for seed in given.seeds:
        tangled, seconds = setup.supernet(given.strategy, seed, given.epochs)
        strategy: object = tangled.strategy
        assert isinstance(strategy, LearnsChoices)
        learned = space.canonical(strategy.chosen())
        single, more = setup.supernet("single_path", seed, given.epochs)
        losses = judged(single, random_genomes(space, given.networks, seed), few)
        searched = min(losses, key=lambda one: losses[one][1])
        row = {"seed": seed, "steps": tangled.context.steps, "seconds": {"learned": seconds, "searched": more}}
        row |= {"judged": len(losses)}
        chosen = {"learned": learned, "searched": searched, "random": of_equal_cost(space, learned, seed)}
        for name, genome in chosen.items():
            own, _ = setup.alone(genome, seed, given.epochs)
            accuracy = own_quality(own, setup.data(), held_out)[0]
            row[name] = {"genome": genome, "macs": space.network(genome).macs, "accuracy": accuracy}
        rows.append(row)
        print(f"  {row}", flush=True)
    return {"rows": rows}


def of_equal_cost(space: SearchSpace, genome: Genome, seed: int) -> Genome:
    """Return the random network whose multiply-accumulates are nearest to those of another network."""
    macs = space.network(genome).macs
    drawn = [one for one in random_genomes(space, DRAWN, 1000 + seed) if one != genome]
    return min(drawn, key=lambda one: abs(space.network(one).macs - macs))


def tangle_lines(found: dict[str, Any]) -> list[str]:
    """Return the Markdown of `tangle`."""
    rows: Sequence[dict[str, Any]] = found["rows"]
    lines = ["| network | accuracy alone | million MACs | seconds of the supernet |", "| --- | --- | --- | --- |"]
    for name, label in LABELS.items():
        macs = spread((row[name]["macs"] / 1e6 for row in rows), 1)
        seconds = [row["seconds"][name] for row in rows if name in row["seconds"]]
        cells = [label, spread((row[name]["accuracy"] for row in rows), 1), macs, spread(seconds, 0) if seconds else ""]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{rows[0]['steps']} steps; `single_path` judged {np.mean([row['judged'] for row in rows]):.0f} networks",
    ]
    for other in ("searched", "random"):
        pairs = [row["learned"]["accuracy"] - row[other]["accuracy"] for row in rows]
        lines.append(f"TangleNAS: learned above {LABELS[other]}: {spread(pairs, 1)} points, {verdict(pairs)}")
    return lines
