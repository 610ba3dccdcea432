"""How well cheaper forms of each space's networks keep the order that the full form gives, metric by metric.

    python perf/fidelity.py --json FILE

Kendall's tau between the values of the full form and of each cheaper form over the same random candidates, with the
same seed and batch size, and the seconds of processor time that all five metrics together take for a candidate. The row
"full, other seed" has other weights and another batch: what no cheaper form can be expected to keep.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau

from nasctl import registry
from nasctl.candidate import Setting
from nasctl.search import Task, measure
from nasctl.values import Fidelity, Genome, SearchSpace

METRICS = ("synflow", "snip", "grad_norm", "jacov", "naswot")
FORMS: Mapping[str, Sequence[Fidelity]] = {  # the full form first
    "nb201": [
        Fidelity(),
        Fidelity(repeats=2),
        Fidelity(repeats=1),
        Fidelity(size=16),
        Fidelity(size=16, repeats=2),
        Fidelity(size=16, repeats=1),
        Fidelity(size=8, repeats=1),
    ],
    "nbmacro": [Fidelity(), Fidelity(size=24), Fidelity(size=16), Fidelity(size=8)],
    "mbconv": [Fidelity(), Fidelity(size=128), Fidelity(size=96), Fidelity(size=64), Fidelity(size=32)],
}


def distinct(space: SearchSpace, number: int) -> list[Genome]:
    """Random canonical genomes."""
    rng, found = random.Random(0), dict[Genome, None]()
    while len(found) < number:
        found[space.canonical(tuple(rng.randrange(len(gene.choices)) for gene in space.genes))] = None
    return list(found)


def scores(space: SearchSpace, setting: Setting, genomes: Sequence[Genome]) -> tuple[dict[str, list[float]], float]:
    """The values by metric, NaN where it failed, and the mean seconds for a candidate."""
    objectives = {name: registry.create("objectives", name) for name in METRICS}
    task = Task(space, objectives, setting)
    measure(task, genomes[0], {name: name for name in METRICS})  # so that what is only paid once is not counted
    start = time.process_time()
    found = [measure(task, genome, {name: name for name in METRICS}) for genome in genomes]
    seconds = (time.process_time() - start) / len(genomes)
    values = {
        name: [math.nan if one[name].value is None else float(one[name].value or 0.0) for one in found]
        for name in METRICS
    }
    return values, seconds


def compared(spec: str, number: int) -> list[dict[str, Any]]:
    """A row for each form of a space."""
    space, rows, reference = registry.create("spaces", spec), [], dict[str, list[float]]()
    genomes = distinct(space, number)
    forms = {str(fidelity): Setting(fidelity=fidelity) for fidelity in FORMS[spec]}
    for name, setting in (forms | {"full, other seed": Setting(seed=1)}).items():
        values, seconds = scores(space, setting, genomes)
        reference = reference or values
        taus = {one: kendalltau(reference[one], values[one], nan_policy="omit").statistic for one in METRICS}
        failed = {one: sum(map(math.isnan, values[one])) for one in METRICS}
        rows.append({"form": name, "seconds": seconds, "tau": taus, "failed": failed})
    return rows


def table(spec: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown."""
    default = str(registry.create("spaces", spec).fidelity)
    lines = [f"| {spec} | s | {' | '.join(METRICS)} |", "| --- " * (len(METRICS) + 2) + "|"]
    for row in rows:
        form = f"**{row['form']}**" if row["form"] == default else row["form"]
        taus = " | ".join(f"{row['tau'][name]:.2f}" for name in METRICS)
        lines.append(f"| {form} | {row['seconds']:.3f} | {taus} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables, the default form in bold, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", action="append", choices=FORMS, help="one of them; all by default")
    parser.add_argument("--number", type=int, default=30, help="candidates")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for spec in options.space or FORMS:
        found[spec] = compared(spec, options.number)
        print(table(spec, found[spec]), end="\n\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
