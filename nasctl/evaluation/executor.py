"""What a search needs of those who measure for it, and how it puts their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from nasctl.problem.space import Genome
from nasctl.store.measurements import Measurement


class Executor(Protocol):
    """Where modules are measured: genomes go in, and what was measured of each comes out, in any order.

    The search brings that into the order in which it asked, so that no result depends on who was quicker.
    """

    @property
    def full(self) -> bool:
        """Whether a result has to be taken before the next genome is handed in."""
        ...

    def submit(self, genome: Genome, labels: Mapping[str, str]) -> None:
        """Hand in a genome, to be measured by the objectives of these names."""
        ...

    def result(self) -> tuple[Genome, dict[str, Measurement]]:
        """Wait for the next genome that is done; its measurements are by label.

        Raises:
            NasctlError: As `measure` says.
        """
        ...


def in_order(
    executor: Executor,
    lacking: Iterable[tuple[Genome, Mapping[str, str]]],
    keep: Callable[[Genome, Mapping[str, Measurement]], None],
) -> Iterator[tuple[Genome, dict[str, Measurement]]]:
    """Measure genomes by what they lack, and yield what was measured of each, in their order.

    Args:
        executor: Where that is done.
        lacking: Different genomes with names and labels of what to measure; looked at no earlier than need be.
        keep: Gets what is done before its turn, lest a kill cost it.
    """
    order: deque[Genome] = deque()  # of those handed in and not yielded yet
    done: dict[Genome, dict[str, Measurement]] = {}

    def take() -> None:
        genome, measured = executor.result()
        done[genome] = measured
        if genome != order[0]:
            keep(genome, measured)

    def ready() -> Iterator[tuple[Genome, dict[str, Measurement]]]:
        while order and order[0] in done:
            yield order[0], done.pop(order.popleft())

    for genome, labels in lacking:
        order.append(genome)
        if labels:
            executor.submit(genome, labels)
        else:
            done[genome] = {}
        while len(done) < len(order) and executor.full:
            take()
        yield from ready()
    while order:
        take()
        yield from ready()
