"""Values of random networks of the spaces, from which percentiles follow: nasctl/correlations/random_networks/.

python perf/random_networks.py --store random_networks.db [--space NAME ...] [--networks 1000]

For each space the script measures the default objectives and score, and sizes, at the default setting of the space, and
writes a file. Values in the store are not computed again, so a stopped script goes on where it was, and a larger number
of networks measures the further ones only.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from nasctl import registry
from nasctl.analysis import score
from nasctl.candidates.objective import Objective
from nasctl.candidates.reversed_objective import measured_name
from nasctl.candidates.setting import make_setting
from nasctl.correlations.defaults import default_choice, default_score
from nasctl.correlations.random_networks import RandomNetworks, SampledMetric
from nasctl.evaluation.ranges import sample
from nasctl.evaluation.task import Task
from nasctl.problem.defaults import SIZES
from nasctl.problem.space import SearchSpace
from nasctl.registry.version import __version__
from nasctl.search.applicability import inapplicable_reasons
from nasctl.search.default_objectives import default_objectives, space_kind
from nasctl.store.store import Store
from nasctl.system.terminal import counted

FOLDER = Path(__file__).parents[1] / "nasctl" / "correlations" / "random_networks"
DIGITS = 5  # significant digits of a value


def sampled_metrics(name: str, space: SearchSpace) -> Mapping[str, Objective]:
    """Return the metrics to measure by name: the default objectives and score of a space, and sizes."""
    asked = space_kind(name, space)
    choice = default_choice(asked)
    scored = default_score(asked, choice) if choice else ()
    specs = [*default_objectives(name, space, "", with_device=False).objectives, *scored, *SIZES]
    metrics = score.make_metrics(dict.fromkeys(map(measured_name, specs)), name)
    refused = inapplicable_reasons(space, metrics)
    return {metric: one for metric, one in metrics.items() if metric not in refused}


def measured(name: str, networks: int, store: str, command: str) -> RandomNetworks:
    """Return the values of random networks of a space, which are measured where the store lacks them."""
    space = registry.create("spaces", name)
    task = Task(space, sampled_metrics(name, space), make_setting(space, "", None, seed=0))
    spec, genomes = registry.spelled_out("spaces", name), sample(space, networks)
    labels = task.record(spec).labels
    rows = list(counted(score.score_genomes(task, spec, genomes, Store(store)), len(genomes), name))
    values = {
        metric: SampledMetric(label, [_rounded(row.evaluation.values.get(metric)) for row in rows])
        for metric, label in labels.items()
    }
    versions = {"nasctl": __version__, **{library: version(library) for library in ("numpy", "torch")}}
    return RandomNetworks(command, versions, spec, 0, len(genomes), values)


def _rounded(value: float | None) -> float | None:
    """Return a value with few digits; whole numbers keep theirs."""
    return value if value is None or (value.is_integer() and abs(value) < 1e15) else float(f"{value:.{DIGITS}g}")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="random_networks.db")
    parser.add_argument("--space", action="append", help="a space, repeatable; default: all")
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.space or registry.names_without_options("spaces"):
        command = f"python perf/random_networks.py --space {name} --networks {options.networks}"
        found = measured(name, options.networks, options.store, command)
        text = json.dumps(asdict(found), separators=(",", ":"))
        (options.output / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
