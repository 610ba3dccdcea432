"""The path that a run took on another machine, and how a search keeps to it."""

from __future__ import annotations

from collections.abc import Collection

from nasctl.problem.searcher import AcceptsBatch, Searcher
from nasctl.problem.space import Genome
from nasctl.store.run_log import RunLog
from nasctl.system.terminal import say


class RecordedPath:
    """The genomes that a run has visited before it is resumed.

    On the machine of the run, a replay asks for the same genomes again; a difference means that the code has changed,
    which the store refuses. On another machine, the last digits of a searcher's arithmetic may differ, and with them
    the genomes that it asks for. The search then visits what the store has recorded instead, so that no candidate is
    lost and none is measured again.

    Args:
        journal: The run.
        searcher: The searcher that replays it.
    """

    def __init__(self, journal: RunLog, searcher: Searcher) -> None:
        self._journal, self._searcher = journal, searcher
        self._genomes = journal.path()
        self._warned = False

    def __len__(self) -> int:
        return len(self._genomes)

    def reconcile(self, batch: list[Genome], visited: Collection[Genome]) -> tuple[list[Genome], list[Genome]]:
        """Fit what the searcher has asked for to what the run visited next on another machine.

        A searcher that implements `AcceptsBatch` is given the recorded genomes as its batch, so it learns about them.
        Its own genomes fill the batch once the record is at its end. Any other searcher keeps its batch. All that is
        left of the record is visited before that batch, and the searcher learns about a recorded genome when it asks
        for it.

        Args:
            batch: The genomes of the last ask.
            visited: The genomes that this search has visited, in the order of the record as far as that goes.

        Returns:
            The genomes to visit before the batch, and the genomes to visit and to tell the searcher about.
        """
        new = [genome for genome in dict.fromkeys(batch) if genome not in visited]
        ahead = self._genomes[len(visited) :]
        shared = min(len(new), len(ahead))
        if not self._journal.elsewhere or new[:shared] == ahead[:shared]:
            return [], batch
        self._warn()
        if not isinstance(self._searcher, AcceptsBatch):
            return ahead, batch
        own = [genome for genome in new if genome not in ahead]
        taken = ahead[: len(new)] + own[: len(new) - shared]
        self._searcher.replace_batch(taken)
        return [], taken

    def rest(self, visited: Collection[Genome]) -> list[Genome]:
        """Return what is left of the record where the searcher of another machine proposes nothing more."""
        return self._genomes[len(visited) :] if self._journal.elsewhere else []

    def _warn(self) -> None:
        if not self._warned:
            journal = self._journal
            say(
                f"Warning: run {journal.run!r} was made on {' and '.join(journal.elsewhere)} and replays differently"
                f" here; its {len(self)} recorded candidates stay as they are, and new values may differ in their last"
                " digits"
            )
        self._warned = True
