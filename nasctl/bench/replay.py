"""A search replayed on a table, and the indicators by which its archive is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nasctl import registry
from nasctl.bench.benchmark import Scene
from nasctl.bench.problem import BenchmarkProblem
from nasctl.errors import NasctlError
from nasctl.pareto.archive import Archive
from nasctl.pareto.crowding import spread
from nasctl.pareto.hypervolume import hypervolume, pareto
from nasctl.problem.searcher import HasSurvivors, Searcher
from nasctl.problem.space import Genome

CHECKPOINT_PERIOD = 20  # evaluations between two checkpoints of the archive
SUBSET_SIZE = 20  # members of the subset that is judged too, because judging whole archives favours large ones
MAX_STALE_BATCHES = 100  # batches in a row without a new architecture, after which a search ends


@dataclass(frozen=True)
class Replay:
    """The course of one search.

    Args:
        places: Rows of the evaluated architectures in the table, in order and with repetitions, (E,).
        checkpoints: Numbers of evaluations at which the archive was recorded, (T,), ascending; the last is E.
        archives: Rows of the archive members at each checkpoint, T arrays.
        subset: Rows of at most `SUBSET_SIZE` members of the last archive, selected by crowding distance.
        seconds: Simulated seconds of the distinct architectures.
    """

    places: np.ndarray
    checkpoints: Sequence[int]
    archives: Sequence[np.ndarray]
    subset: np.ndarray
    seconds: float

    @property
    def distinct(self) -> int:
        """Return the number of distinct architectures."""
        return len(np.unique(self.places))


@dataclass(frozen=True, slots=True)
class Indicators:
    """The quality of a set of architectures in a scene.

    Args:
        igd: Inverted generational distance (IGD) to the true front.
        igd_plus: IGD+, in which only the excess over the true front counts.
        hv: Hypervolume with the reference point (1.05, 1.05).
        best: Highest accuracy.
        largest: Share of the largest term of the IGD. A large share means that one network of the true front decides.
    """

    igd: float
    igd_plus: float
    hv: float
    best: float
    largest: float


def replay(problem: BenchmarkProblem, searcher: str, seed: int, evaluations: int) -> Replay:
    """Run a search on a table.

    Every proposed genome counts as an evaluation, including genomes that were evaluated before, as in the published
    protocols. The archive receives all evaluations. For a searcher whose `survivors` are not None, it receives only the
    survivors.

    Args:
        problem: Problem to search.
        searcher: Spec of the searcher.
        seed: Seed of all randomness.
        evaluations: Maximum number of evaluations.

    Raises:
        NasctlError: The searcher proposed nothing.
    """
    made: Searcher = registry.create("searchers", searcher, problem, np.random.default_rng(seed))
    archive = Archive(problem.losses.shape[1])
    places: list[int] = []
    recorded: list[tuple[int, np.ndarray]] = []  # number of evaluations and rows of the archive members
    known: set[int] = set()
    stale = 0
    while len(places) < evaluations and stale < MAX_STALE_BATCHES and (batch := made.ask()):
        at = problem.rows(batch)[: evaluations - len(places)]
        stale = 0 if set(at) - known else stale + 1
        known |= set(at)
        before = len(places)
        places += at
        if len(at) == len(batch):
            made.tell(problem.losses[at], np.zeros((len(at), 0)))
        survivors = made.survivors if isinstance(made, HasSurvivors) else None
        _add_to_archive(archive, batch[: len(at)] if survivors is None else survivors, problem)
        if before // CHECKPOINT_PERIOD < len(places) // CHECKPOINT_PERIOD or len(places) == evaluations:
            recorded.append((len(places), np.array(problem.rows(archive.genomes), dtype=int)))
    if not places:
        raise NasctlError(f"{searcher} proposed nothing on this benchmark; use another searcher")
    if not recorded or recorded[-1][0] < len(places):
        recorded.append((len(places), np.array(problem.rows(archive.genomes), dtype=int)))
    checkpoints, archives = zip(*recorded, strict=True)
    subset = archives[-1][spread(archive.losses, SUBSET_SIZE)]
    return Replay(np.array(places), checkpoints, archives, subset, float(problem.seconds[list(known)].sum()))


def _add_to_archive(archive: Archive, genomes: Sequence[Genome], problem: BenchmarkProblem) -> None:
    """Add genomes to an archive, without those that failed."""
    for genome, row in zip(genomes, problem.losses[problem.rows(genomes)], strict=True):
        if not np.isnan(row).any():
            archive.add(genome, row)


def indicators(scene: Scene, places: np.ndarray) -> Indicators:
    """Judge a set of architectures in a scene.

    Args:
        scene: Scene that judges.
        places: Rows of the architectures in the table, (A,), at least one.
    """
    import moocore

    front = pareto(np.column_stack([scene.error[places], scene.cost[places]]))
    terms = np.linalg.norm(scene.front[:, None] - front, axis=2).min(axis=1)  # terms of the IGD, (F,)
    return Indicators(
        float(terms.mean()),
        float(moocore.igd_plus(front, ref=scene.front)),
        hypervolume(front),
        float(scene.accuracy[places].max()),
        float(terms.max() / terms.sum()) if terms.any() else 0.0,
    )


def exhaustive_front(problem: BenchmarkProblem) -> np.ndarray:
    """Return the rows of the Pareto front of the objectives over the whole table.

    No search of these objectives can find a better front. As in an archive, architectures with equal losses are all on
    it.
    """
    import moocore

    whole = np.flatnonzero(~np.isnan(problem.losses).any(axis=1))
    found: np.ndarray = whole[moocore.is_nondominated(problem.losses[whole], keep_weakly=True)]
    return found
