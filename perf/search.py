"""Wall-clock time of the parts of `nasctl search --space mbconv --device gpu`, run in this process.

    python perf/search.py [--budget 300] [--json FILE]

Targets: building and initialising modules 15% or less, everything else outside the passes of metrics under 5%.
"""

import time

START = time.perf_counter()  # a user waits for the imports too

import argparse  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from tempfile import TemporaryDirectory  # noqa: E402

from click.testing import CliRunner  # noqa: E402

from nasctl.candidates.candidate import Candidate  # noqa: E402
from nasctl.cli import cli  # noqa: E402
from nasctl.evaluation import measure  # noqa: E402

spent = {"modules": 0.0, "scores": 0.0}  # seconds


def timed(name, function):
    """Wrap a function so that the seconds of its outermost calls are added to `spent`."""
    running = []  # one entry per nested call

    def call(*arguments):
        begun = time.perf_counter()
        running.append(None)
        try:
            return function(*arguments)
        finally:
            running.pop()
            if not running:
                spent[name] += time.perf_counter() - begun

    return call


parser = argparse.ArgumentParser()
parser.add_argument("--budget", type=int, default=300)
parser.add_argument("--json", type=Path)
given = parser.parse_args()

Candidate.module = timed("modules", Candidate.module)
measure.score = timed("scores", measure.score)
with TemporaryDirectory() as folder:
    options = ["--budget", str(given.budget), "--store", f"{folder}/store", "--json"]
    done = CliRunner().invoke(cli, ["search", "--space", "mbconv", "--device", "gpu", *options], catch_exceptions=False)
total = time.perf_counter() - START
result = json.loads(done.stdout)

parts = {
    "passes of metrics": spent["scores"] - spent["modules"],
    "building and initialising modules": spent["modules"],
    "everything else, imports included": total - spent["scores"],
}
print(f"{result['distinct']} candidates in {total:.1f} s, {total / result['distinct']:.3f} s each")
for name, seconds in parts.items():
    print(f"{name:36} {seconds:8.2f} s {100 * seconds / total:6.1f}%")
if given.json:
    figures = {"candidates": result["distinct"], "seconds": total, **parts}
    given.json.write_text(json.dumps({name: round(figure, 3) for name, figure in figures.items()}) + "\n")
