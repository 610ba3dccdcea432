"""Trace patterns and print a line for each, then the totals and the reasons of refusals.

PYTHONPATH=.:tests python -m networks.patterns [NAME or family ...]
"""

import re
import sys
import time
from collections import Counter

import torch

from . import PATTERNS
from .check import compare

torch.set_num_threads(1)


def main(names: list[str]) -> None:
    """Print the outcome of each named pattern, or of all."""
    unknown = set(names) - {one.name for one in PATTERNS.values()} - {one.family for one in PATTERNS.values()}
    if unknown:
        sys.exit(f"Cannot find the patterns {', '.join(sorted(unknown))}. Name patterns or families.")
    totals, reasons, began = Counter(), Counter(), time.perf_counter()
    for one in PATTERNS.values():
        if names and not {one.name, one.family} & set(names):
            continue
        start = time.perf_counter()
        outcome = compare(one)
        seconds = time.perf_counter() - start
        kind = "negative" if one.negative else "positive"
        totals[kind, outcome.status] += 1
        if outcome.status == "refused" and not one.negative:
            reasons[re.sub(r"\S*[\d.]\S*", "N", outcome.reason.partition(": ")[2])] += 1
        name = f"{one.family}.{one.name}{'  (negative)' * one.negative}"
        print(f"{outcome.status:8}{seconds:6.2f}  {name}  {outcome.reason}")
    print(*(f"{kind} {status}: {number}" for (kind, status), number in sorted(totals.items())), sep="\n")
    print(f"{time.perf_counter() - began:.1f} seconds; refusals of positive patterns by reason:")
    print(*(f"{number:4} {reason}" for reason, number in reasons.most_common()), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
