"""Cells of NAS-Bench-201 timed on devices of a few lines, and a table with rows of places: material of tests."""

import numpy as np

from nasctl import registry
from nasctl.hardware.fitting.by_idle import TimedNetworks
from nasctl.hardware.idle import live_spans
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row

SPEC = "nb201:channels=4,cells=2,resolution=8"
SPACE = registry.create("spaces", SPEC)
EMPTY = LatencyTable("toy", "gpu", 1, {})
EDGE_COSTS = {"edge01": 5.0, "edge02": 0.3, "edge12": 2.0, "edge03": 0.1, "edge13": 1.0, "edge23": 4.0}
CONV = "ActConvNorm(channels=4) @ 4x8x8"


def genomes(number, seed=0):
    rng = np.random.default_rng(seed)
    return [tuple(one) for one in dict.fromkeys(map(tuple, rng.integers(5, size=(number, 6)).tolist()))]


def cost(span):
    """The cost of a block that is the same at every place."""
    return 0.1 + span.emission.macs / 4e4


def cost_at_place(span):
    """The cost of a block that depends on its edge."""
    return cost(span) * EDGE_COSTS.get(span.name.rpartition(".")[2], 1.0)


def counting(genome, cost=cost):
    """The latency on a device that runs every operation that is declared."""
    return 1.0 + sum(map(cost, SPACE.declared(genome).spans))


def ignoring(genome, cost=cost):
    """The latency on a device that leaves out idle operations."""
    return 1.0 + sum(map(cost, live_spans(SPACE.network(genome))))


def timed(latency, number=300):
    chosen = genomes(number)
    return chosen, TimedNetworks.of(SPACE, chosen, np.array([latency(genome) for genome in chosen]))[0]


def written(path, latency, chosen, spelled=SPACE.spell):
    path.write_text("\n".join(["arch,ms", *(f"{spelled(one)},{latency(one):.9f}" for one in chosen)]) + "\n")
    return path


def names(spans):
    return [span.name for span in spans]


def table(**changes):
    """A table of all blocks of the space, with one row of a place."""
    blocks = {
        span.emission.key: Row(cost(span))
        for choice in range(5)
        for genome in ((choice,) * 6, (choice, 0, 0, 0, 0, 0), (0, choice, 0, choice, 0, 0), (0, 0, 1, 0, 0, choice))
        for span in SPACE.declared(genome).spans
    }
    places = {"stage1.*.edge03": {CONV: Row(7.0)}, "stage1.1.edge03": {CONV: Row(9.0)}}
    return LatencyTable(
        **{
            "device": "toy",
            "kind": "gpu",
            "batch": 1,
            "blocks": blocks,
            "method": "fitted",
            "places": places,
            **changes,
        }
    )
