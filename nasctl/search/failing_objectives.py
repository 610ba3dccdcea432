"""The rule that ends a search in which an objective fails for every candidate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nasctl.errors import NasctlError
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.problem.space import Genome
from nasctl.search.empty_front import retry_words
from nasctl.store.run_log import RunLog

HOPELESS = 20  # failures in a row of an objective without any value, after which its search is stopped


class FailingObjectives:
    """Counts the failures of every objective that has had no value in a run.

    An objective that fails for the first `HOPELESS` candidates that it is measured for will fail for all others too: a
    library is missing, or the objective is broken. The size of a batch does not matter. A candidate that breaks a
    constraint on its costs is not measured, so it neither counts nor interrupts the row. Metrics that are only
    recorded may fail.

    Args:
        objectives: The objectives of the run, (M,).
    """

    def __init__(self, objectives: Sequence[Goal]) -> None:
        self._errors: dict[str, list[str]] = {goal.name: [] for goal in objectives}  # of objectives without a value

    def note(self, found: Evaluation) -> None:
        """Count the failures of a candidate."""
        self._errors = {name: errors for name, errors in self._errors.items() if name not in found.values}
        for name, errors in self._errors.items():
            if name in found.errors:
                errors.append(found.errors[name])

    def check(self, journal: RunLog, visited: Iterable[Genome], told: int) -> None:
        """Stop the search of a hopeless objective.

        Args:
            journal: The run.
            visited: All genomes that were noted.
            told: The number of visits that the searcher has been told about. After `nasctl runs retry`, a replay tells
                the new values of the others.

        Raises:
            NasctlError: An objective is hopeless, and none of its failures was measured again with success since.
        """
        for name, errors in self._errors.items():
            if len(errors) >= HOPELESS and not _has_value(journal, visited, journal.record.labels[name]):
                journal.untold(told)
                retry = retry_words("nasctl runs retry", [name])
                raise NasctlError(
                    f"the search stopped: {name} failed for all {len(errors)} candidates that it was measured for:"
                    f" {errors[-1]} (when that is mended, `{retry}` measures them again)"
                )


def _has_value(journal: RunLog, visited: Iterable[Genome], label: str) -> bool:
    """Return whether the store has a value for a genome by now, whatever the run was told of it."""
    found = (journal.known(genome, [label]).get(label) for genome in visited)
    return any(one is not None and one.value is not None for one in found)
