"""Growth of searches: python perf/scale.py [--most 100000] [--searcher NAME ...] [--json FILE] [--keep FOLDER].

Each search runs as an ordinary command in a process of its own, on objectives in closed form. The script measures the
processor time and the peak memory of three commands: the search, the same command again (the replay with which a
resumed run begins), and `pareto show`. It also measures the size of the store. "Growth" is the exponent of the time
relative to the row above, without start-up. Growth with n log n has the exponents 1.12, 1.10 and 1.08 from 10^3, 10^4
and 10^5.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

LEAST = 20  # evaluations of a search whose time is all start-up
OPTIONS = ["--space", "mbconv", "--device", "gpu", "--objective", "expected_synflow:linear=true,params,macs"]
PARTS = ("search", "resume", "show")  # measured commands, fields of `Row`


@dataclass(frozen=True)
class Cost:
    """The cost of one process."""

    seconds: float  # processor time, which other work on the machine disturbs least
    megabytes: float  # peak resident memory


@dataclass(frozen=True)
class Row:
    """The costs of a search of one size."""

    evaluations: int
    search: Cost
    resume: Cost
    show: Cost
    store: float  # MB
    front: int  # members of the Pareto front


def call(*arguments: str) -> tuple[Cost, bytes]:
    """Run a command of nasctl to its end and return its cost and its output.

    Raises:
        SystemExit: The command failed.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "nasctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"Cannot measure: nasctl {' '.join(arguments)} ended with exit code {process.returncode}.")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), printed


def measured(searcher: str, evaluations: int, folder: Path) -> Row:
    """Run the search, run it again, show its Pareto front, and return the costs."""
    store = folder / f"{searcher.replace(':', '-')}-{evaluations}.db"
    search = ["search", *OPTIONS, "--searcher", searcher, "--budget", str(evaluations), "--store", str(store)]
    first, again = call(*search)[0], call(*search)[0]
    shown, printed = call("pareto", "show", "--json", "--store", str(store))
    return Row(evaluations, first, again, shown, store.stat().st_size / 1e6, len(json.loads(printed)))


def exponent(before: Row, after: Row, least: Row, part: str) -> float:
    """Return the exponent with which the seconds grow with the evaluations, without the start-up time."""
    start, one, other = (getattr(row, part).seconds for row in (least, before, after))
    growth = math.log(after.evaluations / before.evaluations)
    return math.log((other - start) / (one - start)) / growth if one > start < other else math.nan


def head(searcher: str, least: Row) -> None:
    """Print the header of a Markdown table."""
    print(f"\n**{searcher}** (start-up: {least.search.seconds:.1f} s, {least.search.megabytes:.0f} MB)\n")
    heads = [f"{part}, s | growth | MB" for part in PARTS]
    print("| evaluations | front | ms each | store, MB |", " | ".join(heads), "|")
    print("| --- " * (4 + 3 * len(PARTS)) + "|", flush=True)


def line(rows: list[Row], least: Row) -> None:
    """Print the last row of the table."""
    row = rows[-1]
    each = 1e3 * (row.search.seconds - least.search.seconds) / row.evaluations
    cells = [f"{row.evaluations:,}", f"{row.front:,}", f"{each:.2f}", f"{row.store:.1f}"]
    for part in PARTS:
        cost: Cost = getattr(row, part)
        growth = f"{exponent(rows[-2], row, least, part):.2f}" if len(rows) > 1 else ""
        cells += [f"{cost.seconds:.1f}", growth, f"{cost.megabytes:.0f}"]
    print("|", " | ".join(cells), "|", flush=True)


def main() -> None:
    """Run the searches and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000, help="evaluations of the largest search, a power of ten")
    parser.add_argument("--searcher", action="append", help="repeatable; default: random, mtf_pdns and nsga2")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--keep", type=Path, help="folder for the stores; default: a temporary folder")
    given = parser.parse_args()
    sizes = [10**power for power in range(3, round(math.log10(given.most)) + 1)]
    found: dict[str, list[Row]] = {}
    with TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        for searcher in given.searcher or ["random", "mtf_pdns", "nsga2"]:
            least, rows = measured(searcher, LEAST, folder), found.setdefault(searcher, [])
            head(searcher, least)
            for size in sizes:
                rows.append(measured(searcher, size, folder))
                line(rows, least)
    if given.json:
        kept = {searcher: [asdict(row) for row in rows] for searcher, rows in found.items()}
        given.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
