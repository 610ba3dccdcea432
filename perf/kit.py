"""Does a kit give the table of `device profile`? python perf/kit.py KIT.json PROFILE.json [--space mbconv].

Both tables are made on one machine, with nothing else at work:

    nasctl device kit --space mbconv -o kit
    python3 kit/time_kit.py
    nasctl device import kit --csv kit/times.csv --name kit1 -o KIT.json
    nasctl device profile --space mbconv --runtime onnxruntime --name profile1 -o PROFILE.json

The script compares their rows, and the latencies that both predict for random networks of the space.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import spearmanr

from nasctl import registry
from nasctl.hardware.distinct_blocks import distinct_genomes
from nasctl.hardware.table import LatencyTable

NEAR = 0.1  # relative difference that counts as equal


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit")
    parser.add_argument("profile")
    parser.add_argument("--space", default="mbconv")
    parser.add_argument("--networks", type=int, default=200)
    args = parser.parse_args()
    kit, profile = LatencyTable.load(args.kit), LatencyTable.load(args.profile)
    keys = sorted(kit.blocks.keys() & profile.blocks.keys())
    describe("rows", [kit.blocks[key][0] for key in keys], [profile.blocks[key][0] for key in keys])
    space = registry.create("spaces", args.space)
    networks = [space.network(one) for one in distinct_genomes(space, args.networks, 0)]
    describe("networks", [kit.latency(one) for one in networks], [profile.latency(one) for one in networks])


def describe(name: str, kit: list[float], profile: list[float]) -> None:
    """Print how far latencies by the kit are from those by the profile, in ms."""
    ratios = np.array(kit) / np.array(profile)
    far, order = np.abs(ratios - 1), spearmanr(kit, profile).statistic
    print(
        f"{len(ratios)} {name}: kit / profile {np.median(ratios):.3f} (median), mean difference {far.mean():.1%},"
        f" largest {far.max():.1%}, within {NEAR:.0%}: {np.mean(far <= NEAR):.1%}, Spearman {order:.4f}"
    )


if __name__ == "__main__":
    main()
