"""Whether a search has found networks that dominate the reference networks of its space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nasctl.architectures.references import reference_names, visited_references
from nasctl.pareto.losses import feasible_losses, violations
from nasctl.problem.constraints import Constraint
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.problem.space import Genome, SearchSpace
from nasctl.system.wording import listed


@dataclass(frozen=True)
class Verdict:
    """A reference network beside everything that a search has visited.

    Args:
        name: Its name.
        genome: Its canonical genome.
        feasible: Whether it has a value in every objective and satisfies the constraints.
        broken: Whether it breaks a constraint.
        dominated_by: Genome of a network that is nowhere worse and somewhere better; None if there is none.
    """

    name: str
    genome: Genome
    feasible: bool
    broken: bool = False
    dominated_by: Genome | None = None


def verdicts(
    space: SearchSpace, found: Sequence[Evaluation], goals: Sequence[Goal], constraints: Sequence[Constraint] = ()
) -> list[Verdict]:
    """Return a verdict on each reference network that a search has visited, in the order of the space.

    Of several networks that dominate one, the verdict names a network that is no reference network itself if it can,
    and of these the network with the largest mean gain, each objective by its range over the feasible candidates.

    Args:
        space: The space.
        found: All candidates of the search.
        goals: Its objectives, (M,).
        constraints: Its constraints.
    """
    if not (seen := visited_references(space, found)):
        return []
    rows = feasible_losses(found, goals, constraints)  # (N, M)
    names, places = reference_names(space), {one.genome: k for k, one in enumerate(found)}
    held = np.flatnonzero(~np.isnan(rows).any(axis=1))
    named = np.array([found[k].genome in names for k in held.tolist()], dtype=int)
    span = np.ptp(rows[held], axis=0) if len(held) else np.ones(len(goals))
    scaled = rows / np.where(span > 0, span, 1.0)
    out = []
    for name in (name for name in names.values() if name in seen):
        place = places[seen[name].genome]
        if np.isnan(rows[place]).any():
            broken = bool((violations([found[place]], constraints) > 0).any())
            out.append(Verdict(name, seen[name].genome, False, broken))
            continue
        better = (rows[held] <= rows[place]).all(axis=1) & (rows[held] < rows[place]).any(axis=1)
        gains = np.where(better, (scaled[place] - scaled[held]).mean(axis=1), -np.inf)
        best = held[np.lexsort((-gains, named, ~better))[0]] if better.any() else None
        out.append(Verdict(name, seen[name].genome, True, False, None if best is None else found[best].genome))
    return out


def sentence(given: Sequence[Verdict], label: Callable[[Genome], str]) -> str:
    """Return one sentence that says of each reference network whether it is dominated; "" if there are none.

    Args:
        given: The verdicts.
        label: Returns what a network is called: its name if it is a reference network, else its id.
    """
    beaten = [(one.name, label(one.dominated_by)) for one in given if one.dominated_by is not None]
    front = [one.name for one in given if one.feasible and one.dominated_by is None]
    broken = [one.name for one in given if one.broken]
    failed = [one.name for one in given if not one.feasible and not one.broken]
    counted = len(beaten) + len(front) > 1  # of a single network, its verdict says it
    by = "by" if counted else "is dominated by"
    better = ", ".join(f"{name} {by} {other}" for name, other in beaten)
    parts = [f"{better} (no objective worse, one or more better)"] if beaten else []
    parts += [f"{listed(front)} {'is' if len(front) == 1 else 'are'} on the front"] if front else []
    parts += [f"{listed(broken)} {'breaks' if len(broken) == 1 else 'break'} a constraint"] if broken else []
    parts += [f"{listed(failed)} failed"] if failed else []
    if not given:
        return ""
    if len(given) == 1:
        return f"the reference network {parts[0]}"
    total = f", {len(beaten) or 'none'} of {len(beaten) + len(front)} dominated" if counted else ""
    return f"reference networks{total}: {'; '.join(parts)}"
