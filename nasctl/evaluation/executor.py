"""The protocol of executors, which measure modules, and the order of their results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from nasctl.problem.space import Genome
from nasctl.store.measurements import Measurement


class Executor(Protocol):
    """A place where modules are measured. Genomes go in, and their measurements come out in any order.

    The search restores the order in which it handed the genomes in, so no result depends on which genome was quicker.
    """

    @property
    def full(self) -> bool:
        """Whether a result has to be taken before the next genome is handed in."""
        ...

    def submit(self, genome: Genome, labels: Mapping[str, str]) -> None:
        """Hand in a genome.

        Args:
            genome: The genome, canonical.
            labels: Labels of the measurements to make, by metric.
        """
        ...

    def result(self) -> tuple[Genome, dict[str, Measurement]]:
        """Wait for the next genome that is done, and return its measurements by label.

        Raises:
            NasctlError: As `measure` raises it.
        """
        ...


def in_order(
    executor: Executor,
    lacking: Iterable[tuple[Genome, Mapping[str, str]]],
    keep: Callable[[Genome, Mapping[str, Measurement]], None],
) -> Iterator[tuple[Genome, dict[str, Measurement]]]:
    """Measure what genomes lack, and yield the measurements of each genome by label, in the order of the genomes.

    Args:
        executor: Measures the genomes.
        lacking: Different genomes, each with the labels to measure by metric. It is consumed no earlier than needed. A
            genome without labels is not handed to the executor.
        keep: Called with the measurements of a genome that is done before its turn, so that a kill does not lose them.
    """
    order: deque[Genome] = deque()  # genomes that were handed in and not yielded yet
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
