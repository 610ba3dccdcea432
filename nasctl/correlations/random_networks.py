"""Shipped values of random networks of a space, from which percentiles follow.

`perf/random_networks.py` draws the networks and writes a file for each space, `random_networks/SPACE.json.gz`. A
percentile compares a network only with values that were measured as its own values were.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

# Fields of a label that change no more than the last digits of a value; see `nasctl.candidates.setting`.
LAST_DIGITS = (",device=", ",threads=")


@dataclass(frozen=True)
class SampledMetric:
    """The values of one metric on random networks.

    Args:
        label: Label under which a store files the values. It holds the version of the metric and the setting.
        values: Values in natural units, in the order of the networks; None where the metric failed.
    """

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class RandomNetworks:
    """Values of distinct random networks of one space. Genes are drawn uniformly.

    Args:
        command: The command that drew and measured the networks.
        versions: Versions of nasctl and of the libraries that values depend on, by name.
        space: Spec of the space, with every option written out.
        seed: Seed of the draws.
        networks: Number of networks.
        metrics: The metrics by name.
    """

    command: str
    versions: Mapping[str, str]
    space: str
    seed: int
    networks: int
    metrics: Mapping[str, SampledMetric]

    def values(self, name: str, label: str) -> np.ndarray | None:
        """Return the values of a metric, (N,), NaN where it failed; None if they were measured in another way.

        Args:
            name: Name of the metric, such as "l2_norm".
            label: Label of the values that are to be compared with them.
        """
        found = self.metrics.get(name)
        if found is None or _comparable(found.label) != _comparable(label):
            return None
        return np.array(found.values, dtype=float)


def random_networks(space: str) -> RandomNetworks | None:
    """Return the random networks of a space that nasctl ships; None if it ships none with these options.

    Args:
        space: Spec of the space, with every option written out.
    """
    found = shipped_random_networks(space.partition(":")[0])
    return found if found and found.space == space else None


@cache
def shipped_random_networks(name: str) -> RandomNetworks | None:
    """Return the random networks of a space that nasctl ships, whose spec has its options; None if it ships none.

    Args:
        name: Name of the space without options.
    """
    import msgspec

    file = files("nasctl").joinpath("correlations", "random_networks", f"{name}.json.gz")
    if not file.is_file():
        return None
    return msgspec.json.decode(gzip.decompress(file.read_bytes()), type=RandomNetworks)


def _comparable(label: str) -> str:
    """Return a label without the parts of its setting that change no more than the last digits of values."""
    kept, at, setting = label.rpartition(" @ ")
    for field in LAST_DIGITS:
        before, there, after = setting.rpartition(field)
        if there:
            setting = before + (f",{rest}" if (rest := after.partition(",")[2]) else "")
    return f"{kept}{at}{setting}"
