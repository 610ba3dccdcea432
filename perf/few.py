"""The picks of `nasctl objective correlate --few`, judged on benchmarks: python perf/few.py --store evidence.db.

From each set of known results 32 networks are drawn 20 times. The rule of `nasctl.analysis.few_labels` picks metrics by
these labels, and its score is compared with the true results of all other networks, beside the sizes, the default score
that `perf/evidence.py` chooses without the space, and the best single metric in hindsight. Values come from the store
of `perf/evidence.py`. Each row has means of Spearman's rho over the draws, of each size in the direction that the
labels favour. "beats" is the share of the draws in which the pick beats the better size. "said so" is the share of the
draws in which the command was certain of it, and "right" the share of those in which the pick beats the better size.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from evidence import measure_space
from evidence_choice import Labelled, choices, default_score_without
from evidence_sets import RankedNetworks
from evidence_spaces import SPACES

from nasctl.analysis.few_labels import pick_by_few_labels, score
from nasctl.analysis.rank_correlation import spearman
from nasctl.correlations.table import MeasuredScene


@dataclass
class Draws:
    """Rho of each method in each draw, and whether the pick was certain."""

    pick: list[float]
    params: list[float]
    macs: list[float]
    default: list[float]
    hindsight: list[float]
    certain: list[bool]


def order(values: np.ndarray, truth: np.ndarray) -> float:
    """Return Spearman's rho of values, (N,), with the truth; 0 where all are equal."""
    return float(np.nan_to_num(spearman(values, truth)))


def judged(networks: RankedNetworks, default: tuple[str, ...], labels: int, draws: int) -> Draws:
    """Return the results of repeated draws of labels.

    Args:
        networks: Networks with known results.
        default: Metrics of the default score.
        labels: Number of labels of a draw.
        draws: Number of draws.
    """
    found = Draws([], [], [], [], [], [])
    usable = [name for name, values in networks.values.items() if np.isfinite(values).mean() > 0.5]
    for seed in range(draws):
        shuffled = np.random.default_rng(seed).permutation(len(networks.truth))
        few, rest = networks.part(shuffled[:labels]), networks.part(shuffled[labels:])
        pick = pick_by_few_labels(few, seed)
        found.pick.append(order(score(rest, pick.signs), rest.truth) if pick.signs else 0.0)
        for size in ("params", "macs"):
            getattr(found, size).append(order(pick.size_signs[size] * rest.values[size], rest.truth))
        found.default.append(float(rest.correlations([default])[0]))
        found.hindsight.append(max(order(sign * rest.values[name], rest.truth) for name in usable for sign in (1, -1)))
        found.certain.append(pick.verdict == "better")
    return found


def row(scene: MeasuredScene, found: Draws) -> str:
    """Return the Markdown row of a scene."""
    sizes = np.maximum(found.params, found.macs)
    wins, certain = np.array(found.pick) > sizes, np.array(found.certain)
    right = f"{wins[certain].mean():.2f}" if certain.any() else "-"
    means = [np.mean(getattr(found, name)) for name in ("pick", "params", "macs", "default", "hindsight")]
    cells = [f"{scene.name}: {scene.dataset}", *(f"{mean:.2f}" for mean in means)]
    return "| " + " | ".join([*cells, f"{wins.mean():.2f}", f"{certain.mean():.2f}", right]) + " |"


def main() -> None:
    """Judge the picks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="evidence.db")
    parser.add_argument("--networks", type=int, default=40, help="networks of each space without shipped values")
    parser.add_argument("--seeds", type=int, default=12, help="networks that are measured with a second seed")
    parser.add_argument("--labels", type=int, default=32)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    labelled: Labelled = {}
    for known in SPACES:
        found = measure_space(known, options.networks, options.seeds, options.store)
        labelled[known.spec.partition(":")[0]] = list(zip(*found, strict=True))
    columns = ("", "pick", "params", "macs", "default, held out", "best in hindsight", "beats", "said so", "right")
    print("| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|", sep="\n")
    for space, results in labelled.items():
        without = choices({name: others for name, others in labelled.items() if name != space})
        for scene, networks in results:
            default = default_score_without(without, scene)
            print(row(scene, judged(networks, default, options.labels, options.draws)), flush=True)


if __name__ == "__main__":
    main()
