"""Cost of each metric on a benchmark: python perf/seconds.py [--benchmark NAME ...] [--sample 20] [--write].

The script prints the median and quartiles of the time per architecture, over random architectures and with one thread.
Each metric is measured by itself, in turn with the others. Nothing else should run on the machine. With --write, the
medians are written to the benchmark's description beside its table of scores. `nasctl bench run` computes simulated
time from them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import nasctl
from nasctl import registry
from nasctl.candidates.objective import closed_form
from nasctl.candidates.setting import DEFAULT_SETTING, Setting
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.problem.sampling import unseen
from nasctl.problem.space import default_fidelity

FOLDER = Path(nasctl.__file__).parent / "benchmarks"


def seconds(name: str, metrics: list[str], number: int) -> dict[str, np.ndarray]:
    """Return the seconds of each metric for random architectures of a space, (number,) by metric."""
    space = registry.create("spaces", name)
    setting = Setting(DEFAULT_SETTING.data, default_fidelity(space))
    made = {metric: registry.create("objectives", metric) for metric in metrics}
    costly = {metric: Task(space, {metric: one}, setting) for metric, one in made.items() if not closed_form(one)}
    drawn = [space.canonical(raw) for raw in unseen(space, np.random.default_rng(0), number + 1)]
    found: dict[str, list[float]] = {metric: [] for metric in costly}
    for genome in drawn:
        for metric, task in costly.items():
            (measured,) = measure(task, genome, {metric: metric}).values()
            found[metric].append(measured.seconds)
    return {metric: np.array(each[1:]) for metric, each in found.items()}  # the first architecture is a warm-up


def main() -> None:
    """Measure, print the table and, with --write, store the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmark", nargs="+", default=registry.names("benchmarks"))
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    for name in args.benchmark:
        path = FOLDER / f"{name}.json"
        about = json.loads(path.read_text())
        print(f"{name}: ms per architecture, median (quartiles)")
        for metric, each in seconds(name, list(about["metrics"]), args.sample).items():
            low, median, high = np.quantile(each, [0.25, 0.5, 0.75])
            print(f"{metric:20} {1e3 * median:8.1f} ({1e3 * low:.1f} to {1e3 * high:.1f})", flush=True)
            about["metrics"][metric]["seconds"] = round(float(median), 4)
        if args.write:
            path.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
