"""One search on a table, and what its archive is worth while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import Scene
from nasctl.bench.problem import Posed
from nasctl.errors import NasctlError
from nasctl.pareto.archive import Archive
from nasctl.pareto.crowding import spread
from nasctl.pareto.hypervolume import hypervolume, pareto
from nasctl.problem.searcher import HasSurvivors, Searcher
from nasctl.problem.space import Genome

STEP = 20  # evaluations between two looks at the archive

FEW = 20  # members of the archive that its worth is also told for: with an oracle for all of it, size alone pays

PATIENCE = 100  # batches in a row without a new architecture, after which a search is over


@dataclass(frozen=True)
class Replay:
    """What a search did.

    Args:
        places: In the table, of what was evaluated, in order, repetitions included, (E,).
        checkpoints: Numbers of evaluations at which the archive was looked at, (T,), ascending; the last is all.
        archives: Places of its members then, T arrays.
        few: Places of `FEW` members of the last, spread over it.
        seconds: Simulated, of the different architectures.
    """

    places: np.ndarray
    checkpoints: Sequence[int]
    archives: Sequence[np.ndarray]
    few: np.ndarray
    seconds: float

    @property
    def distinct(self) -> int:
        """Different architectures."""
        return len(np.unique(self.places))


@dataclass(frozen=True, slots=True)
class Worth:
    """What a set of architectures is worth in a scene.

    Args:
        igd: Inverted generational distance to the true front.
        igd_plus: The same where only what is worse than the front counts.
        hv: Hypervolume, reference 1.05, 1.05.
        best: The highest accuracy.
        largest: Share of the largest single term in `igd`: how much hinges on one network of the true front.
    """

    igd: float
    igd_plus: float
    hv: float
    best: float
    largest: float


def replay(problem: Posed, searcher: str, seed: int, evaluations: int) -> Replay:
    """Run a search on a table.

    Every genome that is asked for counts as an evaluation, as in the published protocols, those evaluated before too.
    A searcher whose `survivors` are not None has these in its archive instead of all that it evaluated.

    Args:
        problem: What to search.
        searcher: Spec.
        seed: Of all its randomness.
        evaluations: How many.

    Raises:
        NasctlError: The searcher proposed nothing.
    """
    made: Searcher = registry.create("searchers", searcher, problem, np.random.default_rng(seed))
    archive = Archive(problem.losses.shape[1])
    places: list[int] = []
    looks: list[tuple[int, np.ndarray]] = []  # evaluations, and members of the archive then
    known: set[int] = set()
    stale = 0
    while len(places) < evaluations and stale < PATIENCE and (batch := made.ask()):
        at = problem.rows(batch)[: evaluations - len(places)]
        stale = 0 if set(at) - known else stale + 1
        known |= set(at)
        before = len(places)
        places += at
        if len(at) == len(batch):
            made.tell(problem.losses[at], np.zeros((len(at), 0)))
        survivors = made.survivors if isinstance(made, HasSurvivors) else None
        _enter(archive, batch[: len(at)] if survivors is None else survivors, problem)
        if before // STEP < len(places) // STEP or len(places) == evaluations:
            looks.append((len(places), np.array(problem.rows(archive.genomes), dtype=int)))
    if not places:
        raise NasctlError(f"{searcher} proposed nothing on this benchmark")
    if not looks or looks[-1][0] < len(places):
        looks.append((len(places), np.array(problem.rows(archive.genomes), dtype=int)))
    checkpoints, archives = zip(*looks, strict=True)
    few = archives[-1][spread(archive.losses, FEW)]
    return Replay(np.array(places), checkpoints, archives, few, float(problem.seconds[list(known)].sum()))


def _enter(archive: Archive, genomes: Sequence[Genome], problem: Posed) -> None:
    """Put what did not fail into an archive."""
    for genome, row in zip(genomes, problem.losses[problem.rows(genomes)], strict=True):
        if not np.isnan(row).any():
            archive.add(genome, row)


def worth(scene: Scene, places: np.ndarray) -> Worth:
    """What some architectures are worth in a scene.

    Args:
        scene: That judges.
        places: Of the architectures in the table, (A,); one or more.
    """
    import moocore

    front = pareto(np.column_stack([scene.error[places], scene.cost[places]]))
    terms = np.linalg.norm(scene.front[:, None] - front, axis=2).min(axis=1)  # (F,), of the IGD
    return Worth(
        float(terms.mean()),
        float(moocore.igd_plus(front, ref=scene.front)),
        hypervolume(front),
        float(scene.accuracy[places].max()),
        float(terms.max() / terms.sum()) if terms.any() else 0.0,
    )


def exhaustive(problem: Posed) -> np.ndarray:
    """Places of the front of the objectives over the whole table: the best that any search could do with them.

    As in an archive, architectures of equal values are all on it.
    """
    import moocore

    whole = np.flatnonzero(~np.isnan(problem.losses).any(axis=1))
    found: np.ndarray = whole[moocore.is_nondominated(problem.losses[whole], keep_weakly=True)]
    return found
