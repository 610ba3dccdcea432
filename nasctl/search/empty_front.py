"""Why the front of a search is empty, and what to do about it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence

import numpy as np

from nasctl import registry
from nasctl.pareto.losses import losses
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.registry.named_files import is_file
from nasctl.system.wording import listed, plural


def all_failed(found: Sequence[Evaluation], goals: Sequence[Goal]) -> bool:
    """Return whether no candidate has a finite loss in every objective, and not only because of constraints.

    A candidate that breaks a constraint by its cost alone is not scored. That is no failure.

    Args:
        found: The candidates of a search.
        goals: Its objectives, (M,).
    """
    scored = not np.isnan(losses(found, goals)).any(axis=1).all()
    return not scored and any(any(_counts(found, goal)) for goal in goals)


def empty_front_sentence(found: Sequence[Evaluation], goals: Sequence[Goal], constrained: bool, retry: str) -> str:
    """Return the reason why the front of a search is empty, with a remedy.

    Args:
        found: The candidates of the search, at least one.
        goals: Its objectives, (M,).
        constrained: Whether the search has constraints.
        retry: The command that measures failed candidates again.
    """
    if not all_failed(found, goals):
        return f"the front is empty: {'relax a constraint, or ' if constrained else ''}give a larger --budget"
    clauses = [clause for goal in goals for clause in _clauses(found, goal)]
    failed = [goal.name for goal in goals if _counts(found, goal)[0]]
    remedies = [f"Mend the cause; `{retry_words(retry, failed)}` then measures what failed again."] if failed else []
    if any(_counts(found, goal)[1] for goal in goals):
        remedies.append("Mend the values, or change `transform` and `version` of the metric.")
    return f"no candidate has a score: {listed(clauses)}. {' '.join(remedies)}"


def retry_words(command: str, failed: Sequence[str]) -> str:
    """Return a command that measures failed objectives again, with those of files, which run only if they are named.

    Args:
        command: The command, such as "nasctl runs retry RUN".
        failed: Names of the objectives that failed.
    """
    return " ".join([command, *(f"-o {shlex.quote(one)}" for one in failed if is_file(registry.plugin_of(one)))])


def _counts(found: Sequence[Evaluation], goal: Goal) -> tuple[int, int]:
    """Return the number of candidates for which an objective failed, and of those whose value has no loss."""
    failed = sum(goal.name in one.errors for one in found)
    return failed, len(_undefined(found, goal))


def _undefined(found: Sequence[Evaluation], goal: Goal) -> list[float]:
    """Return the values of an objective for which its transform is not defined."""
    known = [one for one in found if goal.name in one.values]
    rows = losses(known, [goal])[:, 0].tolist()
    return [one.values[goal.name] for one, row in zip(known, rows, strict=True) if math.isnan(row)]


def _clauses(found: Sequence[Evaluation], goal: Goal) -> Iterator[str]:
    """Yield the reasons why an objective has no loss for candidates, a clause each."""
    failed, values = _counts(found, goal)[0], _undefined(found, goal)
    if failed:
        yield f"{goal.name} failed for {_share(failed, len(found))}"
    if values:
        least, most = min(values), max(values)
        shown = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        yield (
            f"{goal.name} is {shown} for {_share(len(values), len(found))}, where its transform {goal.transform} is not"
            " defined"
        )


def _share(number: int, total: int) -> str:
    """Return a number of candidates in words: "all 6 candidates", "2 of 6 candidates"."""
    whole = "the only candidate" if total == 1 else f"all {plural(total, 'candidate')}"
    return whole if number == total else f"{number:,} of {plural(total, 'candidate')}"
