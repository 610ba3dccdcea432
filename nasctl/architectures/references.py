"""Published networks of a search space, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nasctl.problem.searcher import Evaluation
from nasctl.problem.space import Genome, HasReferences, Reference, SearchSpace


def references(space: SearchSpace) -> dict[str, Reference]:
    """Return the published networks of a space by name, with canonical genomes; none if the space names none."""
    if not isinstance(space, HasReferences):
        return {}
    return {name: replace(one, genome=space.canonical(one.genome)) for name, one in space.references.items()}


def reference_names(space: SearchSpace) -> dict[Genome, str]:
    """Return the names of the published networks of a space by canonical genome."""
    return {one.genome: name for name, one in references(space).items()}


def visited_references(space: SearchSpace, visited: Iterable[Evaluation]) -> dict[str, Evaluation]:
    """Return the evaluations of the published networks among those of a run, by name."""
    names = reference_names(space)
    return {names[one.genome]: one for one in visited if one.genome in names}
